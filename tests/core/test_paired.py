"""E4: two versions on the same items. Published numbers, coverage, size of the test."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from greenlight.core.errors import BadInput
from greenlight.core.stats.paired import mcnemar, paired, tango

Interval = Callable[[int, int, int, int], tuple[float, float]]
Z = 1.959963984540054


def answers(both: int, only_a: int, only_b: int, neither: int) -> tuple[list[bool], list[bool]]:
    """Items with these counts, as the two versions answered them."""
    a = [True] * (both + only_a) + [False] * (only_b + neither)
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return a, b


def cells(accuracy: float, difference: float, phi: float) -> NDArray[np.float64]:
    """Probabilities (both, only a, only b, neither) of two versions correlated by `phi`."""
    a, b = accuracy, accuracy + difference
    both = a * b + phi * math.sqrt(a * (1 - a) * b * (1 - b))
    found = np.array([both, a - both, b - both, 1 - a - b + both])
    assert (found >= -1e-12).all()
    return found.clip(0)


class TestGoldenNumbers:
    """E4."""

    def test_complete_response_before_and_after_therapy(self) -> None:
        """Cavo et al. 2012, as in M. W. Fagerland, S. Lydersen, P. Laake, "Statistical analysis of
        contingency tables" (2017), chapter 8: difference -0.0621, Tango's interval (-0.1240,
        -0.0054), McNemar's exact test 0.052479, mid-p 0.034690."""
        found = paired(*answers(59, 16, 6, 80))
        assert (found.n, found.both, found.only_a, found.only_b, found.neither) == (
            161,
            59,
            16,
            6,
            80,
        )
        assert found.difference == pytest.approx(-0.0621, abs=5e-5)
        assert (found.low, found.high) == pytest.approx((-0.1240, -0.0054), abs=5e-5)
        assert found.p_value == pytest.approx(0.034690, abs=5e-7)

    def test_two_ways_of_matching(self) -> None:
        """A published run of PropCIs::scoreci.mp: 41 and 48 of 549 at 90 %, (-1.57, 4.14) %."""
        assert tango(41, 48, 549, 0.9) == pytest.approx((-0.0157, 0.0414), abs=5e-5)

    def test_one_against_seven(self) -> None:
        """Bentur et al. 2009 in the paper on mid-p: 0.070 exact, 0.039 mid-p; by hand 18/256 less
        half of what was seen on both sides, 8/256."""
        assert mcnemar(7, 1) == pytest.approx(10 / 256)

    @pytest.mark.parametrize(("a", "b"), [(0, 1), (0, 9), (3, 12), (40, 20), (150, 190)])
    def test_mid_p_is_the_exact_test_less_half_of_what_was_seen(self, a: int, b: int) -> None:
        exact = stats.binomtest(a, a + b, 0.5).pvalue
        seen = stats.binom.pmf(a, a + b, 0.5)
        assert mcnemar(a, b) == pytest.approx(exact - seen, rel=1e-9)

    def test_where_they_never_differ_the_interval_still_has_a_width(self) -> None:
        found = paired([True] * 100, [True] * 100)
        bound = Z**2 / (100 + Z**2)  # the score bound of a count of 0
        assert (found.difference, found.p_value) == (0.0, 1.0)
        assert (found.low, found.high) == pytest.approx((-bound, bound))


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(1, 400))
    only_a = draw(st.integers(0, n))
    return only_a, draw(st.integers(0, n - only_a)), n


