"""Intervals that may be looked at at every moment: for display, never for a decision.

A confidence sequence covers what it is of at all times at once with probability 1 - α. All of these
come from mixing a martingale over a prior; a tuning time (`t_opt`, `v_opt`, `n_opt`) says where the
interval is to be narrowest, and costs little elsewhere.

The normal mixture bounds a sum S with intrinsic time (variance) v. Its prior has the precision
r = v_opt / (2·log(1/α) + log(1 + 2·log(1/α))), where it is one-sided with 2α in place of α:

    two-sided:  |S| ≤ √((v + r)·(log(1 + v/r) + 2·log(1/α)))
    one-sided:  S ≤ s with ½·log(4r/(v+r)) + s²/(2(v+r)) + log Φ(s/√(v+r)) = log(1/α)

The beta-binomial mixture of k successes among n at rate p has a beta prior with mean p that weighs
m = t_opt / (2·log(1/.05) + log(1 + 2·log(1/.05))) - 1 outcomes:

    log M = log B(m·p + k, m·(1-p) + n - k) - log B(m·p, m·(1-p)) - k·log p - (n-k)·log(1-p)

A rate lies within the interval while M < 1/α. This is what the package confseq computes, written
out for outcomes of 0 and 1.

Sources: S. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, "Time-uniform, nonparametric, nonasymptotic
confidence sequences", Annals of Statistics 49 (2021), arXiv 1810.08240 (Propositions 5 to 7);
S. Howard, A. Ramdas, "Sequential estimation of quantiles with applications to A/B testing and
best-arm identification", Bernoulli 28 (2022), arXiv 1906.09712; I. Waudby-Smith, D. Arbour,
R. Sinha, E. Kennedy, A. Ramdas, "Time-uniform central limit theory and asymptotic confidence
sequences", Annals of Statistics 52 (2024), arXiv 2103.06476; the package confseq, whose names and
numbers these follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import msgspec

ALPHA_OPT = 0.05
"""The α for which confseq tunes its mixtures of counts, whatever α the interval has."""
T_OPT = 1000.0
"""Number of values at which the interval of a quantile is narrowest, unless told otherwise."""
V_OPT = 1000.0
"""Intrinsic time at which `Difference` is narrowest: some 600 units at 10 %, 1,600 at 50 %."""
EVENTS = 30
"""Events of each kind that each arm must have shown before a normal approximation is displayed."""
EDGE = 0.01
"""m̂ is kept this far away from 0 and 1."""
CLOSE = 2.0**-40
"""Relative width at which a root counts as found, as in confseq."""
NOTHING = 1e-18
"""A lower end below this is 0."""


def normal_mixture_bound(v: float, v_opt: float, alpha: float, two_sided: bool) -> float:
    """How far a martingale may have strayed by intrinsic time v; it ever exceeds it with chance α.

    Args:
        v: intrinsic time from 0: the sum of the variances so far.
        v_opt: intrinsic time above 0 at which the bound is tightest.
        alpha: in (0, 1); one-sided below ½.
        two_sided: whether both directions count.

    Raises:
        ValueError: an argument out of range.
    """
    _check_alpha(alpha)
    if not 0 <= v < math.inf or not 0 < v_opt < math.inf:
        raise ValueError(f"v {v} and v_opt {v_opt}: expected finite numbers, v_opt above 0")
    log_threshold = -math.log(alpha)
    if not two_sided and not alpha < 0.5:
        raise ValueError(f"alpha {alpha}: a one-sided bound takes an alpha below 0.5")
    rho = v_opt / _divisor(alpha if two_sided else 2 * alpha)
    scale = v + rho
    bound = math.sqrt(scale * (math.log1p(v / rho) + 2 * log_threshold))
    if two_sided:
        return bound

    def excess(s: float) -> float:
        z = s / math.sqrt(scale)
        log_phi = math.log(math.erfc(-z / math.sqrt(2)) / 2)
        return math.log(4 * rho / scale) / 2 + z * z / 2 + log_phi - log_threshold

    # log 4Φ² is at least 0 here, so that the two-sided bound of the same r lies above.
    return _root(excess, bound)


def bernoulli_interval(successes: float, n: int, t_opt: float, alpha: float) -> tuple[float, float]:
    """Confidence sequence for a rate: beta-binomial mixture, exact for independent 0 and 1.

    It is confseq's `bernoulli_confidence_interval` (with its alpha_opt of .05). It holds, too, for
    values within [0, 1] whose mean, given the past, is the same for all.

    Args:
        successes: 0 ≤ successes ≤ n.
        n: outcomes; 0 gives (0, 1), for nothing is known.
        t_opt: number of outcomes above 0 at which the interval is narrowest.
        alpha: in (0, 1).

    Raises:
        ValueError: an argument out of range.
    """
    _check_alpha(alpha)
    if not 0 <= successes <= n:
        raise ValueError(f"successes {successes} must lie in [0, n = {n}]")
    mass = _mass(t_opt)
    if n == 0:
        return 0.0, 1.0
    failures = n - successes
    log_threshold = -math.log(alpha)
    constant = math.lgamma(mass) - math.lgamma(mass + n) - log_threshold

    # In (0, rate] the excess falls; the upper end is the lower one with the roles swapped.
    def lowest(k: float, rest: float) -> float:
        def excess(p: float) -> float:
            return constant + _shape(mass * p, k, p) + _shape(mass * (1 - p), rest, 1 - p)

        return _root(excess, k / n) if k > 0 else 0.0

    return lowest(successes, failures), 1.0 - lowest(failures, successes)


def asymptotic_interval(
    n: int, mean: float, variance: float, alpha: float, n_opt: float
) -> tuple[float, float]:
    """Asymptotic confidence sequence for a mean, or for the running mean of changing means.

    mean ± s·√((n·c + 1)/(n²·c) · log((n·c + 1)/α²)),   c = (-2·log α + log(1 - 2·log α)) / n_opt,

    with the estimated standard deviation s: the two-sided normal mixture once n is large enough
    for that (arXiv 2103.06476, section 2, with c tuned as proposed there).

    Args:
        n: values, at least 1.
        mean: their mean.
        variance: their variance, from 0.
        alpha: in (0, 1).
        n_opt: number of values above 0 at which the interval is narrowest.

    Raises:
        ValueError: an argument out of range.
    """
    if n < 1 or not 0 <= variance < math.inf or not math.isfinite(mean):
        raise ValueError(f"{n} values of mean {mean} and variance {variance}: out of range")
    half = math.sqrt(variance) * normal_mixture_bound(n, n_opt, alpha, True) / n
    return mean - half, mean + half


class Difference(msgspec.Struct):
    """The difference of the arms' means, candidate less control, one unit at a time in O(1).

    With A = 1 for the candidate and m̂ a running mean of the outcomes before,

        X_i = (A_i - π_i) / (π_i·(1-π_i)) · (y_i - m̂_i)

    has the difference as its expectation, given the past, whatever the base rate does; pooled means
    do not while the weight changes (Simpson). The interval is of the average difference over the
    units so far (arXiv 2103.06476, Proposition 2.5: intrinsic time is the sum of the variances).
    """

    n: int = 0
    """Units with 0 < π < 1."""
    mean: float = 0.0
    """The mean of X: the estimate."""
    m2: float = 0.0
    """Σ (X - mean)², by Welford's recursion."""
    total: float = 0.0
    """Σ y."""
    control_good: float = 0.0
    control_bad: float = 0.0
    candidate_good: float = 0.0
    candidate_bad: float = 0.0

    def update(self, candidate: bool, y: float, pi: float) -> None:
        """Take the outcome of one unit.

        Args:
            candidate: whether it was assigned to the candidate.
            y: 1 for GOOD, 0 for BAD; what lies between counts as a part of each.
            pi: probability, given the past, of that unit's being assigned to the candidate; at 0
                and 1 it says nothing of a difference and is ignored.

        Raises:
            ValueError: a value out of range.
        """
        if not (0 <= y <= 1 and 0 <= pi <= 1):
            raise ValueError(f"outcome {y} and pi {pi}: expected numbers in [0, 1]")
        if pi in (0, 1):
            return
        base = min(max((self.total + 0.5) / (self.n + 1), EDGE), 1 - EDGE)
        x = (y - base) / pi if candidate else (base - y) / (1 - pi)
        self.n += 1
        off = x - self.mean
        self.mean += off / self.n
        self.m2 += off * (x - self.mean)
        self.total += y
        if candidate:
            self.candidate_good += y
            self.candidate_bad += 1 - y
        else:
            self.control_good += y
            self.control_bad += 1 - y

    def interval(self, alpha: float) -> tuple[float, float] | None:
        """The interval at 1 - α, within [-1, 1]; None where 30 events of each kind are missing.

        Raises:
            ValueError: alpha is not in (0, 1).
        """
        _check_alpha(alpha)
        events = (self.control_good, self.control_bad, self.candidate_good, self.candidate_bad)
        if min(events) < EVENTS:
            return None
        half = normal_mixture_bound(self.m2, V_OPT, alpha, True) / self.n
        return max(-1.0, self.mean - half), min(1.0, self.mean + half)


