"""No worse by more than a margin: by hand, by shape, by its targets. Exactness: test_exact."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from greenlight.core.states import Variant
from greenlight.core.stats.betting import MarginTest

ARMS = st.sampled_from(["control", "candidate"])
VALUES = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))
EXTREME = st.sampled_from([0.0, 1e-9, 1e-3, 0.1, 0.5, 0.999, 1 - 1e-12, 1.0])
PI = st.one_of(EXTREME, st.floats(1e-9, 1))
MARGINS = st.sampled_from([0.0, 0.02, 0.1, 0.999])
EVENTS = st.lists(st.tuples(ARMS, VALUES, PI, st.integers(0, 40)), max_size=30)
HORIZONS = st.sampled_from([None, 20])


def fed(test: MarginTest, events: Any) -> MarginTest:
    """The test after these events."""
    for event in events:
        test.update(*event)
    return test


def by_hand(
    stream: Any,
    delta: float,
    state: tuple[float, float],
    known: tuple[float, float] = (1.0, 2.0),
) -> float:
    """Π (1 + λ_i·(X_i + δ)), written from EVIDENCE's table, with δ < 0 for the reverse."""
    wealth, (leaning, precision) = 1.0, state
    good, seen = known
    for arm, y, pi in stream:
        m = min(max(good / seen, 0.01), 0.99)
        good, seen = 0.999 * good + y, 0.999 * seen + 1
        if pi in (0, 1):
            continue
        x = ((arm == "candidate") - pi) / (pi * (1 - pi)) * (y - m)
        most = max(m / pi, (1 - m) / (1 - pi))
        v = m * (1 - m) * (1 / pi + 1 / (1 - pi))
        guess = min(max(leaning / (precision + 400), -0.5), 0.5)
        bet = min(max((delta + guess) / (v + delta**2), 0.0), 0.5 / most)
        wealth *= 1 + bet * (x + delta)
        leaning, precision = leaning + x / v, precision + 1 / v
    return wealth


STREAM = [
    ("control", 1.0, 0.3),
    ("candidate", 0.0, 0.3),
    ("candidate", 0.4, 1.0),
    ("control", 0.25, 0.6),
    ("candidate", 1.0, 0.05),
    ("control", 1.0, 0.0),
    ("control", 0.0, 0.9),
    ("candidate", 0.9, 0.4),
]


