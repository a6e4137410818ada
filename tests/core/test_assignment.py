"""Assignment: stable, uniform, and with the right probability given the past (S2)."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from greenlight.core.assignment import Interval, bucket, interval, variant
from greenlight.core.states import Variant

SALT = "00112233445566778899aabbccddeeff"
CONTROL, CANDIDATE = Variant.CONTROL, Variant.CANDIDATE
salts = st.binary(min_size=16, max_size=64).map(bytes.hex)
weights = st.floats(0, 1)


@given(salts, st.text())
def test_a_bucket_is_stable_and_in_range(salt: str, unit: str) -> None:
    """S2: the same unit under the same salt always lands in the same place."""
    place = bucket(salt, unit)
    assert 0 <= place < 1
    assert bucket(salt, unit) == place


def test_buckets_are_pinned() -> None:
    """A changed hash would move every user in the middle of a rollout."""
    assert bucket(SALT, "user-7") == 0.9874928500867651
    assert bucket(SALT, "Zoë") == 0.6633168955712792


def test_buckets_are_uniform() -> None:
    places = [bucket(SALT, f"user-{number}") for number in range(20_000)]
    assert stats.kstest(places, "uniform").pvalue > 0.001


def test_two_salts_place_units_independently() -> None:
    units = [f"user-{number}" for number in range(20_000)]
    one = [bucket(SALT, unit) for unit in units]
    other = [bucket(SALT[::-1], unit) for unit in units]
    assert abs(stats.spearmanr(one, other).statistic) < 4 / np.sqrt(len(units))


@given(st.floats(0, 1, exclude_max=True), weights, weights)
def test_widening_keeps_candidates(place: float, one: float, other: float) -> None:
    narrow, wide = sorted((one, other))
    if variant(place, narrow) is CANDIDATE:
        assert variant(place, wide) is CANDIDATE


@pytest.mark.parametrize(
    ("weight", "expected"), [(0.0, CONTROL), (0.25, CONTROL), (0.26, CANDIDATE), (1.0, CANDIDATE)]
)
def test_the_candidate_takes_what_lies_below_the_weight(weight: float, expected: Variant) -> None:
    assert variant(0.25, weight) is expected


@pytest.mark.parametrize(
    ("past", "weight", "pi"),
    [
        ([], 0.1, 0.1),
        ([(0.1, CONTROL)], 0.5, 4 / 9),
        ([(0.1, CANDIDATE)], 0.5, 1.0),
        ([(0.5, CONTROL)], 0.1, 0.0),
        ([(0.5, CANDIDATE)], 0.1, 0.2),
        ([(0.1, CONTROL), (0.0, CONTROL)], 0.1, 0.0),
        ([(0.1, CANDIDATE), (0.0, CONTROL)], 0.1, 1.0),
        ([(0.1, CONTROL), (0.5, CANDIDATE)], 0.3, 0.5),
        ([(0.1, CONTROL), (0.5, CONTROL)], 1.0, 1.0),
    ],
)
def test_the_interval_rule(past: list[tuple[float, Variant]], weight: float, pi: float) -> None:
    """The worked examples of EVIDENCE: new, 10 → 50 %, narrowing, 0 % and back."""
    assert interval(past).probability(weight) == pytest.approx(pi)


@given(st.floats(0, 1, exclude_max=True), st.lists(weights, max_size=8))
def test_the_bucket_stays_in_its_interval(place: float, path: list[float]) -> None:
    known = Interval()
    for weight in path:
        arm = variant(place, weight)
        pi = known.probability(weight)
        assert 0 <= pi <= 1
        assert pi > 0 if arm is CANDIDATE else pi < 1
        known = known.after(weight, arm)
        assert known.low <= place < known.high


def test_exposures_that_contradict_each_other_enter_no_test() -> None:
    assert interval([(0.1, CANDIDATE), (0.5, CONTROL)]).probability(0.7) == 0.0


def test_among_units_with_one_past_the_candidates_share_is_pi() -> None:
    """Weights that widen, pause, narrow and come back: π is exact in every group of equal past."""
    path = (0.1, 0.25, 0.0, 0.25, 0.6, 0.3, 0.9)
    units = 60_000
    groups: dict[tuple[Variant, ...], list[float]] = {
        (): [bucket(SALT, f"user-{number}") for number in range(units)]
    }
    compared = 0
    for step, weight in enumerate(path):
        following: defaultdict[tuple[Variant, ...], list[float]] = defaultdict(list)
        for history, places in groups.items():
            pi = interval(zip(path[:step], history, strict=True)).probability(weight)
            arms = [variant(place, weight) for place in places]
            share = arms.count(CANDIDATE) / len(arms)
            assert abs(share - pi) <= 4 * np.sqrt(pi * (1 - pi) / len(arms))
            compared += 0 < pi < 1
            for place, arm in zip(places, arms, strict=True):
                following[(*history, arm)].append(place)
        groups = dict(following)
    assert compared >= 5


def test_an_interval_of_no_length_gives_no_chance() -> None:
    assert Interval(0.3, 0.3).probability(0.5) == 0.0