def quantile_interval(
    values: Iterable[float], p: float, alpha: float, t_opt: float = T_OPT
) -> tuple[float, float]:
    """Confidence sequence for the quantile p of independent values: two of the values themselves.

    Let q be the quantile, so that P(X < q) ≤ p ≤ P(X ≤ q). How many values lie at or below q (ties
    with q broken by a coin) is a count of successes at rate p, so that the mixture M above stays
    below 1/α at all times with probability 1 - α. It does for counts from `least` to `most` only:
    q lies between the order statistics number `least` and `most` + 1 (arXiv 1906.09712, Theorem 1
    with the beta-binomial bound; two-sided as in confseq's test of quantiles).

    Args:
        values: in any order; sorted ones are quicker.
        p: in (0, 1).
        alpha: in (0, 1).
        t_opt: number of values above 0 at which the interval is narrowest.

    Returns:
        The ends; -∞ or ∞ where the values cannot bound it.

    Raises:
        ValueError: an argument out of range, or a value that is not a number.
    """
    _check_alpha(alpha)
    if not 0 < p < 1:
        raise ValueError(f"p {p} must lie in (0, 1)")
    mass = _mass(t_opt)
    ordered = sorted(values)
    if any(value != value for value in ordered):
        raise ValueError("values: not all of them are numbers")
    n = len(ordered)
    constant = math.lgamma(mass) - math.lgamma(mass + n) + math.log(alpha)

    def within(k: int) -> bool:
        excess = _shape(mass * p, k, p) + _shape(mass * (1 - p), n - k, 1 - p)
        return constant + excess < 0

    # M is convex in k, and below 1 at the most likely count.
    centre = min(n, math.floor((n + 1) * p))
    least = centre - _reach(lambda step: within(centre - step), centre)
    most = centre + _reach(lambda step: within(centre + step), n - centre)
    low = float(ordered[least - 1]) if least > 0 else -math.inf
    high = float(ordered[most]) if most < n else math.inf
    return low, high


