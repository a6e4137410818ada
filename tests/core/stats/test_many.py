"""One definition of the arithmetic: an array of runs is as many single runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.stats.betting import MarginTest
from greenlight.core.stats.evalues import AssignmentTest, EventTest
from greenlight.core.stats.many import ARRAYS, AssignmentTests, EventTests, MarginTests
from greenlight.core.stats.numbers import FLOATS, NOTHING

RUNS, STEPS = 6, 80
HORIZONS = (None, 25)


def streams(seed: int) -> tuple[Any, Any, Any, Any]:
    """Arms, outcomes, probabilities (0 and 1 among them) and minutes: a row per step."""
    rng = np.random.default_rng(seed)
    shape = (STEPS, RUNS)
    arms = (rng.random(shape) < 0.4).astype(float)
    pi = np.where(rng.random(shape) < 0.2, rng.integers(0, 2, shape), rng.random(shape))
    minutes = np.maximum.accumulate(rng.integers(0, 50, shape), axis=0)
    minutes[::7] -= 3  # some come late
    return arms, rng.random(shape), pi, minutes.clip(0)


def name(arm: float) -> str:
    return "candidate" if arm else "control"


@pytest.mark.parametrize("horizon", HORIZONS)
class TestScalarEqualsArray:
    """To 1e-12, after every step, in every run."""

    @pytest.mark.parametrize("direction", ["harm", "superiority"])
    def test_assignment(self, horizon: int | None, direction: Any) -> None:
        arms, values, pi, minutes = streams(1)
        good = (values < 0.7).astype(float)
        many = AssignmentTests(direction=direction, horizon=horizon, runs=RUNS)
        single = [AssignmentTest(direction=direction, horizon=horizon) for _ in range(RUNS)]
        assert many.log_e == pytest.approx([0] * RUNS, abs=1e-15)
        for step in range(STEPS):
            many.take(arms[step], good[step], pi[step], minutes[step])
            for run, test in enumerate(single):
                test.update(name(arms[step, run]), good[step, run], *_at(step, run, pi, minutes))
            assert many.log_e == pytest.approx([test.log_e for test in single], abs=1e-12)

    def test_events(self, horizon: int | None) -> None:
        arms, _, share, minutes = streams(2)
        many = EventTests(tolerance=1.5, horizon=horizon, runs=RUNS)
        single = [EventTest(tolerance=1.5, horizon=horizon) for _ in range(RUNS)]
        assert many.log_e == pytest.approx([0] * RUNS, abs=1e-15)
        for step in range(STEPS):
            many.take(arms[step], share[step], minutes[step])
            for run, test in enumerate(single):
                test.update(name(arms[step, run]), *_at(step, run, share, minutes))
            assert many.log_e == pytest.approx([test.log_e for test in single], abs=1e-12)

    @pytest.mark.parametrize("reverse", [False, True])
    def test_margin(self, horizon: int | None, reverse: bool) -> None:
        arms, values, pi, minutes = streams(3)
        many = MarginTests(margin=0.1, reverse=reverse, horizon=horizon, runs=RUNS)
        single = [MarginTest(margin=0.1, reverse=reverse, horizon=horizon) for _ in range(RUNS)]
        assert many.log_e == pytest.approx([0] * RUNS, abs=1e-15)
        for step in range(STEPS):
            many.take(arms[step], values[step], pi[step], minutes[step])
            for run, test in enumerate(single):
                event = _at(step, run, pi, minutes)
                test.update(name(arms[step, run]), values[step, run], *event)
            assert many.log_e == pytest.approx([test.log_e for test in single], abs=1e-12)


def _at(step: int, run: int, chances: Any, minutes: Any) -> tuple[float, int]:
    return float(chances[step, run]), int(minutes[step, run])


def test_a_run_that_has_nothing_to_say_learns_nothing() -> None:
    """A candidate with π = 0, a share of 0: what EVIDENCE's simulations do between events."""
    core = AssignmentTests(direction="harm", runs=2)
    core.take(np.array([0.0, 1.0]), np.array([1.0, 1.0]), np.array([0.5, 0.0]))
    assert core.seen.tolist() == [2.998, 2.0]
    assert core.log_e[1] == pytest.approx(0, abs=1e-15)
    events = EventTests(runs=2)
    events.take(np.array([1.0, 1.0]), np.array([0.5, 0.0]), 0)
    assert events.log_e[0] > 0
    assert events.log_e[1] == pytest.approx(0, abs=1e-15)


NUMBERS = st.floats(-300, 300)


class TestNumbers:
    """Floats and arrays agree on what operators do not cover."""

    @given(NUMBERS, NUMBERS)
    def test_floats_and_arrays(self, a: float, b: float) -> None:
        one, other = np.array([a]), np.array([b])
        assert FLOATS.exp(a) == pytest.approx(float(ARRAYS.exp(one)[0]), rel=1e-12)
        assert FLOATS.least(a, b) == ARRAYS.least(one, other)[0] == min(a, b)
        assert FLOATS.most(a, b) == ARRAYS.most(one, other)[0] == max(a, b)
        assert FLOATS.any(a > b) == ARRAYS.any(one > other) == (a > b)

    @given(st.lists(st.floats(-700, 700), min_size=1, max_size=6))
    def test_a_sum_of_logarithms(self, logs: list[float]) -> None:
        found = FLOATS.log_sum(logs)
        assert found == pytest.approx(float(ARRAYS.log_sum([np.array([x]) for x in logs])[0]))
        top = max(logs)
        assert found == pytest.approx(top + math.log(math.fsum(math.exp(x - top) for x in logs)))

    def test_nothing(self) -> None:
        """The logarithm of 0, alone and among others."""
        assert FLOATS.log(0.0) == NOTHING == ARRAYS.log(np.array([0.0]))[0]
        assert FLOATS.log(math.e) == pytest.approx(1)
        assert FLOATS.log_sum([NOTHING, NOTHING]) == NOTHING
        assert FLOATS.log_sum([NOTHING, 1.5, NOTHING]) == 1.5
        assert ARRAYS.log_sum([np.array([NOTHING, 1.5]), NOTHING]).tolist() == [NOTHING, 1.5]

    def test_it_holds_in_any_run(self) -> None:
        assert ARRAYS.any(np.array([False, True]))
        assert not ARRAYS.any(np.array([False, False]))
        assert ARRAYS.any(np.array([False])) is False
