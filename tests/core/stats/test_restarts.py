"""Restarting bets: the recursion equals the mixture that it stands for."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.stats.restarts import PARTS, Bets, Parts, paid_in

MINUTES = st.lists(st.integers(0, 60), min_size=1, max_size=20)
FACTORS = st.tuples(st.floats(-1, 1), st.floats(-1, 1))


class Two(Bets):
    weights: ClassVar[tuple[float, ...]] = (0.25, 0.75)


class One(Bets):
    weights: ClassVar[tuple[float, ...]] = (1.0,)


class TestPaidIn:
    """EVIDENCE, restarts: F(k)."""

    def test_numbers(self) -> None:
        """At once, after a minute, when half of the horizon and when all of it is over."""
        assert paid_in(0, 10) == pytest.approx(0.45)
        assert paid_in(1, 10) == pytest.approx(0.45 + 0.30 / 2 + 0.25 / 10)
        assert paid_in(5, 10) == pytest.approx(0.45 + 0.30 * 5 / 6 + 0.25 / 2)
        assert paid_in(10, 10) == pytest.approx(0.45 + 0.30 * 10 / 11 + 0.25)
        assert paid_in(29, 10) == pytest.approx(0.45 + 0.30 * 29 / 30 + 0.25)
        assert math.fsum(PARTS) == 1

    @given(st.integers(0, 100_000), st.integers(1, 100_000))
    def test_it_is_paid_in_steadily_and_never_all_of_it(self, minute: int, horizon: int) -> None:
        assert 0 < paid_in(minute, horizon) < paid_in(minute + 1, horizon) < 1


class TestBets:
    """EVIDENCE, restarts."""

    @given(MINUTES, st.data())
    def test_the_recursion_is_the_mixture_over_starting_minutes(
        self, minutes: list[int], data: st.DataObject
    ) -> None:
        """E = Σ_s (F(s) - F(s-1)) · Π_{events since s} factor, s from 0 to now, + 1 - F(now).

        A minute that is past counts as the newest one: what has been paid in stays so.
        """
        horizon, bets = 30, Two(horizon=30)
        events: list[tuple[int, tuple[float, float]]] = []
        now = 0
        for minute in minutes:
            now = max(now, minute)
            events.append((now, data.draw(FACTORS)))
            bets.pay_in(minute)
            bets.multiply(events[-1][1])
        assert bets.minute == now
        mixture = 1 - paid_in(now, horizon)
        for start in range(now + 1):
            due = paid_in(start, horizon) - (paid_in(start - 1, horizon) if start else 0)
            for bet, weight in enumerate(Two.weights):
                later = sum(factors[bet] for minute, factors in events if minute >= start)
                mixture += due * weight * math.exp(later)
        assert math.exp(bets.log_e) == pytest.approx(mixture, rel=1e-12)

    @given(MINUTES, st.floats(-5, 5))
    def test_paying_in_alone_is_no_evidence(self, minutes: list[int], factor: float) -> None:
        bets = Two(horizon=30)
        assert bets.log_e == pytest.approx(0, abs=1e-15)
        bets.pay_in(3)
        bets.multiply([factor, -factor])
        before = bets.log_e
        for minute in minutes:
            bets.pay_in(minute)
        assert bets.log_e == pytest.approx(before, abs=1e-12)

    def test_without_a_horizon_everything_is_staked_at_once(self) -> None:
        bets = Two()
        assert (bets.horizon, bets.log_wealth) == (None, [0.0, 0.0])
        assert bets.log_e == pytest.approx(0, abs=1e-15)
        bets.pay_in(3)
        assert (bets.minute, bets.log_wealth) == (0, [0.0, 0.0])
        bets.multiply([math.log(2), math.log(4)])
        assert math.exp(bets.log_e) == pytest.approx(0.25 * 2 + 0.75 * 4)

    def test_every_bet_begins_with_what_is_there_from_the_start(self) -> None:
        bets = Two(horizon=30)
        assert (bets.minute, bets.log_wealth) == (0, [math.log(0.45)] * 2)
        bets.multiply([math.log(3), math.log(5)])
        assert math.exp(bets.log_e) == pytest.approx(0.45 * (0.25 * 3 + 0.75 * 5) + 0.55)

    def test_no_bet_shares_its_wealth_with_another_test(self) -> None:
        one, other = Two(), Two()
        one.multiply([1.0, 1.0])
        assert (one.log_wealth, other.log_wealth) == ([1.0, 1.0], [0.0, 0.0])

    def test_a_test_that_goes_on_keeps_its_wealth(self) -> None:
        assert Two(horizon=30, log_wealth=[1.0, 2.0], minute=4).log_wealth == [1.0, 2.0]

    def test_a_bet_may_lose_everything(self) -> None:
        """Without a horizon nothing is left; with one, what is paid in later begins anew."""
        once, again = One(), One(horizon=30)
        for bets in (once, again):
            bets.multiply([-math.inf])
        assert once.log_e == -math.inf
        assert math.exp(again.log_e) == pytest.approx(0.55)
        again.pay_in(1)
        again.multiply([math.log(10)])
        due = paid_in(1, 30) - 0.45
        assert math.exp(again.log_e) == pytest.approx(10 * due + 0.55 - due)

    def test_an_event_needs_a_factor_for_each_bet(self) -> None:
        with pytest.raises(ValueError, match="zip"):
            Two().multiply([1.0])
        with pytest.raises(ValueError, match="zip"):
            _ = Two(log_wealth=[1.0]).log_e

    def test_late_harm_is_still_seen(self) -> None:
        """A thousand healthy minutes cost a restarting bet little; a single bet is ruined."""
        restarting, single = One(horizon=2000), One()
        for bets in (restarting, single):
            for minute in range(1, 1001):
                bets.pay_in(minute)
                bets.multiply([-0.1])
            for _ in range(12):
                bets.multiply([1.0])
        assert restarting.log_e > math.log(100) > single.log_e

    def test_much_is_no_overflow(self) -> None:
        bets = Two(horizon=30)
        for minute in range(1000):
            bets.pay_in(minute)
            bets.multiply([700.0, -700.0])
        assert bets.log_e == pytest.approx(700_000 + math.log(0.25 * 0.45), rel=1e-12)


def test_the_stake_may_be_divided_in_another_way() -> None:
    class Even(Bets):
        weights: ClassVar[tuple[float, ...]] = (1.0,)
        parts: ClassVar[Parts] = Parts(0.5, 0.0, 0.5)

    test = Even(horizon=10)
    assert test.log_wealth == [math.log(0.5)]
    test.multiply([math.log(2)])
    test.pay_in(5)
    assert math.exp(test.log_e) == pytest.approx(0.5 * 2 + 0.25 + 0.25)
