"""The error guardrail counts units and their first failures."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.stats.event_test import EventTest, tilt


@given(st.floats(0.001, 0.999), st.floats(1.0, 100.0))
def test_tilting_multiplies_the_odds(share: float, ratio: float) -> None:
    tilted = tilt(share, ratio)
    assert tilted / (1 - tilted) == pytest.approx(ratio * share / (1 - share), rel=1e-6)


@pytest.mark.parametrize("horizon", [None, 5])
def test_expected_e_is_one_under_the_null_by_enumeration(horizon: int | None) -> None:
    """Four events over units at risk, 3 candidates and 5 controls: E averages to 1."""
    total = 0.0
    for arms in itertools.product([False, True], repeat=4):
        test, chance, risk = EventTest.of(horizon), 1.0, [5, 3]
        for minute, candidate in enumerate(arms, start=1):
            share = risk[1] / sum(risk)
            chance *= share if candidate else 1 - share
            test.update(candidate, share, minute)
            risk[candidate] -= 1
        total += chance * math.exp(test.log_e)
    assert total == pytest.approx(1.0, abs=1e-9)


@given(st.booleans(), st.sampled_from([0.0, 1.0]))
def test_a_stratum_with_one_arm_says_nothing(candidate: bool, share: float) -> None:
    test = EventTest.of(None)
    test.update(candidate, share, 1)
    assert test.log_e == pytest.approx(0.0)


def test_a_tolerated_excess_is_no_harm() -> None:
    """With a tolerance of 3 the same events are weaker evidence."""
    strict, lenient = EventTest.of(None), EventTest.of(None, tolerance=3.0)
    for test in (strict, lenient):
        for _ in range(5):
            test.update(True, 0.1, 1)
    assert 0 < lenient.log_e < strict.log_e


def test_a_dead_candidate_is_gone_after_four_failures() -> None:
    """EVIDENCE targets: 100 % errors at a 10 % canary, threshold 1,000: four candidate requests."""
    test, failures = EventTest.of(None), 0
    while test.log_e < math.log(1000):
        failures += 1
        test.update(True, 0.1, 1)
    assert failures <= 4


def test_one_user_who_always_fails_is_one_event() -> None:
    """Heavy-tailed, error-prone users: first events per unit keep type I error within α."""
    rng = np.random.default_rng(4)
    runs, alarms = 200, 0
    for _ in range(runs):
        test, risk = EventTest.of(None), [0, 0]
        arms = rng.random(400) < 0.1
        prone = rng.random(400) < 0.05
        for candidate in arms:
            risk[int(candidate)] += 1
        for candidate in arms[prone]:
            test.update(bool(candidate), risk[1] / sum(risk), 1)
            risk[int(candidate)] -= 1
        alarms += test.log_e >= math.log(100)
    assert alarms / runs <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / runs)
