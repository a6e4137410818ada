"""Wilson's interval: published numbers, an independent implementation, shape."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from greenlight.core.stats.intervals import wilson

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
