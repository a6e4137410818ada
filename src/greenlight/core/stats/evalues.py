"""E-values: evidence that may be looked at after every event and still means what it says.

An e-value is a wealth that cannot be expected to grow while the null holds, so that E ≥ 1/α ever
happens with probability at most α (Ville's inequality). Here: the core test of binary outcomes,
the test of rare events, and the two-sample test of published tables.

The core test (`AssignmentTest`). A unit is assigned to the candidate with a known probability π,
and only that randomness is used:

    e_i = q_arm(y_i) / (π_i·q_1(y_i) + (1-π_i)·q_0(y_i))

q_0 is a running estimate of control's rate made before i, and q_1 is q_0 moved by θ on the logit
scale. Given the past, the expected e_i is 1 if the outcome does not depend on the arm. Six θ bet
side by side; negative θ bet on harm, positive on superiority. The null of harm is "at every time,
given the past, the candidate is at least as good": a rejection shows that it was worse at some
time, not that it is worse on average.

Rare events (`EventTest`): errors, timeouts, slow answers. Only a unit's first event in an epoch
counts. Just before it, among the units of its stratum that are still without an event, the
candidate holds the share s. If it is no worse, the next first event falls on it with probability
at most s; the test bets that the odds are r times as high:

    q_r = s·r / (s·r + 1 - s),   r in {2, 5, 20, 100};   factor q_r/s or (1-q_r)/(1-s)

Because units and not requests are counted, one user who fails all day is one event.

Sources: R. Turner, P. Grünwald, "Exact anytime-valid confidence intervals for contingency tables
and beyond", arXiv 2203.09785; R. Turner, A. Ly, P. Grünwald, "Generic E-variables for exact
sequential k-sample tests that allow for optional stopping", arXiv 2106.02693 (a randomised block
of one); M. Lindon, A. Malek, "Anytime-valid inference for multinomial count data", arXiv
2011.03567; EVIDENCE, "Core test" and the table of tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from greenlight.core.records import DAY, MINUTE
from greenlight.core.states import Variant
from greenlight.core.stats.numbers import Number
from greenlight.core.stats.restarts import Bets

THETAS = (0.1, 0.2, 0.35, 0.5, 0.8, 1.2)
THETA_WEIGHTS = (0.125, 0.25, 0.25, 0.125, 0.125, 0.125)
"""More is staked on effects that take long to show than on those that show at once (ADR 0013)."""
MEMORY = 0.999
"""Weight that an estimate of control's rate keeps per control outcome."""
EDGE = 1e-4
"""Rates are kept this far away from 0 and 1, so that no single outcome can end the test."""
RATIOS = (2.0, 5.0, 20.0, 100.0)
HORIZON = 14 * DAY // MINUTE
"""Minutes over which an event test restarts unless told otherwise: the default horizon."""

Direction = Literal["harm", "superiority"]


class AssignmentTest(Bets):
    """A one-sided test of binary outcomes; `update` costs O(1)."""

    weights: ClassVar[tuple[float, ...]] = THETA_WEIGHTS
    direction: Direction
    good: float = 1.0
    seen: float = 2.0

    def __post_init__(self) -> None:
        if self.direction not in ("harm", "superiority"):
            raise ValueError(f"direction {self.direction!r}: expected 'harm' or 'superiority'")
        super().__post_init__()

    def update(self, variant: str, outcome: float, pi: float, minute: int = 1) -> float:
        """Take one outcome; returns log E.

        Args:
            variant: the arm that the unit was assigned to, `control` or `candidate`.
            outcome: 1 for GOOD, 0 for BAD.
            pi: probability, given the past, of that unit's being assigned to the candidate.
                At 0 and 1 the outcome says nothing of the arms and only teaches the base rate.
            minute: minute of the rollout, from 1; it matters only with a horizon.

        Raises:
            ValueError: a value out of range.
        """
        if outcome not in (0, 1):
            raise ValueError(f"outcome {outcome!r}: expected 1 (GOOD) or 0 (BAD)")
        self.take(is_candidate(variant), float(outcome), probability(pi, "pi"), minute)
        return self.log_e

    def take(self, candidate: Number, outcome: Number, pi: Number, minute: Number = 1) -> None:
        """Take an outcome of each run: `candidate` and `outcome` are 0 or 1 (see `update`)."""
        self.pay_in(minute)
        xp = self.xp
        base = xp.least(xp.most(self.good / self.seen, EDGE), 1 - EDGE)
        logit = xp.log(base / (1 - base))
        sign = -1 if self.direction == "harm" else 1
        informative = (pi > 0) * (pi < 1)
        bad, control = 1 - outcome, 1 - candidate
        likelihood_0 = outcome * base + bad * (1 - base)
        factors = []
        for theta in THETAS:
            moved = 1 / (1 + xp.exp(-(logit + sign * theta)))
            likelihood_1 = outcome * moved + bad * (1 - moved)
            own = candidate * likelihood_1 + control * likelihood_0
            factors.append(
                informative * xp.log(own / (pi * likelihood_1 + (1 - pi) * likelihood_0))
            )
        self.multiply(factors)
        kept = candidate + control * MEMORY
        self.good = kept * self.good + control * outcome
        self.seen = kept * self.seen + control


