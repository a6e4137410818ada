"""The core test and the test of rare events: by hand, by shape, by their targets."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from greenlight.core.states import Variant
from greenlight.core.stats.evalues import (
    HORIZON,
    THETA_WEIGHTS,
    THETAS,
    AssignmentTest,
    Direction,
    EventTest,
    is_candidate,
    probability,
    tilt,
    two_proportions,
)

ARMS = st.sampled_from(["control", "candidate"])
OUTCOMES = st.sampled_from([0, 1])
EXTREME = st.sampled_from([0.0, 1e-300, 1e-9, 1e-3, 0.1, 0.5, 0.999, 1 - 1e-9, 1 - 1e-16, 1.0])
PI = st.one_of(EXTREME, st.floats(0, 1))
INSIDE = st.floats(0.01, 0.99)
MINUTES = st.integers(0, 40)
EVENTS = st.lists(st.tuples(ARMS, OUTCOMES, PI, MINUTES), max_size=30)
FIRST_EVENTS = st.lists(st.tuples(ARMS, PI, MINUTES), max_size=30)
HORIZONS = st.sampled_from([None, 20])
DIRECTIONS = st.sampled_from(["harm", "superiority"])


def fed(test: Any, events: Any) -> Any:
    """The test after these events."""
    for event in events:
        test.update(*event)
    return test


class TestAssignmentTest:
    """EVIDENCE, core test. Exactness is in test_exact."""

    @pytest.mark.parametrize("horizon", [None, 10])
    def test_by_hand(self, horizon: int | None) -> None:
        """Written from the formula in EVIDENCE with six bets and their stakes, nothing shared."""
        stream = [
            ("control", 1, 0.3, 1),
            ("candidate", 0, 0.3, 1),
            ("control", 0, 0.6, 2),
            ("candidate", 1, 0.6, 5),
            ("control", 1, 1.0, 5),
            ("candidate", 0, 0.0, 6),
            ("candidate", 0, 0.2, 12),
        ]
        thetas, stakes = (0.1, 0.2, 0.35, 0.5, 0.8, 1.2), (1 / 8, 1 / 4, 1 / 4, 1 / 8, 1 / 8, 1 / 8)
        for direction, sign in (("harm", -1), ("superiority", 1)):
            test = fed(AssignmentTest(direction=direction, horizon=horizon), stream)

            def staked(k: int) -> float:
                return 0.45 + 0.3 * (1 - 1 / (k + 1)) + 0.25 * min(k / 10, 1) if horizon else 1.0

            wealth, kept, good, seen, minute = [staked(0)] * 6, 1 - staked(0), 1.0, 2.0, 0
            for arm, y, pi, now in stream:
                wealth = [w + staked(now) - staked(minute) for w in wealth]
                minute, kept = now, 1 - staked(now)
                q0 = good / seen
                for bet, theta in enumerate(thetas):
                    odds = q0 / (1 - q0) * math.exp(sign * theta)
                    q1 = odds / (1 + odds)
                    l0, l1 = (q0, q1) if y else (1 - q0, 1 - q1)
                    if 0 < pi < 1:
                        own = l1 if arm == "candidate" else l0
                        wealth[bet] *= own / (pi * l1 + (1 - pi) * l0)
                if arm == "control":
                    good, seen = 0.999 * good + y, 0.999 * seen + 1
            e = kept + sum(w * stake for w, stake in zip(wealth, stakes, strict=True))
            assert math.exp(test.log_e) == pytest.approx(e, rel=1e-12)
            assert (test.good, test.seen) == pytest.approx((good, seen), rel=1e-12)

    def test_update_returns_log_e(self) -> None:
        test = AssignmentTest(direction="harm")
        assert test.update("candidate", 0, 0.5) == test.log_e > 0

    def test_a_minute_is_the_first_unless_told(self) -> None:
        one, other = (AssignmentTest(direction="harm", horizon=9) for _ in range(2))
        one.update("candidate", 0, 0.5)
        other.update("candidate", 0, 0.5, 1)
        assert one == other
        other.take(1, 0, 0.5)
        one.take(1, 0, 0.5, 1)
        assert one == other
        assert one.minute == 1

    @given(EVENTS, st.sampled_from([0.0, 1.0]), HORIZONS)
    def test_a_known_arm_carries_no_evidence(
        self, events: list[Any], pi: float, horizon: int | None
    ) -> None:
        """With π of 0 or 1 every factor is 1, but the base rate is learnt."""
        test = AssignmentTest(direction="harm", horizon=horizon)
        fed(test, [(arm, y, pi, minute) for arm, y, _, minute in events])
        assert test.log_e == pytest.approx(0, abs=1e-12)
        controls = sum(arm == "control" for arm, *_ in events)
        assert (test.seen > 2) == (controls > 0)

    @given(EVENTS, HORIZONS)
    def test_harm_is_superiority_of_the_opposite(
        self, events: list[Any], horizon: int | None
    ) -> None:
        harm = fed(AssignmentTest(direction="harm", horizon=horizon), events)
        opposite = [(arm, 1 - y, pi, minute) for arm, y, pi, minute in events]
        win = fed(AssignmentTest(direction="superiority", horizon=horizon), opposite)
        assert harm.log_e == pytest.approx(win.log_e, rel=1e-9, abs=1e-12)

    @given(EVENTS, INSIDE, DIRECTIONS, HORIZONS)
    def test_what_speaks_for_and_against(
        self, events: list[Any], pi: float, direction: Direction, horizon: int | None
    ) -> None:
        """A further BAD candidate answer, or GOOD one of control, is evidence of harm."""
        for arm in Variant:
            for y in (0, 1):
                test = fed(AssignmentTest(direction=direction, horizon=horizon), events)
                before, minute = test.log_e, test.minute
                after = test.update(arm, y, pi, minute + 1)
                harms = (arm is Variant.CANDIDATE) == (y == 0)
                assert (after > before) == (harms == (direction == "harm"))

    @given(EVENTS, DIRECTIONS, HORIZONS)
    @example([("candidate", 1, 1 - 1e-16, 0), ("control", 0, 1e-300, 40)], "harm", 20)
    def test_evidence_is_a_number(
        self, events: list[Any], direction: Direction, horizon: int | None
    ) -> None:
        test = AssignmentTest(direction=direction, horizon=horizon)
        assert all(math.isfinite(test.update(*event)) for event in events)

    @pytest.mark.parametrize("arm", [0, 1])
    @pytest.mark.parametrize("outcome", [0, 1])
    def test_a_hundred_thousand_equal_outcomes(self, arm: int, outcome: int) -> None:
        """One surprise afterwards, of whatever kind and chance, is no end."""
        test = AssignmentTest(direction="harm", horizon=1000)
        for event in range(100_000 if arm and not outcome else 10_000):
            test.take(arm, outcome, 0.01, event // 20)
        assert math.isfinite(test.log_e)
        for pi in (1e-9, 0.5, 1 - 1e-12):
            for name in Variant:
                assert math.isfinite(test.update(name, 1 - outcome, pi, 5001))

    @pytest.mark.parametrize(("good", "rate"), [(0.0, 1e-4), (1000.0, 1 - 1e-4), (300.0, 0.3)])
    @pytest.mark.parametrize("y", [0, 1])
    def test_the_estimate_is_kept_off_the_edges(self, good: float, rate: float, y: int) -> None:
        """The factor by hand, for a rate that is what was seen or the nearest that may be."""
        pi, e = 0.3, 0.0
        for theta, stake in zip(THETAS, THETA_WEIGHTS, strict=True):
            odds = rate / (1 - rate) * math.exp(-theta)
            own, other = odds / (1 + odds), rate
            if not y:
                own, other = 1 - own, 1 - other
            e += stake * own / (pi * own + (1 - pi) * other)
        test = AssignmentTest(direction="harm", good=good, seen=1000.0)
        assert math.exp(test.update("candidate", y, pi)) == pytest.approx(e, rel=1e-12)

    @pytest.mark.parametrize("outcome", [0.5, math.nan, -1, 2])
    def test_an_outcome_is_0_or_1(self, outcome: float) -> None:
        with pytest.raises(ValueError, match=rf"^outcome {outcome}: expected 1 \(GOOD\) or 0"):
            AssignmentTest(direction="harm").update("control", outcome, 0.5)

    @pytest.mark.parametrize("pi", [-1, -1e-9, 1.1, math.nan, math.inf])
    def test_pi_is_a_probability(self, pi: float) -> None:
        with pytest.raises(ValueError, match=rf"^pi {pi}: expected a number in \[0, 1\]$"):
            AssignmentTest(direction="harm").update("control", 1, pi)

    def test_a_direction_and_a_variant_have_names(self) -> None:
        direction: Any = "better"
        with pytest.raises(ValueError, match=r"^direction 'better': expected 'harm' or"):
            AssignmentTest(direction=direction)
        with pytest.raises(ValueError, match=r"^variant 'blue': expected 'control' or"):
            AssignmentTest(direction="harm").update("blue", 1, 0.5)

    @pytest.mark.parametrize("event", [("blue", 1, 0.5), ("control", 3, 0.5), ("control", 1, 7)])
    def test_what_is_refused_changes_nothing(self, event: Any) -> None:
        test = AssignmentTest(direction="harm", horizon=5)
        with pytest.raises(ValueError, match="expected"):
            test.update(*event, 4)
        assert test == AssignmentTest(direction="harm", horizon=5)

    @given(EVENTS, EVENTS, DIRECTIONS, HORIZONS)
    def test_a_stored_test_goes_on_to_the_bit(
        self, first: list[Any], then: list[Any], direction: Direction, horizon: int | None
    ) -> None:
        test = fed(AssignmentTest(direction=direction, horizon=horizon), first)
        stored = msgspec.convert(msgspec.to_builtins(test), AssignmentTest)
        assert fed(stored, then).log_e == fed(test, then).log_e
        assert stored == test


class TestEventTest:
    """EVIDENCE, table of tests: errors, timeouts, slow answers."""

    @pytest.mark.parametrize("tolerance", [1.0, 2.5])
    def test_by_hand(self, tolerance: float) -> None:
        """Bets on odds 2, 5, 20 and 100 times what is tolerated, of equal stakes; no horizon."""
        stream = [("candidate", 0.2), ("control", 0.3), ("candidate", 0.6), ("control", 1.0)]
        test = EventTest(horizon=None, tolerance=tolerance)
        wealth = [1.0] * 4
        for minute, (arm, share) in enumerate(stream, start=1):
            test.update(arm, share, minute)
            if share == 1:
                continue
            null = tolerance * share / (tolerance * share + 1 - share)
            for bet, ratio in enumerate((2, 5, 20, 100)):
                q = ratio * null / (ratio * null + 1 - null)
                wealth[bet] *= q / null if arm == "candidate" else (1 - q) / (1 - null)
        assert math.exp(test.log_e) == pytest.approx(sum(wealth) / 4, rel=1e-12)

    def test_it_restarts_over_a_fortnight_unless_told(self) -> None:
        assert EventTest().horizon == HORIZON == 14 * 24 * 60
        assert EventTest().tolerance == 1
        assert EventTest().start == math.log(0.45)

    @given(INSIDE, st.floats(1, 100))
    def test_tilting_multiplies_the_odds(self, share: float, ratio: float) -> None:
        tilted, rest = tilt(share, ratio)
        assert tilted + rest == pytest.approx(1)
        assert tilted / rest == pytest.approx(ratio * share / (1 - share), rel=1e-9)

    @given(st.lists(st.tuples(ARMS, st.sampled_from([0.0, 1.0]), MINUTES)), HORIZONS)
    def test_a_stratum_with_one_arm_says_nothing(
        self, events: list[Any], horizon: int | None
    ) -> None:
        assert fed(EventTest(horizon=horizon), events).log_e == pytest.approx(0, abs=1e-12)

    @given(FIRST_EVENTS, INSIDE, st.floats(1, 5), HORIZONS)
    def test_what_speaks_for_and_against(
        self, events: list[Any], share: float, tolerance: float, horizon: int | None
    ) -> None:
        for arm in Variant:
            test = fed(EventTest(horizon=horizon, tolerance=tolerance), events)
            before = test.log_e
            assert (test.update(arm, share, test.minute + 1) > before) == (arm == "candidate")

    @given(FIRST_EVENTS, st.sampled_from([1.0, 3.0, 1e6]), HORIZONS)
    @example([("candidate", 1 - 1e-12, 1), ("control", 1 - 1e-12, 1)], 1.0, None)
    def test_evidence_is_a_number(
        self, events: list[Any], tolerance: float, horizon: int | None
    ) -> None:
        test = EventTest(horizon=horizon, tolerance=tolerance)
        assert all(math.isfinite(test.update(*event)) for event in events)

    @pytest.mark.parametrize(("arm", "share"), [(0, 1 - 1e-12), (1, 1e-9)])
    def test_a_hundred_thousand_equal_events(self, arm: int, share: float) -> None:
        test = EventTest(horizon=1000)
        for event in range(100_000 if arm else 10_000):
            test.take(arm, share, event // 20)
        assert math.isfinite(test.log_e)

    def test_a_tolerated_excess_is_no_harm(self) -> None:
        """With a tolerance of 3 the same events are weaker evidence."""
        strict, lenient = EventTest(), EventTest(tolerance=3.0)
        for test in (strict, lenient):
            fed(test, [("candidate", 0.1, 1)] * 5)
        assert 0 < lenient.log_e < strict.log_e

    @pytest.mark.parametrize(
        ("share", "least", "most"), [(0.10, 4, 4), (0.25, 6, 7), (0.50, 12, 13)]
    )
    def test_a_dead_candidate(self, share: float, least: int, most: int) -> None:
        """EVIDENCE, targets: candidate requests at 100 % errors until E reaches 1,000."""
        test, failures = EventTest(), 0
        while test.log_e < math.log(1000):
            failures += 1
            test.update("candidate", share, 1)
        assert least <= failures <= most

    @pytest.mark.parametrize("tolerance", [0.99, 0.0, -1.0, math.nan])
    def test_a_tolerance_is_at_least_1(self, tolerance: float) -> None:
        with pytest.raises(ValueError, match=f"^tolerance {tolerance}: below 1 it would demand"):
            EventTest(tolerance=tolerance)

    @pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
    def test_a_share_is_a_probability(self, share: float) -> None:
        with pytest.raises(ValueError, match=rf"^share {share}: expected a number in \[0, 1\]$"):
            EventTest().update("control", share, 1)

    def test_a_variant_has_a_name(self) -> None:
        with pytest.raises(ValueError, match=r"^variant '': expected 'control' or 'candidate'$"):
            EventTest().update("", 0.5, 1)

    @given(FIRST_EVENTS, FIRST_EVENTS, HORIZONS)
    def test_a_stored_test_goes_on_to_the_bit(
        self, first: list[Any], then: list[Any], horizon: int | None
    ) -> None:
        test = fed(EventTest(horizon=horizon, tolerance=1.5), first)
        stored = msgspec.convert(msgspec.to_builtins(test), EventTest)
        assert fed(stored, then).log_e == fed(test, then).log_e
        assert stored == test


class TestTwoProportions:
    """arXiv 2106.02693."""

    def test_the_published_number(self) -> None:
        """The package safestats, prior .18, blocks of one: 1.095505."""
        prior = (0.18, 0.18)
        ya, yb = (1, 0, 1, 0, 0, 0, 1), (1, 0, 1, 1, 1, 0, 1)
        found = two_proportions(ya, yb, 1, 1, prior, prior)
        assert found == pytest.approx(1.095505, abs=5e-7)

    def test_by_hand(self) -> None:
        """Blocks of 2 and 1: rates 1/4 and 2/3, then 2/6 and 3/4, weighted 2:1 under the null."""
        found = two_proportions([1, 2], [1, 0], 2, 1, (1, 3), (2, 1))
        one, two = (2 / 4 + 2 / 3) / 3, (4 / 6 + 3 / 4) / 3
        first = (1 / 4 / one) * (3 / 4 / (1 - one)) * (2 / 3 / one)
        second = (2 / 6 / two) ** 2 * (1 / 4 / (1 - two))
        assert found == pytest.approx(first * second, rel=1e-12)
        assert two_proportions([], [], 1, 1, (1, 1), (1, 1)) == 1

    @pytest.mark.parametrize(
        ("ya", "yb", "na", "nb", "a", "b", "says"),
        [
            (
                [1],
                [1, 0],
                1,
                1,
                (1, 1),
                (1, 1),
                "^1 blocks of a against 2 of b; they come in",
            ),
            ([2], [0], 1, 1, (1, 1), (1, 1), "a block of 2 and 0 successes is not within 1 and 1"),
            ([-1], [0], 1, 1, (1, 1), (1, 1), "a block of -1 and 0 successes"),
            ([0], [4], 2, 3, (1, 1), (1, 1), "a block of 0 and 4 successes is not within 2 and 3"),
            ([0], [-1], 2, 3, (1, 1), (1, 1), "a block of 0 and -1 successes"),
            ([0], [0], 0, 1, (1, 1), (1, 1), "^blocks need at least one trial of each arm"),
            ([0], [0], 1, 0, (1, 1), (1, 1), "^blocks need at least one trial of each arm"),
            ([0], [0], 1, 1, (0, 1), (1, 1), "and priors parameters > 0$"),
            ([0], [0], 1, 1, (1, 1), (1, 0), "and priors parameters > 0$"),
        ],
    )
    def test_what_it_refuses(self, ya, yb, na, nb, a, b, says) -> None:
        with pytest.raises(ValueError, match=says):
            two_proportions(ya, yb, na, nb, a, b)


def test_names_and_numbers() -> None:
    assert (is_candidate("candidate"), is_candidate("control")) == (1, 0)
    assert [probability(value, "x") for value in (0, 0.3, 1)] == [0, 0.3, 1]
