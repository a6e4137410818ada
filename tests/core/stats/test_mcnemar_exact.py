"""McNemar's exact conditional test: published numbers, scipy's binomial test."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from greenlight.core.stats.paired import mcnemar, mcnemar_exact

COUNT = st.integers(0, 3000)


@pytest.mark.parametrize(
    ("b", "c", "expected"), [(16, 6, 0.052479), (7, 1, 0.0703125), (0, 0, 1.0), (5, 5, 1.0)]
)
def test_published_numbers(b: int, c: int, expected: float) -> None:
    """E4: Cavo et al. 2012 and Bentur et al. 2009, as in M. W. Fagerland, S. Lydersen, P. Laake
    (2013 and 2017); two equal counts are no evidence."""
    assert mcnemar_exact(b, c) == pytest.approx(expected, abs=5e-7)


@given(COUNT, COUNT)
def test_as_scipys_binomial_test(b: int, c: int) -> None:
    expected = stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert mcnemar_exact(b, c) == pytest.approx(expected, rel=1e-7, abs=1e-300)


@given(COUNT, COUNT)
def test_it_mirrors_and_is_never_below_the_mid_p(b: int, c: int) -> None:
    assert mcnemar_exact(b, c) == mcnemar_exact(c, b)
    assert mcnemar(b, c) <= mcnemar_exact(b, c) * (1 + 1e-12)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        mcnemar_exact(-1, 3)
