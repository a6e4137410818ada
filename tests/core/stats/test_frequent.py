"""Whoever says a lot is found, in a fixed amount of memory (Metwally et al. 2005)."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.stats.frequent import COUNTERS, Frequent


@given(st.lists(st.integers(0, 400), max_size=600))
def test_counts_are_never_too_low_and_hardly_too_high(items: list[int]) -> None:
    found, true = Frequent(), Counter(map(str, items))
    for item in items:
        found.add(str(item))
    assert found.total == len(items)
    assert len(found.counts) <= COUNTERS
    for item, count in found.counts.items():
        assert true[item] <= count <= true[item] + len(items) / COUNTERS
    assert found.most >= max(true.values(), default=0)


def test_one_loud_voice_among_many_quiet_ones() -> None:
    found = Frequent()
    for number in range(3000):
        found.add("loud" if number % 10 < 3 else f"quiet-{number}")
    assert len(found.counts) == COUNTERS
    assert 0.30 <= found.most / found.total <= 0.31
