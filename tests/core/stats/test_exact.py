"""The proofs of EVIDENCE, carried out: every path that a short rollout can take, with its chance.

A test is exact if E averages to 1 at the edge of its null and to no more within it, whatever the
rest of the world does. What a world does next may depend on all that happened before; only what
the null speaks of is fixed.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from greenlight.core.assignment import Interval, interval, variant
from greenlight.core.states import Variant
from greenlight.core.stats.betting import MarginTest
from greenlight.core.stats.evalues import AssignmentTest, Direction, EventTest, tilt
from greenlight.core.stats.srm import SampleRatioTest

CANDIDATE, CONTROL = Variant.CANDIDATE, Variant.CONTROL
CLOSE = 1e-12

Event = tuple[Any, ...]
"""What `update` of the test takes."""
World = Callable[[tuple[Event, ...]], Sequence[tuple[float, Event]]]
"""What can happen next after a past, with its chances; nothing at the end."""

MINUTES = (1, 1, 3, 2, 9, 14)
"""Several events in a minute, a pause, one that is late, and the end of the horizon."""
HORIZONS = (None, 7)


def expected(test: Any, world: World, past: tuple[Event, ...] = ()) -> float:
    """The average of E over all that can happen."""
    branches = world(past)
    if not branches:
        return math.exp(test.log_e)
    assert math.fsum(chance for chance, _ in branches) == pytest.approx(1, abs=1e-15)
    total = 0.0
    for chance, event in branches:
        following = copy.copy(test)  # fields are replaced, never changed
        following.update(*event)
        total += chance * expected(following, world, (*past, event))
    return total


def candidates(past: tuple[Event, ...]) -> int:
    return sum(event[0] == CANDIDATE for event in past)


def even(past: tuple[Event, ...]) -> float:
    return 0.5


def rare(past: tuple[Event, ...]) -> float:
    return 0.01


def moving(past: tuple[Event, ...]) -> float:
    """A weight that whoever runs the rollout changes by what was seen, with 0 and 1 on the way."""
    path = (0.1, 0.4, 0.0, 0.75, 1.0, 0.2)
    return path[(len(past) + candidates(past)) % len(path)]


SPLITS = (even, rare, moving)


def assigned(outcome: Callable[[tuple[Event, ...]], float], split: Any, events: int) -> World:
    """Outcomes that the arm has no part in: only the assignment is luck."""

    def world(past: tuple[Event, ...]) -> list[tuple[float, Event]]:
        if len(past) == events:
            return []
        pi, y, minute = split(past), outcome(past), MINUTES[len(past)]
        return [
            (chance, (arm, y, pi, minute)) for chance, arm in ((pi, CANDIDATE), (1 - pi, CONTROL))
        ]

    return world


def answering(good: Callable[[Variant, tuple[Event, ...]], float], split: Any, n: int) -> World:
    """Outcomes that are GOOD with a chance that depends on the arm and on the past."""

    def world(past: tuple[Event, ...]) -> list[tuple[float, Event]]:
        if len(past) == n:
            return []
        pi, minute = split(past), MINUTES[len(past)]
        found = []
        for share, arm in ((pi, CANDIDATE), (1 - pi, CONTROL)):
            chance = good(arm, past)
            found.append((share * chance, (arm, 1.0, pi, minute)))
            found.append((share * (1 - chance), (arm, 0.0, pi, minute)))
        return found

    return world


BASE = (0.3, 0.9, 0.05, 0.6, 0.5)
LIFT = (0.4, 0.0, 0.9, 0.1, 0.3)


@pytest.mark.parametrize("direction", ["harm", "superiority"])
@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize("split", SPLITS)
class TestAssignmentTest:
    """EVIDENCE, core test; arXiv 2106.02693, a randomised block of one."""

    def test_whatever_the_outcomes_are_e_averages_to_one(
        self, direction: Direction, horizon: int | None, split: Any
    ) -> None:
        """Any drift of the base rate is a sequence of outcomes: no model of it is needed."""
        for outcomes in itertools.product((0.0, 1.0), repeat=5):
            test = AssignmentTest(direction=direction, horizon=horizon)
            world = assigned(lambda past, ys=outcomes: ys[len(past)], split, 5)
            assert expected(test, world) == pytest.approx(1, abs=CLOSE)

    def test_carry_over_is_no_evidence(
        self, direction: Direction, horizon: int | None, split: Any
    ) -> None:
        """Outcomes that depend on the arms of the units before, for as long as not on the own."""
        test = AssignmentTest(direction=direction, horizon=horizon)
        world = assigned(lambda past: float(candidates(past) % 2), split, 6)
        assert expected(test, world) == pytest.approx(1, abs=CLOSE)

    @pytest.mark.parametrize("effect", [1, 0, -1])
    def test_within_the_null_e_averages_to_no_more(
        self, direction: Direction, horizon: int | None, split: Any, effect: int
    ) -> None:
        """Better or equal at each time is the null of harm; worse is what shows it."""
        sign = effect if direction == "harm" else -effect

        def good(arm: Variant, past: tuple[Event, ...]) -> float:
            base, lift = BASE[len(past)], LIFT[(len(past) + candidates(past)) % 5]
            if arm is CONTROL or not sign:
                return base
            return base + lift * (1 - base) if sign > 0 else base * (1 - lift)

        test = AssignmentTest(direction=direction, horizon=horizon)
        average = expected(test, answering(good, split, 5))
        if effect:
            assert effect * (1 - average) > 1e-5
        else:
            assert average == pytest.approx(1, abs=CLOSE)


@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize("tolerance", [1.0, 1.5, 3.0])
class TestEventTest:
    """EVIDENCE, table of tests: errors, timeouts, slow answers."""

    @pytest.mark.parametrize("hazard", [1.0, 0.5, 0.0, 1.4])
    def test_risk_sets_of_two_strata_that_shrink(
        self, horizon: int | None, tolerance: float, hazard: float
    ) -> None:
        """Next is a candidate unit `hazard` times the tolerance as likely as a control unit."""

        def world(past: tuple[Event, ...]) -> list[tuple[float, Event]]:
            if len(past) == 6:
                return []
            at_risk = [[3, 2], [1, 4]]
            for arm, _, _, stratum in past:
                at_risk[stratum][arm == CANDIDATE] -= 1
            stratum = (len(past) + candidates(past)) % 2
            if not sum(at_risk[stratum]):
                stratum = 1 - stratum
            control, candidate = at_risk[stratum]
            weight = candidate * hazard * tolerance
            chance = weight / (weight + control) if weight + control else 1.0
            share = candidate / (candidate + control)
            minute = MINUTES[len(past)]
            branches = ((chance, CANDIDATE), (1 - chance, CONTROL))
            return [(p, (arm, share, minute, stratum)) for p, arm in branches if p > 0]

        average = expected(_Stratified(horizon=horizon, tolerance=tolerance), world)
        if hazard == 1:
            assert average == pytest.approx(1, abs=CLOSE)
        else:
            assert (average < 1 - 1e-3) if hazard < 1 else (average > 1 + 1e-3)

    def test_units_that_differ_are_no_evidence(self, horizon: int | None, tolerance: float) -> None:
        """Who fails, and in which order, is given; the assignment alone is luck."""
        fails, units, pi = (4, 0, 2, 3), 6, 0.3
        total = 0.0
        for arms in itertools.product((0, 1), repeat=units):
            test = EventTest(horizon=horizon, tolerance=tolerance)
            at_risk = [units - sum(arms), sum(arms)]
            for unit, minute in zip(fails, MINUTES, strict=False):
                name = CANDIDATE if arms[unit] else CONTROL
                test.update(name, at_risk[1] / sum(at_risk), minute)
                at_risk[arms[unit]] -= 1
            chance = math.prod(pi if arm else 1 - pi for arm in arms)
            total += chance * math.exp(test.log_e)
        assert total == pytest.approx(1, abs=CLOSE) if tolerance == 1 else total < 1 - 1e-3

    def test_events_at_the_first_exposure_have_the_share_of_the_assignment(
        self, horizon: int | None, tolerance: float
    ) -> None:
        """Its arm was drawn a moment ago with probability π, whatever the others' arms are."""

        def world(past: tuple[Event, ...]) -> list[tuple[float, Event]]:
            if len(past) == 6:
                return []
            pi, minute = moving(past), MINUTES[len(past)]
            chance = tilt(pi, tolerance)[0]
            branches = ((chance, CANDIDATE), (1 - chance, CONTROL))
            return [(p, (arm, pi, minute)) for p, arm in branches]

        test = EventTest(horizon=horizon, tolerance=tolerance)
        assert expected(test, world) == pytest.approx(1, abs=CLOSE)


