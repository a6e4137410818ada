"""Confidence intervals for display and for gates (fixed sample, not to be watched)."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a proportion.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    JASA 22 (1927) 209-212.

    Args:
        successes: 0 ≤ successes ≤ n.
        n: number of trials; 0 gives (0, 1), for nothing is known.
        confidence: two-sided coverage in (0, 1).

    Raises:
        ValueError: counts or confidence out of range.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes {successes} must lie in [0, n = {n}]")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} must lie in (0, 1)")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)
