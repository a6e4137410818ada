"""EVIDENCE, targets, thinly: many short runs at once. The long runs are a benchmark."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from greenlight.core.stats.evalues import Direction
from greenlight.core.stats.many import AssignmentTests, EventTests, MarginTests


def alarms(
    direction: Direction, rates: Any, pi: Any, runs: int, outcomes: int, log_threshold: float
) -> tuple[float, list[float]]:
    """Share of runs that ever act, and the outcomes that each needed (∞: it did not)."""
    rng = np.random.default_rng(5)
    test = AssignmentTests(direction=direction, runs=runs)
    needed = np.full(runs, np.inf)
    for n in range(outcomes):
        control, candidate = rates(n / outcomes)
        share = pi(n / outcomes)
        arms = (rng.random(runs) < share).astype(float)
        good = (rng.random(runs) < np.where(arms, candidate, control)).astype(float)
        test.take(arms, good, share)
        needed = np.where((test.log_e >= log_threshold) & np.isinf(needed), n + 1, needed)
    return float(np.isfinite(needed).mean()), needed.tolist()


def bound(alpha: float, runs: int) -> float:
    """α and three standard errors of its estimate."""
    return alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def ever(reverse: bool, pi: float, difference: float, runs: int, outcomes: int) -> Any:
    """In each run, the outcomes until E ≥ 20 with p = .8 and a margin of .1; ∞: never."""
    rng = np.random.default_rng(6)
    test, needed = MarginTests(margin=0.1, reverse=reverse, runs=runs), np.full(runs, np.inf)
    for n in range(outcomes):
        arms = (rng.random(runs) < pi).astype(float)
        good = (rng.random(runs) < 0.8 + arms * difference).astype(float)
        test.take(arms, good, pi)
        needed = np.where((test.log_e >= math.log(20)) & np.isinf(needed), n + 1, needed)
    return needed


class TestEvalues:
    """EVIDENCE, core test and rare events."""

    @pytest.mark.parametrize("rate", [0.01, 0.5, 0.9])
    def test_false_alarms_at_every_look(self, rate: float) -> None:
        share, _ = alarms(
            "superiority", lambda t: (rate, rate), lambda t: 0.3, 400, 1000, math.log(20)
        )
        assert share <= bound(0.05, 400)

    def test_simpson(self) -> None:
        """The split widens from 10 to 50 % while the base rate climbs from .60 to .80."""
        share, _ = alarms(
            "superiority",
            lambda t: (0.6 + 0.2 * (t > 0.5),) * 2,
            lambda t: 0.5 if t > 0.5 else 0.1,
            400,
            1000,
            math.log(20),
        )
        assert share <= bound(0.05, 400)

    def test_a_real_improvement(self) -> None:
        """.80 → .85 at 50/50, one-sided α .05: some 640 outcomes per arm in the median."""
        _, needed = alarms(
            "superiority", lambda t: (0.80, 0.85), lambda t: 0.5, 200, 2000, math.log(20)
        )
        assert 500 <= float(np.median(needed)) / 2 <= 750

    def test_a_collapse_under_a_canary(self) -> None:
        """.935 → .30 at 10 % and a threshold of 300: a few hundred outcomes."""
        _, needed = alarms("harm", lambda t: (0.935, 0.30), lambda t: 0.1, 100, 600, math.log(300))
        assert max(needed) <= 600

    def test_one_user_who_always_fails_is_one_event(self) -> None:
        """Units prone to errors, met before the first failure: within α at every look."""
        rng = np.random.default_rng(4)
        runs, units, prone, alpha = 1000, 400, 40, 0.01
        arms = (rng.random((runs, units)) < 0.1).astype(float)
        candidates, test, highest = arms.sum(axis=1), EventTests(runs=runs), np.zeros(runs)
        for event in range(prone):
            failed = arms[:, event]
            test.take(failed, candidates / (units - event), 1 + event)
            candidates = candidates - failed
            highest = np.maximum(highest, test.log_e)
        assert (highest >= -math.log(alpha)).mean() <= bound(alpha, runs)


class TestMargin:
    """EVIDENCE, table of tests: non-inferiority."""

    @pytest.mark.parametrize("reverse", [False, True])
    @pytest.mark.parametrize("pi", [0.01, 0.1, 0.5])
    def test_false_alarms_at_every_look(self, pi: float, reverse: bool) -> None:
        """At the margin itself, the hardest point of both nulls."""
        alarms = np.isfinite(ever(reverse, pi, -0.1, 400, 600)).mean()
        assert alarms <= bound(0.05, 400)

    def test_how_many_outcomes_it_takes(self) -> None:
        """Margin .10 at a 10 % canary, p = .8, no difference: some 1,000 in the median."""
        assert 800 <= np.median(ever(False, 0.1, 0.0, 200, 1500)) <= 1250

    def test_harm_beyond_the_margin(self) -> None:
        """.8 → .5 at 10 %: it leans to no difference, and so takes its time."""
        assert 1000 <= np.median(ever(True, 0.1, -0.3, 100, 1600)) <= 1500
