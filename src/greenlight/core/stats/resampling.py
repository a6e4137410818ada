"""Intervals and p-values of any statistic of items, by drawing them again.

For measures that have no formula of their own, such as F1: the bootstrap draws items with
replacement, approximate randomisation swaps the two systems' answers to an item.

Sources: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap" (1993), ch. 13 (percentile
interval); E. Noreen, "Computer-Intensive Methods for Testing Hypotheses" (1989); A. Yeh, "More
accurate tests for the statistical significance of result differences", COLING 2000.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenlight.core.errors import BadInput

Items = NDArray[Any]
"""One row per item."""

Statistic = Callable[[Items], float | None]
"""A number of some items; None where it cannot be computed for them."""

SAMPLES = 2000


def micro_f1(counts: Items) -> float | None:
    """F1 over all items together; None if nothing was there to find and nothing was found.

    Args:
        counts: true positives, false positives and false negatives of each item, shape (n, 3).
    """
    hits, wrong, missed = (float(x) for x in counts.sum(axis=0))
    total = 2 * hits + wrong + missed
    return 2 * hits / total if total else None


def bootstrap_interval(
    statistic: Statistic,
    items: Items,
    *,
    rng: np.random.Generator,
    samples: int = SAMPLES,
    alpha: float = 0.05,
) -> tuple[float, float] | None:
    """The percentile interval of a statistic; None if it cannot be computed for the items.

    Draws for which it cannot be computed say nothing and are left out.

    Args:
        statistic: of some of the items.
        items: shape (n, …), n ≥ 1.
        rng: the source of luck.
        samples: how many draws.
        alpha: two-sided coverage is 1 - alpha.

    Raises:
        BadInput: no items.
    """
    count = _checked(items)
    if statistic(items) is None:
        return None
    found = [statistic(items[rng.integers(0, count, count)]) for _ in range(samples)]
    return _quantiles([value for value in found if value is not None], alpha)


def paired_bootstrap(
    statistic: Statistic,
    a: Items,
    b: Items,
    *,
    rng: np.random.Generator,
    samples: int = SAMPLES,
    alpha: float = 0.05,
) -> tuple[float, float] | None:
    """The interval of a statistic of b less that of a, over the same items drawn together.

    Args:
        statistic: of some of the items.
        a: one row per item.
        b: the same items in the same order.
        rng: the source of luck.
        samples: how many draws.
        alpha: two-sided coverage is 1 - alpha.

    Returns:
        None if either cannot be computed.

    Raises:
        BadInput: no items, or not the same number of them.
    """
    count = _matched(a, b)
    if statistic(a) is None or statistic(b) is None:
        return None
    found = []
    for _ in range(samples):
        chosen = rng.integers(0, count, count)
        first, second = statistic(a[chosen]), statistic(b[chosen])
        if first is not None and second is not None:
            found.append(second - first)
    return _quantiles(found, alpha)


def unpaired_bootstrap(
    statistic: Statistic,
    a: Items,
    b: Items,
    *,
    rng: np.random.Generator,
    samples: int = SAMPLES,
    alpha: float = 0.05,
) -> tuple[float, float] | None:
    """The interval of a statistic of b less that of a, two sets of different items.

    Args:
        statistic: of some items.
        a: one row per item.
        b: other items, as many as there are.
        rng: the source of luck.
        samples: how many draws.
        alpha: two-sided coverage is 1 - alpha.

    Returns:
        None if either cannot be computed.

    Raises:
        BadInput: no items on a side.
    """
    count, others = _checked(a), _checked(b)
    if statistic(a) is None or statistic(b) is None:
        return None
    found = []
    for _ in range(samples):
        first = statistic(a[rng.integers(0, count, count)])
        second = statistic(b[rng.integers(0, others, others)])
        if first is not None and second is not None:
            found.append(second - first)
    return _quantiles(found, alpha)


def approximate_randomisation(
    statistic: Statistic,
    a: Items,
    b: Items,
    *,
    rng: np.random.Generator,
    samples: int = SAMPLES,
) -> float | None:
    """The two-sided p-value of equal systems: (r + 1)/(R + 1), r of R swaps at least as far apart.

    Args:
        statistic: of all items.
        a: one row per item.
        b: the same items in the same order.
        rng: the source of luck.
        samples: R.

    Returns:
        None if the statistic cannot be computed of either.

    Raises:
        BadInput: no items, or not the same number of them.
    """
    count = _matched(a, b)
    seen_a, seen_b = statistic(a), statistic(b)
    if seen_a is None or seen_b is None:
        return None
    seen = abs(seen_b - seen_a)
    shape = (count,) + (1,) * (a.ndim - 1)
    as_far = 0
    for _ in range(samples):
        swap = rng.random(shape) < 0.5
        first, second = statistic(np.where(swap, b, a)), statistic(np.where(swap, a, b))
        # What cannot be computed is no evidence against equality.
        as_far += first is None or second is None or abs(second - first) >= seen - 1e-12
    return (as_far + 1) / (samples + 1)


def _checked(items: Items) -> int:
    if len(items) == 0:
        raise BadInput("there are no items to draw from", "items")
    return len(items)


def _matched(a: Items, b: Items) -> int:
    if a.shape != b.shape:
        raise BadInput(f"{a.shape} against {b.shape}: take the same items", "b")
    return _checked(a)


def _quantiles(values: list[float], alpha: float) -> tuple[float, float]:
    low, high = np.quantile(values, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)
