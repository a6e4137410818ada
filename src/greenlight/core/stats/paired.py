"""Two versions on the same items: how far apart they are, and whether chance explains it.

Only the items on which they differ tell them apart. The interval is Tango's score interval for the
difference of paired proportions: the differences Δ that the score test does not reject,

    |only_b - only_a - n·Δ| ≤ z·√(n·(2q + Δ·(1 - Δ))),

with q the share of items that only a gets right as it is most likely to be, given Δ:

    q = (√(B² - 4·A·C) - B) / 2A,   A = 2n,   B = -only_a - only_b + (2n - only_b + only_a)·Δ,
    C = -only_a·Δ·(1 - Δ).

It stays within [-1, 1] and has a width even where the two never differ. The p-value is McNemar's
exact conditional test as mid-p: the probability of what was seen counts half, because the test
otherwise rejects far less often than it may (simulations in tests/core/test_paired.py show both,
and Newcombe's method 10 beside Tango's interval).

Sources: T. Tango, "Equivalence test and confidence interval for the difference in proportions for
the paired-sample design", Statistics in Medicine 17 (1998) 891-908. M. W. Fagerland, S. Lydersen,
P. Laake, "The McNemar test for binary matched-pairs data: mid-p and asymptotic are better than
exact conditional", BMC Medical Research Methodology 13:91 (2013).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from greenlight.core.errors import BadInput

CONFIDENCE = 0.95
HALVINGS = 60
"""Of an interval of length 2 at the most: beyond that a double has no digits left."""


class Paired(msgspec.Struct, frozen=True, kw_only=True):
    """What two versions did on the same `n` items; a is live, b is the candidate."""

    n: int
    both: int
    """Items that both got right."""
    only_a: int
    only_b: int
    neither: int
    difference: float
    """Accuracy of b less that of a."""
    low: float
    """The 95 % interval of the difference."""
    high: float
    p_value: float
    """Two-sided, of the hypothesis that they are equally accurate (McNemar, mid-p)."""


def paired(
    correct_a: Sequence[bool] | NDArray[Any], correct_b: Sequence[bool] | NDArray[Any]
) -> Paired:
    """Compare two versions, item by item.

    Args:
        correct_a: for each of n items, whether a (live) got it right: booleans, or 0 and 1.
        correct_b: the same for b (the candidate), in the same order.

    Raises:
        BadInput: no items, unequal lengths, or values that are neither right nor wrong.
    """
    a, b = _flags(correct_a, "correct_a"), _flags(correct_b, "correct_b")
    if len(a) != len(b):
        raise BadInput(f"cannot compare: {len(a)} items against {len(b)}; take the same ones")
    n = len(a)
    if n == 0:
        raise BadInput("cannot compare: there are no items", "correct_a")
    both, only_a, only_b = (int((x & y).sum()) for x, y in ((a, b), (a, ~b), (~a, b)))
    low, high = tango(only_a, only_b, n)
    return Paired(
        n=n,
        both=both,
        only_a=only_a,
        only_b=only_b,
        neither=n - both - only_a - only_b,
        difference=(only_b - only_a) / n,
        low=low,
        high=high,
        p_value=mcnemar(only_a, only_b),
    )


def tango(only_a: int, only_b: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Tango's score interval for the accuracy of b less that of a.

    Args:
        only_a: items that only a got right.
        only_b: items that only b got right.
        n: all items, at least 1.
        confidence: two-sided coverage in (0, 1).

    Raises:
        ValueError: counts or confidence out of range.
    """
    if min(only_a, only_b) < 0 or n < max(1, only_a + only_b):
        raise ValueError(f"counts {only_a} and {only_b} do not lie within n = {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} must lie in (0, 1)")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    return -_top(only_b, only_a, n, z), _top(only_a, only_b, n, z)


def mcnemar(only_a: int, only_b: int) -> float:
    """The two-sided mid-p of McNemar's exact test; 1 where the two counts are equal.

    With K ~ Binomial(only_a + only_b, ½) and k the smaller count it is
    2·P(K < k) + P(K = k) = P(K ≤ k) + P(K ≤ k - 1).

    Raises:
        ValueError: a count below zero.
    """
    _check_counts(only_a, only_b)
    from scipy import special  # takes longer to load than everything else in the core together

    k, differing = min(only_a, only_b), only_a + only_b
    if only_a == only_b:
        return 1.0
    below = special.bdtr(k - 1, differing, 0.5) if k else 0.0
    return float(special.bdtr(k, differing, 0.5) + below)


def mcnemar_exact(b: int, c: int) -> float:
    """The two-sided p-value of McNemar's exact conditional test: min(1, 2·P(K ≤ min(b, c))).

    It never rejects more often than it says; `mcnemar` comes closer to what it says, and is what
    evaluations show.

    Args:
        b: items that only one version got right.
        c: items that only the other got right.

    Raises:
        ValueError: a count below zero.
    """
    _check_counts(b, c)
    from scipy import special  # takes longer to load than everything else in the core together

    return min(1.0, 2 * float(special.bdtr(min(b, c), b + c, 0.5)))


def _check_counts(only_a: int, only_b: int) -> None:
    if min(only_a, only_b) < 0:
        raise ValueError(f"counts {only_a} and {only_b} must not be negative")


def _top(only_a: int, only_b: int, n: int, z: float) -> float:
    """The largest Δ within z: the score falls as Δ rises from the difference seen to 1."""
    inside, outside = (only_b - only_a) / n, 1.0
    if _score(only_a, only_b, n, outside) >= -z:
        return outside
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        if _score(only_a, only_b, n, middle) >= -z:
            inside = middle
        else:
            outside = middle
    return inside


def _score(only_a: int, only_b: int, n: int, delta: float) -> float:
    """How many standard errors the difference seen lies above Δ."""
    distance = only_b - only_a - n * delta
    b = -only_a - only_b + (2 * n - only_b + only_a) * delta
    c = -only_a * delta * (1 - delta)
    q = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
    variance = n * (2 * q + delta * (1 - delta))
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def _flags(values: Sequence[bool] | NDArray[Any], name: str) -> NDArray[np.bool_]:
    given = np.asarray(values)
    flat = given.ndim == 1 and (given.size == 0 or given.dtype.kind in "biu")
    if not flat or not np.isin(given, (0, 1)).all():
        raise BadInput(f"{name}: expected one true or false (1 or 0) per item", name)
    return given.astype(np.bool_)
