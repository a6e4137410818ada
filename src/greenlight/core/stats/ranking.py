"""How well scores put positives before negatives: AUROC, its interval, and two of them compared.

AUROC is the chance that a positive has a higher score than a negative, ties counting half. Its
variance, and the covariance of two AUROCs on the same items, are DeLong's; the midranks make them
O(n log n).

Sources: E. DeLong, D. DeLong, D. Clarke-Pearson, "Comparing the areas under two or more correlated
receiver operating characteristic curves", Biometrics 44 (1988) 837-845; X. Sun, W. Xu, "Fast
implementation of DeLong's algorithm", IEEE Signal Processing Letters 21 (2014) 1389-1393.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from greenlight.core.errors import BadInput

Array = NDArray[np.float64]

NOTHING = 1e-12
"""A variance of a difference is nil at this part of the variances that it comes from."""


class Delong(msgspec.Struct, frozen=True, kw_only=True):
    """Two AUROCs on the same items: b less a, its interval, and the p-value of no difference."""

    auroc_a: float
    auroc_b: float
    difference: float
    low: float
    high: float
    p_value: float


def auroc(scores: ArrayLike, positive: ArrayLike) -> float | None:
    """The area under the ROC curve; None if there are no positives or no negatives.

    Args:
        scores: of n items, higher is more positive; finite numbers.
        positive: whether each of them is.

    Raises:
        BadInput: lengths that differ, or scores that are not finite.
    """
    values, flags = _checked(scores, positive)
    if flags.all() or not flags.any():
        return None
    ranks = _midranks(values)
    count = int(flags.sum())
    above = ranks[flags].sum() - count * (count + 1) / 2
    return float(above / (count * (len(flags) - count)))


def auroc_interval(
    scores: ArrayLike, positive: ArrayLike, alpha: float = 0.05
) -> tuple[float, float] | None:
    """DeLong's interval of one AUROC within [0, 1]; None where that cannot be computed.

    With a single positive or negative there is no variance to estimate, and a perfect ranking shows
    none: its interval would be a single point.
    """
    values, flags = _checked(scores, positive)
    if min(int(flags.sum()), int((~flags).sum())) < 2:
        return None
    areas, covariance = _delong([values], flags)
    if not covariance[0, 0] > 0:
        return None
    half = NormalDist().inv_cdf(1 - alpha / 2) * math.sqrt(float(covariance[0, 0]))
    return max(0.0, areas[0] - half), min(1.0, areas[0] + half)


def delong(
    scores_a: ArrayLike, scores_b: ArrayLike, positive: ArrayLike, alpha: float = 0.05
) -> Delong | None:
    """Compare two scores on the same items; None where that cannot be computed.

    That is so with a single positive or negative, and where areas differ without any variance to
    judge it by, such as 0 and 1.

    Args:
        scores_a: of n items.
        scores_b: of the same items in the same order.
        positive: whether each of them is.
        alpha: two-sided coverage is 1 - alpha.

    Raises:
        BadInput: lengths that differ, or scores that are not finite.
    """
    a, flags = _checked(scores_a, positive)
    b, _ = _checked(scores_b, positive)
    if min(int(flags.sum()), int((~flags).sum())) < 2:
        return None
    areas, covariance = _delong([a, b], flags)
    difference = areas[1] - areas[0]
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if variance <= NOTHING * float(covariance.trace()):
        if difference != 0:
            return None
        variance = 0.0
    error = math.sqrt(variance)
    half = NormalDist().inv_cdf(1 - alpha / 2) * error
    p_value = math.erfc(abs(difference) / error / math.sqrt(2)) if error > 0 else 1.0
    return Delong(
        auroc_a=areas[0],
        auroc_b=areas[1],
        difference=difference,
        low=max(-1.0, difference - half),
        high=min(1.0, difference + half),
        p_value=p_value,
    )


def _delong(scores: list[Array], flags: NDArray[np.bool_]) -> tuple[list[float], NDArray[Any]]:
    """AUROCs and the covariance matrix of their estimates."""
    m, n = int(flags.sum()), int((~flags).sum())
    by_positive, by_negative = np.empty((len(scores), m)), np.empty((len(scores), n))
    areas = []
    for row, values in enumerate(scores):
        ranks = _midranks(values)
        by_positive[row] = (ranks[flags] - _midranks(values[flags])) / n
        by_negative[row] = 1 - (ranks[~flags] - _midranks(values[~flags])) / m
        areas.append(float(by_positive[row].mean()))
    return areas, np.atleast_2d(np.cov(by_positive)) / m + np.atleast_2d(np.cov(by_negative)) / n


def _midranks(values: Array) -> Array:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Array = (last - (counts - 1) / 2)[inverse]
    return ranks


def _checked(scores: ArrayLike, positive: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
    values = np.asarray(scores, dtype=np.float64)
    flags = np.asarray(positive).astype(np.bool_)
    if values.ndim != 1 or values.shape != flags.shape:
        raise BadInput(f"{values.shape} scores for {flags.shape} items: give one each", "scores")
    if not np.isfinite(values).all():
        raise BadInput("scores: they must be finite numbers", "scores")
    return values, flags
