"""The core test: exact by enumeration, calibrated by simulation, quick enough by its targets."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.stats.core_test import CoreTest, Direction

PROBABILITY = st.floats(0.01, 0.99)


@pytest.mark.parametrize("direction", ["harm", "superiority"])
@pytest.mark.parametrize("horizon", [None, 5])
@pytest.mark.parametrize("pi", [0.1, 0.5, 0.9])
def test_expected_e_is_one_by_enumeration(
    direction: Direction, horizon: int | None, pi: float
) -> None:
    """Given any outcomes, E averages to 1 over all assignments: the null needs no model of y."""
    for outcomes in itertools.product([0.0, 1.0], repeat=6):
        total = 0.0
        for arms in itertools.product([False, True], repeat=6):
            test = CoreTest.of(direction, horizon)
            chance = 1.0
            for minute, (y, candidate) in enumerate(zip(outcomes, arms, strict=True), start=1):
                test.update(y, candidate, pi, minute)
                chance *= pi if candidate else 1 - pi
            total += chance * math.exp(test.log_e)
        assert total == pytest.approx(1.0, abs=1e-9)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30), st.sampled_from([0.0, 1.0]))
def test_a_known_arm_carries_no_evidence(events: list[tuple[bool, bool]], pi: float) -> None:
    """With π of 0 or 1 every factor is 1 (EVIDENCE, interval rule)."""
    test = CoreTest.of("harm")
    for y, candidate in events:
        test.update(float(y), candidate, pi, 1)
    assert test.log_e == pytest.approx(0.0, abs=1e-12)


@given(PROBABILITY, st.booleans())
def test_a_bad_candidate_answer_is_evidence_of_harm(pi: float, candidate: bool) -> None:
    test = CoreTest.of("harm")
    test.update(0.0, candidate, pi, 1)
    assert (test.log_e > 0) == candidate


def first_crossing(
    rng: np.random.Generator,
    direction: Direction,
    rates: tuple[float, float],
    pi: float,
    log_threshold: float,
    outcomes: int,
) -> float:
    """Outcomes until the test acts; infinity if it does not."""
    test = CoreTest.of(direction)
    arms = rng.random(outcomes) < pi
    goods = rng.random(outcomes) < np.where(arms, rates[1], rates[0])
    for n, (good, candidate) in enumerate(zip(goods, arms, strict=True), start=1):
        test.update(float(good), bool(candidate), pi, 1)
        if test.log_e >= log_threshold:
            return n
    return math.inf


@pytest.mark.parametrize("rate", [0.01, 0.5, 0.9])
def test_false_alarms_stay_within_alpha_at_every_look(rate: float) -> None:
    """EVIDENCE targets, thin: 200 runs of 1,500 looks; the long run is a benchmark."""
    rng = np.random.default_rng(5)
    runs, alpha = 200, 0.05
    alarms = sum(
        math.isfinite(first_crossing(rng, "superiority", (rate, rate), 0.3, -math.log(alpha), 1500))
        for _ in range(runs)
    )
    assert alarms / runs <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def test_a_drifting_base_rate_and_a_changing_split_fool_nobody() -> None:
    """Simpson: the split widens while the base rate climbs from .60 to .80, without any effect."""
    rng = np.random.default_rng(6)
    runs, alarms = 150, 0
    for _ in range(runs):
        test = CoreTest.of("superiority")
        worst = -math.inf
        for base, pi in ((0.6, 0.1), (0.8, 0.5)):
            arms, goods = rng.random(800) < pi, rng.random(800) < base
            for good, candidate in zip(goods, arms, strict=True):
                test.update(float(good), bool(candidate), pi, 1)
                worst = max(worst, test.log_e)
        alarms += worst >= math.log(20)
    assert alarms / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


def test_sample_size_for_a_real_improvement() -> None:
    """.80 → .85 at 50/50, one-sided α .05: the median stays near 640 outcomes per arm."""
    rng = np.random.default_rng(7)
    needed = [
        first_crossing(rng, "superiority", (0.80, 0.85), 0.5, math.log(20), 8000) for _ in range(60)
    ]
    assert float(np.median(needed)) / 2 <= 800


def test_a_collapse_under_a_canary_is_found_within_few_answers() -> None:
    """.935 → .30 under a 10 % canary at the demo's threshold: a few hundred outcomes."""
    rng = np.random.default_rng(8)
    needed = [
        first_crossing(rng, "harm", (0.935, 0.30), 0.1, math.log(300), 3000) for _ in range(40)
    ]
    assert max(needed) <= 600
