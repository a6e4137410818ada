"""Confidence intervals for display and for gates (fixed sample, not to be watched)."""

from __future__ import annotations

import math
from statistics import NormalDist


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
