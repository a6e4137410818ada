"""Wilson's, Newcombe's and Student's intervals: published numbers, other code, shape."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from greenlight.core.stats.intervals import newcombe, student, wilson

ALPHA = st.floats(1e-6, 0.9)


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 10**6))
    return draw(st.integers(0, n)), n


@pytest.mark.parametrize(
    ("k", "n", "expected"),
    [
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_published_numbers(k: int, n: int, expected: tuple[float, float]) -> None:
    """R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in
    Medicine 17 (1998) 857-872, table I, method 3."""
    assert wilson(k, n) == pytest.approx(expected, abs=5e-5)


@given(counts(), ALPHA)
def test_as_scipy_has_it(found: tuple[int, int], alpha: float) -> None:
    k, n = found
    other = stats.binomtest(k, n).proportion_ci(1 - alpha, method="wilson")
    assert wilson(k, n, alpha) == pytest.approx((other.low, other.high), abs=1e-9)


@given(counts(), ALPHA, ALPHA)
def test_a_smaller_alpha_is_wider(found: tuple[int, int], one: float, other: float) -> None:
    low, high = wilson(*found, min(one, other))
    inner_low, inner_high = wilson(*found, max(one, other))
    rate = found[0] / found[1]
    assert low - 1e-12 <= inner_low <= rate + 1e-12
    assert high + 1e-12 >= inner_high >= rate - 1e-12


@given(counts(), ALPHA)
def test_it_mirrors(found: tuple[int, int], alpha: float) -> None:
    k, n = found
    low, high = wilson(k, n, alpha)
    assert wilson(n - k, n, alpha) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_it_ends_where_rates_end() -> None:
    """Rounding would lead beyond 0 and 1 for some n."""
    for n in range(1, 400):
        assert wilson(0, n)[0] >= 0
        assert wilson(n, n)[1] <= 1


def test_nothing_is_known_of_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("arguments", [(-1, 3), (4, 3), (1, 3, 0.0), (1, 3, 1.0)])
def test_impossible_arguments_are_refused(arguments: tuple[int, int, float]) -> None:
    with pytest.raises(ValueError, match=r"must lie in"):
        wilson(*arguments)


@pytest.mark.parametrize(
    ("k", "n", "rest_k", "rest_n", "expected"),
    [
        (56, 70, 48, 80, (0.0524, 0.3339)),
        (9, 10, 3, 10, (0.1705, 0.8090)),
        (6, 7, 2, 7, (0.0582, 0.8062)),
        (5, 56, 0, 29, (-0.0381, 0.1926)),
        (0, 10, 0, 20, (-0.1611, 0.2775)),
        (10, 10, 0, 20, (0.6791, 1.0)),
    ],
)
def test_published_differences(
    k: int, n: int, rest_k: int, rest_n: int, expected: tuple[float, float]
) -> None:
    """R. G. Newcombe, "Interval estimation for the difference between independent proportions",
    Statistics in Medicine 17 (1998) 873-890, table II, method 10."""
    assert newcombe(k, n, rest_k, rest_n) == pytest.approx(expected, abs=5e-5)


@given(counts(), counts(), ALPHA)
def test_a_difference_mirrors_and_stays_within_bounds(
    one: tuple[int, int], other: tuple[int, int], alpha: float
) -> None:
    low, high = newcombe(*one, *other, alpha)
    value = one[0] / one[1] - other[0] / other[1]
    assert -1 <= low <= value + 1e-12
    assert value - 1e-12 <= high <= 1
    assert newcombe(*other, *one, alpha) == pytest.approx((-high, -low), abs=1e-12)


def test_nothing_is_known_of_a_difference_from_nothing() -> None:
    low, high = newcombe(3, 4, 0, 0)
    assert low < 0 < high
    assert newcombe(0, 0, 0, 0) == pytest.approx((-0.7071, 0.7071), abs=1e-4)


def test_students_own_example() -> None:
    """Additional hours of sleep, "The probable error of a mean" (1908); R: t.test gives these."""
    hours = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    assert student(hours) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20), ALPHA)
def test_a_mean_against_scipy(values: list[float], alpha: float) -> None:
    found = student(values, alpha)
    assert found is not None
    spread = float(stats.sem(values))
    if spread > 1e-6:
        expected = stats.t.interval(1 - alpha, len(values) - 1, stats.tmean(values), spread)
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert found[0] <= found[1]


def test_of_one_value_there_is_no_interval() -> None:
    assert student([0.5]) is None
    assert student([]) is None
    assert student([0.5, 0.5]) == (0.5, 0.5)
    with pytest.raises(ValueError, match="alpha 1"):
        student([0.5, 0.5], 1.0)