class _Restarted(Bets, kw_only=True):
    horizon: int | None = HORIZON


class EventTest(_Restarted):
    """A one-sided test for an excess of first events; `update` costs O(1)."""

    weights: ClassVar[tuple[float, ...]] = (0.25,) * len(RATIOS)
    tolerance: float = 1.0
    """Ratio of odds that still counts as no worse."""

    def __post_init__(self) -> None:
        if not self.tolerance >= 1:
            raise ValueError(f"tolerance {self.tolerance}: below 1 it would demand fewer events")
        super().__post_init__()

    def update(self, variant: str, share: float, minute: int) -> float:
        """Take one first event; returns log E.

        Args:
            variant: the arm of the unit that it happened to.
            share: the candidate's share of the units at risk just before; 0 and 1 say nothing.
            minute: minute of the rollout, from 1.

        Raises:
            ValueError: a value out of range.
        """
        self.take(is_candidate(variant), probability(share, "share"), minute)
        return self.log_e

    def take(self, candidate: Number, share: Number, minute: Number) -> None:
        """Take an event of each run: `candidate` is 0 or 1 (see `update`)."""
        self.pay_in(minute)
        informative = (share > 0) * (share < 1)
        share = informative * share + (1 - informative) * 0.5
        null, null_rest = tilt(share, self.tolerance)
        factors = []
        for ratio in RATIOS:
            bet, bet_rest = tilt(share, ratio * self.tolerance)
            own = candidate * bet + (1 - candidate) * bet_rest
            expected = candidate * null + (1 - candidate) * null_rest
            factors.append(informative * self.xp.log(own / expected))
        self.multiply(factors)


def tilt(share: Number, ratio: float) -> tuple[Number, Number]:
    """The share whose odds are `ratio` times those of `share`, and what is left of 1."""
    total = share * ratio + 1 - share
    return share * ratio / total, (1 - share) / total


def two_proportions(
    ya: Sequence[int],
    yb: Sequence[int],
    na: int,
    nb: int,
    prior_a: tuple[float, float],
    prior_b: tuple[float, float],
) -> float:
    """The final e-value of two samples that come in blocks of fixed size (arXiv 2106.02693).

    Each arm bets by its posterior mean over the blocks before; the null is their weighted mean.

    Args:
        ya: successes of arm a in each block, each at most `na`.
        yb: the same of arm b, at most `nb`; as many blocks.
        na: size of a block of arm a.
        nb: size of a block of arm b.
        prior_a: parameters (α, β) of arm a's Beta prior, above 0.
        prior_b: the same of arm b.

    Raises:
        ValueError: blocks that do not match, or counts or priors out of range.
    """
    if len(ya) != len(yb):
        raise ValueError(f"{len(ya)} blocks of a against {len(yb)} of b; they come in pairs")
    if min(na, nb) < 1 or min(*prior_a, *prior_b) <= 0:
        raise ValueError("blocks need at least one trial of each arm, and priors parameters > 0")
    good_a, good_b = prior_a[0], prior_b[0]
    seen_a, seen_b = sum(prior_a), sum(prior_b)
    log_e = 0.0
    for a, b in zip(ya, yb, strict=True):
        if not (0 <= a <= na and 0 <= b <= nb):
            raise ValueError(f"a block of {a} and {b} successes is not within {na} and {nb}")
        rate_a, rate_b = good_a / seen_a, good_b / seen_b
        null = (na * rate_a + nb * rate_b) / (na + nb)
        log_e += a * math.log(rate_a / null) + (na - a) * math.log((1 - rate_a) / (1 - null))
        log_e += b * math.log(rate_b / null) + (nb - b) * math.log((1 - rate_b) / (1 - null))
        good_a, good_b = good_a + a, good_b + b
        seen_a, seen_b = seen_a + na, seen_b + nb
    return math.exp(log_e)


def is_candidate(variant: str) -> int:
    """1 for the candidate, 0 for control.

    Raises:
        ValueError: it is neither.
    """
    if variant == Variant.CANDIDATE:
        return 1
    if variant == Variant.CONTROL:
        return 0
    raise ValueError(f"variant {variant!r}: expected 'control' or 'candidate'")


def probability(value: float, name: str) -> float:
    """A number in [0, 1].

    Raises:
        ValueError: it is not; NaN is not.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{name} {value!r}: expected a number in [0, 1]")
    return value