class _Stratified(EventTest):
    """Takes note of the stratum in the event, which the test itself need not know."""

    def update(self, variant: str, share: float, minute: int, stratum: int = 0) -> float:
        return super().update(variant, share, minute)


@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize("pi", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("reverse", [False, True])
class TestMarginTest:
    """EVIDENCE, table of tests: non-inferiority, and its reverse as a test of harm."""

    @pytest.mark.parametrize("beyond", [0.0, 0.2, -0.2])
    def test_at_the_margin_e_averages_to_one(
        self, horizon: int | None, pi: float, reverse: bool, beyond: float
    ) -> None:
        """`beyond` is how far the difference lies inside the null."""
        margin = 0.05
        difference = -margin + beyond if reverse else -margin - beyond

        def good(arm: Variant, past: tuple[Event, ...]) -> float:
            control = (0.3, 0.7, 0.4, 0.6)[(len(past) + candidates(past)) % 4]
            return control if arm is CONTROL else control + difference

        test = _leaning(margin, reverse, horizon)
        average = expected(test, answering(good, lambda past: pi, 4))
        if beyond:
            assert math.copysign(1, beyond) * (1 - average) > 1e-5
        else:
            assert average == pytest.approx(1, abs=CLOSE)

    def test_any_bounded_outcome(self, horizon: int | None, pi: float, reverse: bool) -> None:
        """Values between, a split that changes, and means that differ by exactly the margin."""
        margin, values = 0.25, (0.0, 0.375, 1.0)
        laws = {CONTROL: (0.5, 0.0, 0.5), CANDIDATE: (0.5, 0.4, 0.1)}

        def world(past: tuple[Event, ...]) -> list[tuple[float, Event]]:
            if len(past) == 3:
                return []
            share = pi if candidates(past) % 2 else 0.3
            minute = MINUTES[len(past)]
            return [
                (chance * weight, (arm, value, share, minute))
                for chance, arm in ((share, CANDIDATE), (1 - share, CONTROL))
                for value, weight in zip(values, laws[arm], strict=True)
            ]

        test = _leaning(margin, reverse, horizon)
        assert expected(test, world) == pytest.approx(1, abs=CLOSE)


def _leaning(margin: float, reverse: bool, horizon: int | None) -> MarginTest:
    """A test whose past makes it bet at once."""
    return MarginTest(
        margin=margin, reverse=reverse, horizon=horizon, leaning=200.0, precision=100.0
    )


WEIGHTS = (0.0, 0.1, 0.25, 0.5, 1.0)
CELLS = tuple(itertools.pairwise(WEIGHTS))
"""Between two neighbouring weights all buckets have the same arms."""


class TestIntervalRule:
    """EVIDENCE, assignment and units: π given the past, carry-over included."""

    @pytest.mark.parametrize("weight", WEIGHTS)
    def test_pi_is_the_chance_given_the_past(self, weight: float) -> None:
        """All weights up and down, 0 and back, over all buckets that one past leaves possible."""
        for earlier in itertools.product(WEIGHTS, repeat=3):
            groups: dict[tuple[Variant, ...], list[tuple[float, float]]] = {}
            for low, high in CELLS:
                arms = tuple(variant(low, before) for before in earlier)
                groups.setdefault(arms, []).append((low, high))
            for arms, cells in groups.items():
                size = sum(high - low for low, high in cells)
                green = sum(high - low for low, high in cells if variant(low, weight) is CANDIDATE)
                pi = interval(zip(earlier, arms, strict=True)).probability(weight)
                assert pi == pytest.approx(green / size, abs=CLOSE)

    VISITS = ("abc", "bcd", "acde")
    """Units met in each of three epochs: some come back, one skips an epoch, some are new."""

    @pytest.mark.parametrize("epochs", [(0.1, 0.5, 0.25), (0.25, 0.0, 0.5), (0.5, 0.1, 1.0)])
    @pytest.mark.parametrize("direction", ["harm", "superiority"])
    def test_a_test_fed_by_it_is_exact(
        self, epochs: tuple[float, ...], direction: Direction
    ) -> None:
        """Outcomes are any function of everybody's past arms: a memory of bad answers, say."""
        for seed in range(2):
            assert _fed(epochs, direction, seed, self.VISITS, exact=True) == pytest.approx(
                1, abs=CLOSE
            )

    def test_the_weight_alone_is_not_the_chance_of_who_was_seen_before(self) -> None:
        """Why the rule: with π = w for everybody, memory of the past counts as evidence."""
        off = [
            _fed((0.1, 0.5, 0.25), "superiority", seed, self.VISITS, exact=False) - 1
            for seed in range(4)
        ]
        assert max(off) > 1e-3


def _places(units: Sequence[str]) -> Iterator[tuple[float, dict[str, float]]]:
    """Every combination of cells that the units can lie in, with its chance."""
    for cells in itertools.product(CELLS, repeat=len(units)):
        chance = math.prod(high - low for low, high in cells)
        yield chance, {unit: low for unit, (low, _) in zip(units, cells, strict=True)}


def _fed(
    epochs: Sequence[float], direction: Direction, seed: int, visits: Sequence[str], *, exact: bool
) -> float:
    """The average E over all buckets of the units met in these epochs."""
    rng = np.random.default_rng(seed)
    outcomes: dict[tuple[Variant, ...], float] = {}
    total = 0.0
    for chance, places in _places("abcde"):
        test = AssignmentTest(direction=direction)
        known = dict.fromkeys(places, Interval())
        seen: tuple[Variant, ...] = ()
        for weight, units in zip(epochs, visits, strict=True):
            for unit in units:
                arm = variant(places[unit], weight)
                pi = known[unit].probability(weight) if exact else weight
                y = outcomes.setdefault(seen, float(rng.integers(2)))
                test.take(int(arm is CANDIDATE), y, pi)
                known[unit] = known[unit].after(weight, arm)
                seen = (*seen, arm)
        total += chance * math.exp(test.log_e)
    return total


class TestSampleRatioTest:
    """EVIDENCE, table of tests: SRM; arXiv 2011.03567, section 3."""

    @pytest.mark.parametrize("off", [0.0, 0.1])
    def test_units_that_are_assigned_as_meant(self, off: float) -> None:
        """Weights that follow what was seen, a new test per epoch, 0 and 1 without meaning."""

        def world(past: tuple[Event, ...]) -> list[tuple[float, Event]]:
            if len(past) == 8:
                return []
            epoch = 1 + len(past) // 3
            begun = past[: 3 * (epoch - 1)]
            weight = (0.1, 0.5, 0.0, 0.3)[(epoch + sum(event[0] for event in begun)) % 4]
            chance = weight if weight in (0, 1) else weight + off
            return [(chance, (True, weight, epoch)), (1 - chance, (False, weight, epoch))]

        average = expected(SampleRatioTest(), world)
        if off:
            assert average > 1 + 1e-4
        else:
            assert average == pytest.approx(1, abs=CLOSE)
