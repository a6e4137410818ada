"""Sample ratio mismatch: do the arms get the shares of units that they were meant to get?

If not, something assigns, drops or counts units by another rule than the one in force, and no
comparison of the arms can be trusted. Pearson's χ² answers that for a sample of fixed size; under
peeking it fires in 59 % of healthy rollouts. What is watched is the Dirichlet-multinomial Bayes
factor against the point null: given the shares θ and the prior a, after counts n of N units,

    BF = Γ(A)/Γ(A+N) · Π_j Γ(a_j+n_j)/Γ(a_j) · Π_j θ_j^(-n_j),   A = Σ_j a_j

is an e-value at every look, so that BF ≥ 1/α ever happens with probability at most α. Event by
event a unit of arm j multiplies it by (a_j + n_j) / (A + n) / θ_j.

Only first exposures of units that are new to the rollout are counted, never requests: a request is
no draw of its own, and a unit that was seen before is drawn by another probability.

Sources: K. Pearson, "On the criterion that a given system of deviations ...", Philosophical
Magazine 50 (1900) 157-175; M. Lindon, A. Malek, "Anytime-valid inference for multinomial count
data", arXiv 2011.03567, section 3; EVIDENCE, table of tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

CONCENTRATION = 100.0
"""How much the prior of the live test trusts the shares: like so many units seen before."""


def chi2_p_value(counts: Sequence[float], shares: Sequence[float]) -> float:
    """Pearson's χ² test of counts against shares: for one look at a sample of fixed size.

    Args:
        counts: units of each arm.
        shares: what each arm was to get of them, in (0, 1), together 1.

    Returns:
        The p-value, in [0, 1].

    Raises:
        ValueError: values out of range, lengths that differ, or no unit at all.
    """
    _check(counts, shares)
    total = sum(counts)
    if total == 0:
        raise ValueError("cannot compute: there are no units to count")
    from scipy import special  # takes longer to load than everything else in the core together

    statistic = math.fsum(
        (count - total * share) ** 2 / (total * share)
        for count, share in zip(counts, shares, strict=True)
    )
    return float(special.chdtrc(len(shares) - 1, statistic))


def log_bayes_factors(
    batches: Sequence[Sequence[float]], shares: Sequence[float], prior: Sequence[float]
) -> list[float]:
    """The natural logarithm of the Bayes factor after each batch, of all batches so far.

    Args:
        batches: units of each arm, batch by batch.
        shares: what each arm was to get, in (0, 1), together 1.
        prior: parameters of the Dirichlet distribution, one above 0 for each arm.

    Raises:
        ValueError: values out of range or lengths that differ.
    """
    _check_prior(shares, prior)
    counts = [0.0] * len(shares)
    found = []
    for batch in batches:
        _check(batch, shares)
        counts = [before + new for before, new in zip(counts, batch, strict=True)]
        found.append(_log_bayes_factor(counts, shares, prior))
    return found


class MultinomialTest(msgspec.Struct):
    """The Bayes factor as a p-value that holds at every look.

    Raises:
        ValueError: shares or prior out of range, or of unequal length.
    """

    shares: Sequence[float]
    """What each arm was to get, in (0, 1), together 1."""
    prior: Sequence[float]
    """Parameters of the Dirichlet distribution, above 0."""
    counts: list[float] = []
    """Units of each arm so far."""
    p_value: float = 1.0

    def __post_init__(self) -> None:
        _check_prior(self.shares, self.prior)
        self.counts = self.counts or [0.0] * len(self.shares)
        _check(self.counts, self.shares)

    def update(self, counts: Sequence[float]) -> float:
        """Take the next units of each arm; returns min(1, the smallest 1/BF so far).

        Raises:
            ValueError: counts below zero, or of another number of arms.
        """
        _check(counts, self.shares)
        self.counts = [before + new for before, new in zip(self.counts, counts, strict=True)]
        evidence = _log_bayes_factor(self.counts, self.shares, self.prior)
        self.p_value = min(self.p_value, math.exp(-max(evidence, 0.0)))
        return self.p_value


class SampleRatioTest(msgspec.Struct):
    """The test as it runs beside a rollout: one unit at a time, in O(1), over all epochs.

    The shares change with the weight. Each epoch is a test of its own that starts at 1, and the
    product of all is an e-value again. What was once a mismatch stays one: judge by `peak`.
    """

    epoch: int = 0
    """The epoch that is being counted."""
    weight: float = 0.0
    """The candidate's share of new units in it."""
    candidate: int = 0
    """Units of the candidate in it."""
    control: int = 0
    log_e: float = 0.0
    """log E now, of all epochs."""
    peak: float = 0.0
    """The largest log E so far, at least 0."""

    def update(self, candidate: bool, weight: float, epoch: int) -> float:
        """Take a unit that is new to the rollout; returns log E.

        Args:
            candidate: whether it was assigned to the candidate.
            weight: the probability of that; at 0 or below and at 1 or above the unit is ignored.
            epoch: number of the epoch in which it was first seen.
        """
        if not 0 < weight < 1:
            return self.log_e
        if epoch != self.epoch or weight != self.weight:
            self.epoch, self.weight = epoch, weight
            self.candidate = self.control = 0
        share = weight if candidate else 1 - weight
        own = self.candidate if candidate else self.control
        total = CONCENTRATION + self.candidate + self.control
        self.log_e += math.log((CONCENTRATION * share + own) / total / share)
        self.peak = max(self.peak, self.log_e)
        if candidate:
            self.candidate += 1
        else:
            self.control += 1
        return self.log_e


def _log_bayes_factor(
    counts: Sequence[float], shares: Sequence[float], prior: Sequence[float]
) -> float:
    total = math.fsum(prior)
    return (
        math.lgamma(total)
        - math.lgamma(total + math.fsum(counts))
        + math.fsum(
            math.lgamma(a + n) - math.lgamma(a) - n * math.log(share)
            for n, share, a in zip(counts, shares, prior, strict=True)
        )
    )


def _check(counts: Sequence[float], shares: Sequence[float]) -> None:
    if len(counts) != len(shares):
        raise ValueError(f"{len(counts)} counts for {len(shares)} shares: expected one each")
    if len(shares) < 2 or not all(0 < share < 1 for share in shares):
        raise ValueError(f"shares {list(shares)}: expected at least two, all in (0, 1)")
    if abs(math.fsum(shares) - 1) > 1e-9:
        raise ValueError(f"shares {list(shares)} add up to {math.fsum(shares)}, expected 1")
    if not all(0 <= count < math.inf for count in counts):
        raise ValueError(f"counts {list(counts)}: expected finite numbers from 0")


def _check_prior(shares: Sequence[float], prior: Sequence[float]) -> None:
    _check([0] * len(shares), shares)
    if len(prior) != len(shares) or not all(0 < a < math.inf for a in prior):
        raise ValueError(f"prior {list(prior)}: expected {len(shares)} numbers above 0")
