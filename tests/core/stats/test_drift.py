"""Drift: sizes of effect, against other implementations, and without a NaN for any input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, ks_2samp, wasserstein_distance

from greenlight.core.errors import BadInput
from greenlight.core.stats.drift import (
    PRIOR,
    bins,
    histogram,
    jensen_shannon,
    judge,
    kolmogorov_smirnov,
    psi,
    wasserstein,
)

SAMPLE = st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=30)
COUNTS = st.lists(
    st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=2, max_size=12
).filter(lambda rows: all(sum(part) > 0 for part in zip(*rows, strict=True)))


@given(COUNTS)
def test_counts(rows: list[tuple[int, int]]) -> None:
    before, now = zip(*rows, strict=True)
    assert psi(before, now) == pytest.approx(psi(now, before), rel=1e-9)
    assert psi(before, before) == 0
    expected = np.nan_to_num(jensenshannon(before, now, base=2)) ** 2
    assert jensen_shannon(before, now) == pytest.approx(expected, abs=1e-9)
    assert 0 <= jensen_shannon(before, now) <= 1
    more, later = ([part + 1 for part in side] for side in (before, now))
    assert psi(more, later) == pytest.approx(
        entropy(more, later) + entropy(later, more), rel=1e-6, abs=1e-9
    )
    assert psi([*before, 0], [*now, 0]) == psi(before, now), "nobody has that category"


def test_counts_by_hand() -> None:
    """(.6-.5)·log(.6/.5) + (.4-.5)·log(.4/.5) = .1·log 1.5; nothing in common is one bit."""
    assert psi([50, 50], [60, 40]) == pytest.approx(0.1 * math.log(1.5))
    assert jensen_shannon([5, 0], [0, 9]) == 1.0
    p, q = PRIOR / 100, 5 / 105
    rest = (100 / 105 - 1) * math.log(100 / 105)
    assert psi([100, 0], [100, 5]) == pytest.approx(rest + (q - p) * math.log(q / p))


@pytest.mark.parametrize("count", [2, 10])
def test_a_baseline_that_does_not_vary_sees_both_directions(count: int) -> None:
    edges = bins([3.0] * 50, count)
    assert histogram([3.0] * 50, edges).tolist() == [0, 50, 0]
    assert histogram([2.9, 3.0, 3.1, 3.2], edges).tolist() == [1, 1, 2]
    assert judge("psi", psi(histogram([3.0] * 50, edges), histogram([9.0] * 50, edges))) == "large"


@given(SAMPLE, SAMPLE)
def test_no_input_gives_a_nan(before: list[float], now: list[float]) -> None:
    assert 0 <= kolmogorov_smirnov(before, now) <= 1
    assert not math.isnan(wasserstein(before, now))
    edges = bins(before)
    assert histogram(now, edges).sum() == len(now)
    assert len(histogram(now, edges)) == len(edges) + 1


def test_samples_are_measured_as_scipy_does() -> None:
    rng = np.random.default_rng(1)
    before, now = rng.normal(size=500), rng.normal(0.4, 1.2, size=700)
    assert kolmogorov_smirnov(before, now) == pytest.approx(ks_2samp(before, now).statistic)
    expected = wasserstein_distance(before, now) / before.std()
    assert wasserstein(before, now) == pytest.approx(expected)


def test_a_million_rows_that_hardly_differ_are_no_drift() -> None:
    """A p-value would say otherwise: that is why there is none."""
    rng = np.random.default_rng(2)
    before, now = rng.normal(size=300_000), rng.normal(0.02, 1, size=300_000)
    edges = bins(before)
    assert ks_2samp(before, now).pvalue < 1e-6
    assert judge("kolmogorov_smirnov", kolmogorov_smirnov(before, now)) == "none"
    assert judge("wasserstein", wasserstein(before, now)) == "none"
    assert judge("psi", psi(histogram(before, edges), histogram(now, edges))) == "none"


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.7])
def test_the_measures_agree_on_what_is_large(shift: float) -> None:
    rng = np.random.default_rng(3)
    before, now = rng.normal(size=20_000), rng.normal(shift, 1, size=20_000)
    edges = bins(before)
    old, new = histogram(before, edges), histogram(now, edges)
    expected = {0.0: "none", 0.3: "small", 0.7: "large"}[shift]
    assert judge("wasserstein", wasserstein(before, now)) == expected
    assert judge("kolmogorov_smirnov", kolmogorov_smirnov(before, now)) == expected
    assert judge("jensen_shannon", jensen_shannon(old, new)) in (expected, "none")
    assert judge("psi", psi(old, new)) in (expected, "none")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: psi([1, 2], [1, 2, 3]), "same two or more categories"),
        (lambda: psi([0, 0], [1, 2]), "baseline: counts"),
        (lambda: jensen_shannon([1, 2], [1, -2]), "now: counts"),
        (lambda: kolmogorov_smirnov([], [1.0]), "baseline: expected"),
        (lambda: wasserstein([1.0], [math.nan]), "now: expected"),
        (lambda: bins([1.0], 1), "two bins"),
        (lambda: judge("kl", 0.1), "there are psi"),
        (lambda: judge("psi", math.nan), "at least 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(call: object, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        call()  # type: ignore[operator]