class TestMarginTest:
    """EVIDENCE, table of tests: non-inferiority."""

    @pytest.mark.parametrize("leaning", [0.0, 30.0, 5000.0, -5000.0])
    @pytest.mark.parametrize("margin", [0.0, 0.05, 0.4, 0.8])
    @pytest.mark.parametrize("reverse", [False, True])
    def test_by_hand(self, margin: float, reverse: bool, leaning: float) -> None:
        """Bets of all sizes: none, in between, the most there may be; the reverse mirrors y."""
        test = MarginTest(margin=margin, reverse=reverse, leaning=leaning, precision=50.0)
        fed(test, STREAM)
        mirrored = [(arm, 1 - y if reverse else y, pi) for arm, y, pi in STREAM]
        expected = by_hand(mirrored, -margin if reverse else margin, (leaning, 50.0))
        assert math.exp(test.log_e) == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("good", [0.0, 1000.0, 300.0])
    def test_the_estimate_is_kept_off_the_edges(self, good: float) -> None:
        test = fed(MarginTest(margin=0.1, good=good, seen=1000.0), STREAM)
        expected = by_hand(STREAM, 0.1, (0.0, 0.0), (good, 1000.0))
        assert math.exp(test.log_e) == pytest.approx(expected, rel=1e-12)

    def test_update_returns_log_e(self) -> None:
        test = MarginTest(margin=0.1)
        assert test.update("candidate", 1, 0.5) == test.log_e > 0

    def test_a_minute_is_the_first_unless_told(self) -> None:
        one, other = MarginTest(margin=0.1, horizon=9), MarginTest(margin=0.1, horizon=9)
        one.update("candidate", 0, 0.5)
        other.update("candidate", 0, 0.5, 1)
        one.take(1, 0, 0.5)
        other.take(1, 0, 0.5, 1)
        assert one == other
        assert one.minute == 1

    @given(EVENTS, st.sampled_from([0.0, 1.0]), st.booleans(), HORIZONS)
    def test_a_known_arm_carries_no_evidence(
        self, events: list[Any], pi: float, reverse: bool, horizon: int | None
    ) -> None:
        """It teaches m̂ and nothing else."""
        test = MarginTest(margin=0.1, reverse=reverse, horizon=horizon)
        fed(test, [(arm, y, pi, minute) for arm, y, _, minute in events])
        assert test.log_e == pytest.approx(0, abs=1e-12)
        assert (test.leaning, test.precision) == (0, 0)
        assert (test.seen > 2) == (len(events) > 0)

    @given(st.lists(st.tuples(ARMS, VALUES, PI), max_size=20))
    def test_no_margin_is_the_same_for_the_reverse_of_the_opposite(self, events: list[Any]) -> None:
        """Better by the reverse's measure is worse by this one: at δ = 0 the two are one test."""
        one = fed(MarginTest(margin=0.0), events)
        other = fed(
            MarginTest(margin=0.0, reverse=True), [(arm, 1 - y, pi) for arm, y, pi in events]
        )
        assert one.log_e == pytest.approx(other.log_e, rel=1e-6, abs=1e-6)

    @given(EVENTS, st.floats(0.01, 0.99), st.booleans(), HORIZONS)
    def test_what_speaks_for_and_against(
        self, events: list[Any], pi: float, reverse: bool, horizon: int | None
    ) -> None:
        """The better a candidate's outcome, the more is to be said for its being no worse."""
        for arm in Variant:
            after = []
            for y in (0.0, 0.5, 1.0):
                test = fed(MarginTest(margin=0.1, reverse=reverse, horizon=horizon), events)
                after.append(test.update(arm, y, pi, test.minute + 1))
            rises = (arm is Variant.CANDIDATE) != reverse
            assert after == sorted(after, reverse=not rises)

    @given(EVENTS, MARGINS, st.booleans(), HORIZONS)
    @example([("candidate", 0.0, 1e-9, 0), ("control", 1.0, 1 - 1e-12, 3)], 0.999, True, None)
    def test_evidence_is_a_number(
        self, events: list[Any], margin: float, reverse: bool, horizon: int | None
    ) -> None:
        test = MarginTest(margin=margin, reverse=reverse, horizon=horizon)
        assert all(math.isfinite(test.update(*event)) for event in events)

    @given(EVENTS, MARGINS, st.booleans())
    def test_at_most_about_half_is_lost_on_one_unit(
        self, events: list[Any], margin: float, reverse: bool
    ) -> None:
        """λ·L ≤ ½; the reverse may lose λ·δ ≤ ½·δ on top of that."""
        test, before = MarginTest(margin=margin, reverse=reverse), 0.0
        for event in events:
            after = test.update(*event)
            assert after - before >= math.log(0.5 - (0.5 * margin if reverse else 0)) - 1e-9
            before = after

    @pytest.mark.parametrize("reverse", [False, True])
    def test_a_hundred_thousand_equal_outcomes(self, reverse: bool) -> None:
        """Each arm and each outcome, over ten times the horizon."""
        for candidate, outcome in ((0, 0.0), (0, 1.0), (1, 0.0), (1, 1.0)):
            test = MarginTest(margin=0.05, reverse=reverse, horizon=1000)
            for event in range(25_000):
                test.take(candidate, outcome, 0.01, event // 2)
            assert math.isfinite(test.log_e)

    @pytest.mark.parametrize("margin", [-0.1, 1, 1.5, math.nan])
    def test_a_margin_lies_in_0_to_1(self, margin: float) -> None:
        with pytest.raises(ValueError, match=rf"^margin {margin}: expected a number in \[0, 1\)$"):
            MarginTest(margin=margin)

    @pytest.mark.parametrize(
        ("event", "says"),
        [
            (("green", 1, 0.5), "^variant 'green': expected 'control' or 'candidate'$"),
            (("control", -0.1, 0.5), r"^outcome -0.1: expected a number in \[0, 1\]$"),
            (("control", math.nan, 0.5), r"^outcome nan: expected a number in \[0, 1\]$"),
            (("control", 1, -1), r"^pi -1: expected a number in \[0, 1\]$"),
            (("control", 1, math.nan), r"^pi nan: expected a number in \[0, 1\]$"),
        ],
    )
    def test_what_is_refused_changes_nothing(self, event: Any, says: str) -> None:
        test = MarginTest(margin=0.1, horizon=5)
        with pytest.raises(ValueError, match=says):
            test.update(*event, 4)
        assert test == MarginTest(margin=0.1, horizon=5)

    @given(EVENTS, EVENTS, st.booleans(), HORIZONS)
    def test_a_stored_test_goes_on_to_the_bit(
        self, first: list[Any], then: list[Any], reverse: bool, horizon: int | None
    ) -> None:
        test = fed(MarginTest(margin=0.1, reverse=reverse, horizon=horizon), first)
        stored = msgspec.convert(msgspec.to_builtins(test), MarginTest)
        assert fed(stored, then).log_e == fed(test, then).log_e
        assert stored == test
