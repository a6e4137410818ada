"""Where the lines, bars and marks of the drawings stand."""

from __future__ import annotations

import itertools
import math

import pytest

from greenlight.core.records import DAY, HOUR, MINUTE, SECOND
from greenlight.dashboard import charts
from greenlight.reporting.history import Period


def period(number: int, weight: float, since: int, until: int | None) -> Period:
    return Period(
        number=number,
        rollout="r",
        control="old",
        candidate="new",
        weight=weight,
        since=since,
        until=until,
        decision=str(number),
    )


def points(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


def test_the_line_steps_at_every_split_and_ends_now() -> None:
    start, now = 1000 * SECOND, 1060 * SECOND
    drawn = charts.split(
        [period(1, 0.1, start, start + 30 * SECOND), period(2, 0.5, start + 30 * SECOND, None)],
        [],
        "new",
        now,
        charts.WIDE,
    )
    line = points(drawn.line)
    assert [x for x, _ in line] == sorted(x for x, _ in line)
    assert (line[0][0], line[-1][0]) == (drawn.left, drawn.right)
    middle = (drawn.left + drawn.right) / 2
    heights = [(drawn.bottom - y) / (drawn.bottom - drawn.top) for _, y in line]
    assert line[1][0] == line[2][0] == pytest.approx(middle, abs=0.1)
    assert heights == pytest.approx([0.1, 0.1, 0.5, 0.5, 0.5], abs=0.01)


def test_a_promotion_ends_at_the_top_and_a_rollback_at_the_bottom() -> None:
    for control, share in (("new", 1.0), ("old", 0.0)):
        last = Period(
            number=2,
            rollout=None,
            control=control,
            candidate=None,
            weight=0.0,
            since=10 * SECOND,
            until=None,
            decision="2",
        )
        drawn = charts.split(
            [period(1, 0.5, 0, 10 * SECOND), last], [], "new", 10 * SECOND, charts.NARROW
        )
        y = points(drawn.line)[-1][1]
        assert (drawn.bottom - y) / (drawn.bottom - drawn.top) == pytest.approx(share)


@pytest.mark.parametrize(
    "length",
    [
        1,
        SECOND,
        7 * SECOND,
        3 * MINUTE,
        HOUR,
        30 * HOUR,
        3 * DAY,
        14 * DAY,
        365 * DAY,
        20_000 * DAY,
    ],
)
@pytest.mark.parametrize("width", [charts.WIDE, charts.NARROW])
def test_ticks_of_time_have_room(length: int, width: int) -> None:
    drawn = charts.split([period(1, 0.5, 0, None)], [], "new", length, width)
    places = [tick.at for tick in drawn.times]
    assert places and len(places) <= width / 50
    assert all(after - before >= 40 for before, after in itertools.pairwise(places))
    assert len({tick.text for tick in drawn.times}) == len(places)


def test_a_bar_of_evidence_is_logarithmic_and_reaches_the_line_at_the_threshold() -> None:
    limit = math.log(700)
    assert charts.evidence(None, limit) == charts.evidence(-3.0, limit) == 0
    assert charts.evidence(limit, limit) == pytest.approx(charts.FULL)
    assert charts.evidence(limit / 2, limit) == pytest.approx(charts.FULL / 2)
    assert charts.evidence(100 * limit, limit) == 1


def test_intervals_share_a_scale_that_holds_them() -> None:
    drawn, low, high = charts.intervals([(0.2, 0.3, 0.4), (0.3, None, 0.9)])
    assert low < 0.2 and high > 0.9
    assert all(0 < one.low < one.high < 100 for one in drawn)
    assert drawn[0].value is not None and drawn[0].low < drawn[0].value < drawn[0].high
    assert charts.intervals([(5.0, 5.0, 5.0)])[0][0].low == pytest.approx(50)
