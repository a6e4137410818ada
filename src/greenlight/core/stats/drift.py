"""How far what is seen now is from what was seen at registration, as sizes of effect.

With a million rows every difference is significant, so a p-value says nothing: each measure has
thresholds for a small and a large effect. Drift hits both arms alike. It is a reason to look, never
one to roll back.

| measure              | of                  | small | large | thresholds                      |
|----------------------|---------------------|-------|-------|---------------------------------|
| `psi`                | counts              | .10   | .25   | Siddiqi 2006, the usual habit   |
| `jensen_shannon`     | counts              | .02   | .05   | convention, near those of `psi` |
| `kolmogorov_smirnov` | samples of a number | .10   | .20   | convention                      |
| `wasserstein`        | samples of a number | .20   | .50   | Cohen 1988: standard deviations |

Sources: N. Siddiqi, "Credit Risk Scorecards" (2006); J. Lin, "Divergence measures based on the
Shannon entropy", IEEE Trans. Information Theory 37 (1991) 145-151; J. Cohen, "Statistical Power
Analysis for the Behavioral Sciences" (1988).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from greenlight.core.errors import BadInput

Effect = Literal["none", "small", "large"]
Array = NDArray[np.float64]

THRESHOLDS = {
    "psi": (0.10, 0.25),
    "jensen_shannon": (0.02, 0.05),
    "kolmogorov_smirnov": (0.10, 0.20),
    "wasserstein": (0.20, 0.50),
}
"""Measure → from where an effect is small, and from where it is large."""

PRIOR = 0.5
"""What a category that only one side has counts as on the other: rare and not impossible."""


def judge(measure: str, value: float) -> Effect:
    """What a value of a measure means.

    Raises:
        BadInput: no such measure, or a value that is none.
    """
    if measure not in THRESHOLDS:
        raise BadInput(f"measure {measure!r}: there are {', '.join(THRESHOLDS)}", "measure")
    if not value >= 0:
        raise BadInput(f"value {value!r}: {measure} is at least 0", "value")
    small, large = THRESHOLDS[measure]
    if value >= large:
        return "large"
    return "small" if value >= small else "none"


def psi(baseline: ArrayLike, now: ArrayLike) -> float:
    """The population stability index: Σ (q - p)·log(q/p) over categories; 0 if they are alike.

    A category that only one side has counts as `PRIOR` of a row on the other.

    Args:
        baseline: counts by category.
        now: counts of the same categories in the same order.

    Raises:
        BadInput: other categories, negative counts, or nothing counted.
    """
    p, q = _shares(baseline, now, PRIOR)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(baseline: ArrayLike, now: ArrayLike) -> float:
    """The Jensen-Shannon divergence in bits, in [0, 1]; arguments and errors as for `psi`."""
    p, q = _shares(baseline, now, 0.0)
    both = p + q
    bits = [float((x[x > 0] * np.log2(2 * x[x > 0] / both[x > 0])).sum()) for x in (p, q)]
    return min(1.0, max(0.0, sum(bits) / 2))


def kolmogorov_smirnov(baseline: ArrayLike, now: ArrayLike) -> float:
    """The largest distance between the two distribution functions, in [0, 1].

    Args:
        baseline: a sample of finite numbers.
        now: another.

    Raises:
        BadInput: an empty sample, or one with values that are not finite.
    """
    first, second = np.sort(_sample(baseline, "baseline")), np.sort(_sample(now, "now"))
    at = np.concatenate([first, second])
    below_first = np.searchsorted(first, at, side="right") / len(first)
    below_second = np.searchsorted(second, at, side="right") / len(second)
    return float(np.abs(below_first - below_second).max())


def wasserstein(baseline: ArrayLike, now: ArrayLike) -> float:
    """How far the values have to be moved on average, in standard deviations of the baseline.

    A baseline that does not vary counts as varying by 1.

    Raises:
        BadInput: as for `kolmogorov_smirnov`.
    """
    first, second = np.sort(_sample(baseline, "baseline")), np.sort(_sample(now, "now"))
    at = np.sort(np.concatenate([first, second]))
    below_first = np.searchsorted(first, at[:-1], side="right") / len(first)
    below_second = np.searchsorted(second, at[:-1], side="right") / len(second)
    # On a scale on which nothing overflows; ratios do not depend on it.
    unit = float(np.abs(at).max()) or 1.0
    steps = at[1:] / unit - at[:-1] / unit
    scale = float((first / unit).std()) or 1.0 / unit
    return float((np.abs(below_first - below_second) * (steps / scale)).sum())


def bins(baseline: ArrayLike, count: int = 10) -> Array:
    """Inner edges of bins that hold equal shares of a baseline; each bin begins at its lower edge.

    A value that fills a bin or more, and the largest if it is an edge, have a bin of their own, so
    that a baseline that does not vary has three: below it, at it and above it.

    Raises:
        BadInput: an empty sample, values that are not finite, or fewer than two bins.
    """
    if count < 2:
        raise BadInput(f"count {count}: use two bins or more", "count")
    values = _sample(baseline, "baseline")
    edges, times = np.unique(np.quantile(values, np.arange(1, count) / count), return_counts=True)
    heavy = edges[((times > 1) | (edges == values.max())) & (edges < np.finfo(np.float64).max)]
    found: Array = np.union1d(edges, np.nextafter(heavy, np.inf))
    return found


def histogram(values: ArrayLike, edges: Array) -> NDArray[np.int64]:
    """How many values lie in each bin between `edges`, and beyond the outermost."""
    found = np.searchsorted(edges, _sample(values, "values"), side="right")
    return np.bincount(found, minlength=len(edges) + 1).astype(np.int64)


def _shares(baseline: ArrayLike, now: ArrayLike, empty: float) -> tuple[Array, Array]:
    """Shares of the categories that either side has; none counts as `empty` rows."""
    p, q = (np.asarray(counts, dtype=np.float64) for counts in (baseline, now))
    if p.ndim != 1 or p.shape != q.shape or p.size < 2:
        raise BadInput(f"{p.shape} against {q.shape}: count the same two or more categories", "now")
    for counts, name in ((p, "baseline"), (q, "now")):
        if not (np.isfinite(counts).all() and (counts >= 0).all() and counts.sum() > 0):
            raise BadInput(f"{name}: counts must be 0 or more, and not all 0", name)
    there = (p > 0) | (q > 0)
    p, q = (np.where(counts > 0, counts, empty)[there] / counts.sum() for counts in (p, q))
    return p, q


def _sample(values: ArrayLike, name: str) -> Array:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or found.size == 0 or not np.isfinite(found).all():
        raise BadInput(f"{name}: expected one or more finite numbers", name)
    return found
