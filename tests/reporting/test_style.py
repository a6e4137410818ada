"""Where labels go, how numbers read, and that a figure is the same bytes every time."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.records import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from greenlight.core.words import power
from greenlight.reporting import style
from greenlight.reporting.history import Proportion
from greenlight.reporting.words import decade, duration, rate

HEIGHTS = st.lists(st.floats(-2, 6), min_size=1, max_size=8)


@given(HEIGHTS, st.floats(0.01, 2))
def test_spread_labels_keep_apart_inside_and_in_order(wanted: list[float], gap: float) -> None:
    placed = style.spread(wanted, gap, -2, 6)
    room = min(gap, 8 / max(1, len(wanted) - 1))
    heights = sorted(placed)
    assert heights[0] >= -2 - 1e-9 and heights[-1] <= 6 + 1e-9
    assert all(b - a >= room - 1e-9 for a, b in itertools.pairwise(heights))
    for i in range(len(wanted)):
        for j in range(len(wanted)):
            if wanted[i] < wanted[j]:
                assert placed[i] < placed[j] + 1e-9


def test_spread_moves_nothing_that_stands_well() -> None:
    assert style.spread([3.0, 1.0, 2.0], 0.5, 0, 4) == [3.0, 1.0, 2.0]
    assert style.spread([1.0, 1.0], 0.5, 0, 4) == pytest.approx([0.75, 1.25])
    assert style.spread([], 0.5, 0, 4) == []


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 200)), max_size=9))
def test_no_pole_crosses_a_flag(flags: list[tuple[int, int]]) -> None:
    spans = sorted((left, left + width) for left, width in flags)
    rows = style.tiers(spans, gap=10)
    for i in range(len(spans)):
        for j in range(i + 1, len(spans)):
            assert spans[j][0] >= spans[i][1] + 10 or rows[i] > rows[j]


@pytest.mark.parametrize(
    ("log_e", "text"),
    [
        (0.0, "1"),
        (math.log(21.5), "21.5"),
        (math.log(1234), "1,234"),
        (math.log(0.7136), "0.71"),
        (math.log(1e-3), "< 0.01"),
        (math.log(10) * 12.5, "10^12.5"),
        (-math.inf, "< 0.01"),
    ],
)
def test_evidence_reads_well(log_e: float, text: str) -> None:
    assert power(log_e) == text


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (250 * MILLISECOND, "0.25 s"),
        (6 * SECOND + 160 * MILLISECOND, "6.2 s"),
        (9_990 * MILLISECOND, "10 s"),
        (119 * SECOND, "119 s"),
        (15 * MINUTE, "15 min"),
        (DAY, "24 h"),
        (90 * MINUTE, "90 min"),
        (14 * DAY, "14 days"),
        (36 * HOUR, "36 h"),
    ],
)
def test_durations_read_well(length: int, text: str) -> None:
    assert duration(length) == text


def test_rates_and_ticks_read_well() -> None:
    assert rate(Proportion(value=0.943, low=0.921, high=0.958, n=7)) == "94.3% [92.1, 95.8]"
    assert [decade(tick) for tick in (-2, 0, 3, 4)] == ["10⁻²", "1", "1,000", "10⁴"]


@pytest.mark.parametrize(
    ("length", "unit"),
    [(40 * SECOND, "seconds"), (HOUR, "minutes"), (DAY, "hours"), (14 * DAY, "days")],
)
def test_time_axis_suits_its_length(length: int, unit: str) -> None:
    span = style.Span(1_000, length)
    assert span.unit[1] == unit
    assert (span.place(1_000), span.end) == (0, length / span.unit[0])


def test_labels_can_always_be_drawn() -> None:
    assert style.plain("intent@12") == "intent@12"
    assert style.plain("a日\x00\n") == "a□□□"
    assert style.plain("y" * 99) == "y" * 17 + "…"
