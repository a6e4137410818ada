"""Chunks give way to scarce memory quickly, and come back slowly (T5)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.chunks import next_size


def test_it_halves_above_the_limit_and_grows_well_below() -> None:
    def after(used: int) -> int:
        return next_size(1000, used, limit=100, floor=50, ceiling=5000)

    assert [after(101), after(100), after(75), after(74)] == [500, 1000, 1000, 1125]


def test_it_comes_down_to_the_floor_and_back_to_the_ceiling() -> None:
    size, seen = 1000, []
    for used in [200] * 10 + [0] * 60:
        size = next_size(size, used, limit=100, floor=50, ceiling=800)
        seen.append(size)
    assert seen[:6] == [500, 250, 125, 62, 50, 50]
    assert seen[10:] == sorted(seen[10:])
    assert seen[-1] == 800


@given(*(st.integers(0, 10**6) for _ in range(3)))
def test_it_stays_within_its_bounds(size: int, used: int, limit: int) -> None:
    assert 50 <= next_size(size, used, limit, 50, 800) <= 800
    assert next_size(1, used, limit, 1, 800) >= 1
