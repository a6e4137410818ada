"""Release windows where the clocks of their zone are put forward and back (G4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

import pytest

from greenlight.core.records import HOUR, MINUTE, SECOND
from greenlight.stages.release_windows import closed

NIGHT = "Mon-Sun 02:00-03:00 Europe/Berlin"
WORK = "Mon-Thu 09:00-16:00 Europe/Berlin"


def utc(*moment: int) -> int:
    """Microseconds since 1970 of a moment in UTC."""
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * SECOND  # type: ignore[misc]


def opens(window: str, since: int, until: int) -> list[tuple[int, int]]:
    """When it is open between two moments, minute by minute: (from, until)."""
    moments = range(since, until, MINUTE)
    found = []
    for is_closed, group in groupby(moments, lambda now: closed(window, now) is not None):
        span = list(group)
        if not is_closed:
            found.append((span[0], span[-1] + MINUTE))
    return found


def test_no_window_is_always_open() -> None:
    assert closed(None, 0) is None


@pytest.mark.parametrize(
    ("day", "hour"),
    [((2027, 3, 25), 8), ((2027, 3, 29), 7), ((2027, 10, 28), 7), ((2027, 11, 1), 8)],
    ids=["before spring", "after spring", "before autumn", "after autumn"],
)
def test_nine_in_berlin_is_another_hour_in_summer(day: tuple[int, int, int], hour: int) -> None:
    """Summer time began on Sunday, 28 March 2027, at 01:00 UTC, and ended on Sunday, 31 October, at
    01:00 UTC: the Thursday before and the Monday after, by the clock of UTC."""
    start = utc(*day)
    nine, sixteen = start + hour * HOUR, start + (hour + 7) * HOUR
    assert opens(WORK, start, start + 24 * HOUR) == [(nine, sixteen)]


def test_an_hour_that_there_is_not_opens_nothing() -> None:
    """On 28 March 2027 the clocks of Berlin go from 02:00 straight to 03:00."""
    start = utc(2027, 3, 28, 0)
    assert opens(NIGHT, start, start + 12 * HOUR) == []
    assert "it is Sun 03:00 there" in str(closed(NIGHT, utc(2027, 3, 28, 1)))
    assert "it is Sun 01:59 there" in str(closed(NIGHT, utc(2027, 3, 28, 0, 59)))


def test_an_hour_that_there_is_twice_is_open_twice() -> None:
    """On 31 October 2027 it is 02:00 in Berlin at 00:00 UTC and again at 01:00 UTC."""
    start = utc(2027, 10, 30, 23)
    assert opens(NIGHT, start, start + 12 * HOUR) == [(utc(2027, 10, 31, 0), utc(2027, 10, 31, 2))]


def test_over_a_year_it_is_open_when_the_zone_says_so() -> None:
    """Every hour of 2027, and a minute before it, beside the calendar of the zone."""
    moment = datetime(2027, 1, 1, tzinfo=UTC)
    for _ in range(365 * 24):
        for there in (moment - timedelta(minutes=1), moment):
            local = there.astimezone(ZoneInfo("Europe/Berlin"))
            wanted = local.weekday() < 4 and 9 <= local.hour < 16
            assert (closed(WORK, int(there.timestamp()) * SECOND) is None) == wanted, local
        moment += timedelta(hours=1)


def test_the_day_is_that_of_the_zone() -> None:
    """Sunday evening in London is Monday morning in Auckland."""
    now = utc(2027, 1, 17, 20, 30)
    assert closed("Mon 09:00-10:00 Pacific/Auckland", now) is None
    assert closed("Sun 20:00-21:00 Europe/London", now) is None
    reason = str(closed("Mon 09:00-10:00 Europe/London", now))
    assert "the release window is Mon 09:00-10:00 Europe/London" in reason
    assert "it is Sun 20:30 there" in reason


def test_bounds_to_the_second() -> None:
    """Nine o'clock is in it, sixteen o'clock is not."""
    opening, closing = utc(2027, 1, 18, 8), utc(2027, 1, 18, 15)
    assert closed(WORK, opening - 1) is not None
    assert closed(WORK, opening) is None
    assert closed(WORK, closing - 1) is None
    assert closed(WORK, closing) is not None