class TestShape:
    """E4."""

    @given(counts())
    def test_the_interval_lies_around_the_difference_and_mirrors(
        self, given: tuple[int, int, int]
    ) -> None:
        only_a, only_b, n = given
        low, high = tango(only_a, only_b, n)
        assert -1 <= low <= (only_b - only_a) / n <= high <= 1
        assert low < high
        assert tango(only_b, only_a, n) == (-high, -low)

    @given(counts(), st.floats(-0.999, 0.999))
    def test_the_interval_is_what_the_score_test_does_not_reject(
        self, given: tuple[int, int, int], delta: float
    ) -> None:
        """q found here by maximising the likelihood, not by the formula."""
        only_a, only_b, n = given
        low, high = tango(only_a, only_b, n)
        least, most = max(0.0, -delta), (1 - delta) / 2
        left, right = least, most
        for _ in range(100):  # the log-likelihood is concave in q: halve on its slope
            q = (left + right) / 2
            slope = (
                _per(only_a, q)
                + _per(only_b, q + delta)
                - 2 * _per(n - only_a - only_b, 1 - 2 * q - delta)
            )
            left, right = (q, right) if slope > 0 else (left, q)
        variance = n * (2 * left + delta * (1 - delta))
        if variance < 1e-6 or min(abs(delta - low), abs(delta - high)) < 1e-4:
            return  # on the edge rounding decides
        z = abs(only_b - only_a - n * delta) / math.sqrt(variance)
        assert (z <= Z) == (low <= delta <= high)

    def test_anything_that_can_be_counted(self) -> None:
        a, b = answers(3, 1, 2, 4)
        told = paired(a, b)
        assert paired(np.array(a, dtype=np.uint8), np.array(b)) == told
        assert (told.both, told.only_a, told.only_b, told.neither) == (3, 1, 2, 4)

    @pytest.mark.parametrize(
        ("a", "b", "says"),
        [
            ([], [], "there are no items"),
            ([True], [True, False], "1 items against 2"),
            ([2], [1], "correct_a: expected one true or false"),
            ([1], [0.5], "correct_b: expected one true or false"),
            ([[1]], [1], "correct_a"),
            (["yes"], [1], "correct_a"),
            ([1], [None], "correct_b"),
        ],
    )
    def test_what_cannot_be_compared_is_an_error(self, a: list, b: list, says: str) -> None:
        with pytest.raises(BadInput, match=says):
            paired(a, b)

    def test_an_error_names_the_field(self) -> None:
        for a, b, field, says in (
            ([], [], "correct_a", "^cannot compare: there are no items$"),
            ([2], [1], "correct_a", "^correct_a: "),
            ([1], [2], "correct_b", "^correct_b: "),
        ):
            with pytest.raises(BadInput, match=says) as caught:
                paired(a, b)
            assert caught.value.param == field

    @pytest.mark.parametrize("given", [(-1, 0, 5), (3, 3, 5), (0, 0, 0)])
    def test_impossible_counts_are_refused(self, given: tuple[int, int, int]) -> None:
        with pytest.raises(ValueError, match="do not lie within"):
            tango(*given)
        with pytest.raises(ValueError, match="confidence 1 must"):
            tango(1, 1, 5, 1)
        with pytest.raises(ValueError, match="must not be negative"):
            mcnemar(-1, 2)


def _per(count: int, q: float) -> float:
    return count / q if count else 0.0


def exact_coverage(n: int, probabilities: NDArray[np.float64]) -> float:
    """How often the interval covers, summed over every outcome there is."""
    truth = probabilities[2] - probabilities[1]
    parts = (*probabilities[1:3], probabilities[0] + probabilities[3])
    only_a, only_b = np.divmod(np.arange((n + 1) ** 2), n + 1)
    possible = only_a + only_b <= n
    only_a, only_b = only_a[possible], only_b[possible]
    weight = stats.multinomial.pmf(
        np.column_stack([only_a, only_b, n - only_a - only_b]), n, np.array(parts)
    )
    likely = weight > 1e-7
    total = 0.0
    for a, b, mass in zip(only_a[likely], only_b[likely], weight[likely], strict=True):
        low, high = tango(int(a), int(b), n)
        total += float(mass) * (low <= truth <= high)
    return total


def simulated(interval: Interval, n: int, probabilities: NDArray[np.float64], times: int) -> float:
    rng = np.random.default_rng(2025)
    truth = probabilities[2] - probabilities[1]
    drawn, times_seen = np.unique(
        rng.multinomial(n, probabilities, size=times), axis=0, return_counts=True
    )
    covered = 0
    for row, seen in zip(drawn.tolist(), times_seen.tolist(), strict=True):
        low, high = interval(*row)
        covered += seen * (low <= truth <= high)
    return covered / times


def by_tango(both: int, only_a: int, only_b: int, neither: int) -> tuple[float, float]:
    return tango(only_a, only_b, both + only_a + only_b + neither)