def _divisor(alpha: float) -> float:
    """By what a tuning time is divided to give the precision of the prior."""
    log_threshold = -2 * math.log(alpha)
    return log_threshold + math.log1p(log_threshold)


def _mass(t_opt: float) -> float:
    """How many outcomes the beta prior weighs."""
    if not 0 < t_opt < math.inf:
        raise ValueError(f"t_opt {t_opt}: expected a finite number above 0")
    return max(t_opt / _divisor(ALPHA_OPT) - 1, 1e-3)


def _shape(a: float, k: float, p: float) -> float:
    """One side of the mixture: log Γ(a+k) - log Γ(a) - k·log p."""
    return math.lgamma(a + k) - math.lgamma(a) - k * math.log(p) if k else 0.0


def _root(excess: Callable[[float], float], high: float) -> float:
    """Where a function that falls or rises throughout (0, high] changes its sign; 0 if nowhere.

    Halving until it has, then false position in the form of Illinois: an end that stays twice
    counts half the next time.
    """
    low, at_low = high, excess(high)
    rises = at_low > 0
    while (at_low > 0) == rises:
        high, at_high = low, at_low
        low /= 2
        if low < NOTHING:
            return 0.0
        at_low = excess(low)
    stayed = 0
    while high - low > CLOSE * high:
        at = low + (high - low) * at_low / (at_low - at_high)
        at = min(max(at, low + CLOSE * high / 4), high - CLOSE * high / 4)
        found = excess(at)
        if (found > 0) == rises:
            high, at_high = at, found
            at_low = at_low / 2 if stayed > 0 else at_low
            stayed = 1
        else:
            low, at_low = at, found
            at_high = at_high / 2 if stayed < 0 else at_high
            stayed = -1
    return (low + high) / 2


def _reach(within: Callable[[int], bool], limit: int) -> int:
    """The largest step up to `limit` that is still within, if all smaller ones are; 0 is."""
    inside, outside = 0, limit + 1
    while outside - inside > 1:
        middle = (inside + outside) // 2
        if within(middle):
            inside = middle
        else:
            outside = middle
    return inside


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} must lie in (0, 1)")
