"""Restarting bets: the recursion equals the mixture that it stands for."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.stats.restarts import Stakes, log_add, paid_in

MINUTES = st.lists(st.integers(1, 40), min_size=1, max_size=20).map(sorted)


@given(st.integers(0, 10_000), st.integers(1, 10_000))
def test_the_stake_is_paid_in_steadily_and_never_beyond_one(minute: int, horizon: int) -> None:
    assert 0 <= paid_in(minute, horizon) <= paid_in(minute + 1, horizon) <= 1


@given(MINUTES, st.data())
def test_the_recursion_is_the_mixture_over_starting_minutes(
    minutes: list[int], data: st.DataObject
) -> None:
    """E = Σ_s (F(s) - F(s-1)) · Π_{events from s on} factor, over all s up to now, + 1 - F(k)."""
    horizon = 30
    factors = [data.draw(st.floats(-1.0, 1.0)) for _ in minutes]
    stakes = Stakes.of(1, horizon)
    for minute, factor in zip(minutes, factors, strict=True):
        stakes.advance(minute)
        stakes.multiply([factor])
    last = minutes[-1]
    mixture = 1 - paid_in(last, horizon)
    for start in range(1, last + 1):
        due = paid_in(start, horizon) - paid_in(start - 1, horizon)
        later = sum(f for m, f in zip(minutes, factors, strict=True) if m >= start)
        mixture += due * math.exp(later)
    assert math.exp(stakes.log_e) == pytest.approx(mixture, rel=1e-9)


def test_without_a_horizon_everything_is_staked_at_once() -> None:
    stakes = Stakes.of(2, None)
    stakes.advance(3)
    stakes.multiply([math.log(2), math.log(4)])
    assert math.exp(stakes.log_e) == pytest.approx(3.0)


def test_no_events_is_no_evidence() -> None:
    assert Stakes.of(4, 10).log_e == pytest.approx(0.0)


@given(st.floats(-700, 700), st.floats(-700, 700))
def test_log_add_is_symmetric(a: float, b: float) -> None:
    assert log_add(a, b) == log_add(b, a) >= max(a, b)


def test_late_harm_is_still_seen() -> None:
    """A thousand healthy minutes cost a restarting bet little; a single bet is ruined by them."""
    restarting, single = Stakes.of(1, 2000), Stakes.of(1, None)
    for minute in range(1, 1001):
        for stakes in (restarting, single):
            stakes.advance(minute)
            stakes.multiply([-0.1])
    for _ in range(12):
        for stakes in (restarting, single):
            stakes.multiply([1.0])
    assert restarting.log_e > math.log(100) > single.log_e