def by_newcombe(both: int, only_a: int, only_b: int, neither: int) -> tuple[float, float]:
    """Method 10 of R. G. Newcombe, Statistics in Medicine 17 (1998) 2635-2650, to compare with."""
    n = both + only_a + only_b + neither
    sides = []
    for right in (both + only_b, both + only_a):
        p, scale = right / n, 1 + Z**2 / n
        centre = (p + Z**2 / (2 * n)) / scale
        half = Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n * n)) / scale
        sides.append((p, p - centre + half, centre + half - p))
    (b, b_down, b_up), (a, a_down, a_up) = sides
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    cross = both * neither - only_a * only_b
    phi = (max(cross - n / 2, 0) if cross > 0 else cross) / math.sqrt(margins) if margins else 0.0
    low = b - a - math.sqrt(max(0.0, b_down**2 - 2 * phi * b_down * a_up + a_up**2))
    return low, b - a + math.sqrt(max(0.0, b_up**2 - 2 * phi * b_up * a_down + a_down**2))


WORLDS = [
    (0.9, 0.0, 0.0),
    (0.9, 0.0, 0.6),
    (0.93, -0.02, 0.4),
    (0.9, 0.04, 0.6),
    (0.7, 0.1, 0.3),
]
"""Accuracy of live, what the candidate has more, correlation of their answers."""


class TestCoverage:
    """E4: the 95 % interval covers what it says, for few items and many, alike and unlike."""

    @pytest.mark.parametrize("world", WORLDS)
    def test_few_items(self, world: tuple[float, float, float]) -> None:
        found = exact_coverage(40, cells(*world))
        assert 0.93 <= found <= 0.995

    @pytest.mark.parametrize("n", [300, 3080])
    @pytest.mark.parametrize("world", WORLDS)
    def test_many_items(self, n: int, world: tuple[float, float, float]) -> None:
        """Three standard errors of the simulation are 1.7 points."""
        assert abs(simulated(by_tango, n, cells(*world), 1500) - 0.95) <= 0.02

    def test_closer_to_what_it_says_than_newcombes(self) -> None:
        """Why Tango's: versions that mostly agree, as a new one and the live one do."""
        gaps = [
            [
                abs(simulated(method, n, cells(*world), 500) - 0.95)
                for method in (by_tango, by_newcombe)
            ]
            for n in (50, 200)
            for world in WORLDS
        ]
        tangos, newcombes = np.mean(gaps, axis=0)
        assert tangos < newcombes

    def test_newcombes_method_is_computed_as_published(self) -> None:
        """Bentur et al. 2009 in the same book: (-0.507, -0.026)."""
        assert by_newcombe(1, 7, 1, 12)[1] == pytest.approx(-0.026, abs=5e-4)
        assert by_newcombe(1, 7, 1, 12)[0] == pytest.approx(-0.507, abs=5e-4)


def size(n: int, differing: float, *, mid: bool) -> float:
    """How often two equally accurate versions are told apart at 5 %, summed over every outcome."""
    total = 0.0
    for m, mass in enumerate(stats.binom.pmf(np.arange(n + 1), n, differing)):
        if mass < 1e-7:
            continue
        k = np.arange(m + 1)
        least = np.minimum(k, m - k)
        below = stats.binom.cdf(least, m, 0.5)
        p = np.minimum(1, 2 * below)
        if mid:
            p = np.array([mcnemar(int(one), int(m - one)) for one in k])
        total += mass * stats.binom.pmf(k, m, 0.5)[p <= 0.05].sum()
    return total


class TestSize:
    """E4: mid-p is nearer to its level than the exact test, and keeps to it."""

    @pytest.mark.parametrize(("n", "differing"), [(50, 0.05), (50, 0.2), (200, 0.05), (500, 0.1)])
    def test_mid_p(self, n: int, differing: float) -> None:
        exact, mid = size(n, differing, mid=False), size(n, differing, mid=True)
        assert exact < mid <= 0.0505


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, math.nan])
def test_no_interval_without_a_confidence(confidence: float) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        tango(3, 5, 20, confidence)
