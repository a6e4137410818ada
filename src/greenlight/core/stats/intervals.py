"""Confidence intervals for display and for gates (fixed sample, not to be watched)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev


def wilson(k: int, n: int, alpha: float = 0.05) -> tuple[float, float]:
    """Wilson's score interval for a proportion.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    JASA 22 (1927) 209-212.

    Args:
        k: successes, 0 ≤ k ≤ n.
        n: number of trials; 0 gives (0, 1), for nothing is known.
        alpha: probability in (0, 1) of missing the proportion, on both sides together.

    Raises:
        ValueError: counts or alpha out of range.
    """
    if not 0 <= k <= n:
        raise ValueError(f"k {k} must lie in [0, n = {n}]")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} must lie in (0, 1)")
    if n == 0:
        return 0.0, 1.0
    z = -NormalDist().inv_cdf(alpha / 2)
    p = k / n
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def newcombe(k: int, n: int, rest_k: int, rest_n: int, alpha: float = 0.05) -> tuple[float, float]:
    """Newcombe's interval for k/n less rest_k/rest_n, two proportions of different items.

    Method 10 of R. G. Newcombe, "Interval estimation for the difference between independent
    proportions: comparison of eleven methods", Statistics in Medicine 17 (1998) 873-890: the two
    Wilson intervals, put together. It stays within [-1, 1].

    Args:
        k: successes, 0 ≤ k ≤ n.
        n: number of trials; 0 gives (-1, 1) or nearly, for nothing is known.
        rest_k: successes of the others.
        rest_n: number of their trials.
        alpha: probability in (0, 1) of missing the difference, on both sides together.

    Raises:
        ValueError: counts or alpha out of range.
    """
    (low, high), (rest_low, rest_high) = wilson(k, n, alpha), wilson(rest_k, rest_n, alpha)
    p, q = k / n if n else 0.5, rest_k / rest_n if rest_n else 0.5
    below, above = math.hypot(p - low, rest_high - q), math.hypot(high - p, q - rest_low)
    return max(-1.0, p - q - below), min(1.0, p - q + above)


def student(values: Sequence[float], alpha: float = 0.05) -> tuple[float, float] | None:
    """Student's interval for the mean of independent values; None of fewer than two.

    "Student" (W. S. Gosset), "The probable error of a mean", Biometrika 6 (1908) 1-25.

    Args:
        values: of one quantity, finite.
        alpha: probability in (0, 1) of missing the mean, on both sides together.

    Raises:
        ValueError: alpha out of range.
    """
    from scipy import special  # takes longer to load than everything else in the core together

    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} must lie in (0, 1)")
    n = len(values)
    if n < 2:
        return None
    centre = fmean(values)
    half = float(special.stdtrit(n - 1, 1 - alpha / 2)) * stdev(values) / math.sqrt(n)
    return centre - half, centre + half
