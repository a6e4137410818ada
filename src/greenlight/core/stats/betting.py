"""No worse by more than a margin: betting on a mean that the assignment makes unbiased.

For each unit, with A = 1 for the candidate and an estimate m̂ of the outcome made before it,

    X_i = (A_i - π_i) / (π_i·(1-π_i)) · (Y_i - m̂_i)

has expectation P(Y=1 | candidate) - P(Y=1 | control), given the past. The null is that this
difference is at most -δ; the wealth Π (1 + λ_i·(X_i + δ)) cannot be expected to grow then, as long
as λ_i ≥ 0 was fixed before. λ_i is the share that a known variance and the estimated difference
ask for, and at most half of what could lose everything:

    L_i = max(m̂_i/π_i, (1-m̂_i)/(1-π_i)),   V_i = m̂_i·(1-m̂_i)·(1/π_i + 1/(1-π_i)),
    Δ̂_i = (Σ_{j<i} X_j/V_j) / (Σ_{j<i} 1/V_j + 400) clipped to ±½,
    λ_i = clip((δ + Δ̂_i) / (V_i + δ²), 0, ½/L_i)

L_i is a bound and not the largest X seen: with that, type I error was .34 (EVIDENCE, table of
tests). With `reverse` it is the test of the opposite: the null is a difference of at least -δ, the
evidence says that the candidate is worse by more than the margin.

Sources: I. Waudby-Smith, A. Ramdas, "Estimating means of bounded random variables by betting",
JRSS B 86 (2024), arXiv 2010.09686; the same with others, "Anytime-valid off-policy inference for
contextual bandits", arXiv 2210.10768.
"""

from __future__ import annotations

from typing import ClassVar

from greenlight.core.stats.evalues import is_candidate, probability
from greenlight.core.stats.numbers import Number
from greenlight.core.stats.restarts import Bets

DOUBT = 400.0
"""How much the estimated difference is drawn to 0: like 400 unit-variance observations of it."""
MEMORY = 0.999
EDGE = 0.01
"""m̂ is kept this far away from 0 and 1."""
BOLDNESS = 0.5
"""At most this share of the wealth may be lost on one unit."""


class MarginTest(Bets):
    """Non-inferiority of a bounded outcome, or its reverse; `update` costs O(1)."""

    weights: ClassVar[tuple[float, ...]] = (1.0,)
    margin: float
    """δ ≥ 0, on the scale of the outcome."""
    reverse: bool = False
    good: float = 1.0
    seen: float = 2.0
    leaning: float = 0.0
    """Σ X_j/V_j."""
    precision: float = 0.0
    """Σ 1/V_j."""

    def __post_init__(self) -> None:
        if not 0 <= self.margin < 1:
            raise ValueError(f"margin {self.margin!r}: expected a number in [0, 1)")
        super().__post_init__()

    def update(self, variant: str, outcome: float, pi: float, minute: int = 1) -> float:
        """Take one outcome; returns log E.

        Args:
            variant: the arm that the unit was assigned to, `control` or `candidate`.
            outcome: in [0, 1], more is better.
            pi: probability, given the past, of that unit's being assigned to the candidate.
                At 0 and 1 the outcome only teaches m̂.
            minute: minute of the rollout, from 1; it matters only with a horizon.

        Raises:
            ValueError: a value out of range.
        """
        outcome = probability(outcome, "outcome")
        self.take(is_candidate(variant), outcome, probability(pi, "pi"), minute)
        return self.log_e

    def take(self, candidate: Number, outcome: Number, pi: Number, minute: Number = 1) -> None:
        """Take an outcome of each run: `candidate` is 0 or 1 (see `update`)."""
        self.pay_in(minute)
        xp = self.xp
        sign = -1 if self.reverse else 1
        if self.reverse:
            outcome = 1 - outcome
        informative = (pi > 0) * (pi < 1)
        pi = informative * pi + (1 - informative) * 0.5
        delta = sign * self.margin
        mean = xp.least(xp.most(self.good / self.seen, EDGE), 1 - EDGE)
        x = (candidate - pi) / (pi * (1 - pi)) * (outcome - mean)
        worst = xp.most(mean / pi, (1 - mean) / (1 - pi))
        variance = mean * (1 - mean) * (1 / pi + 1 / (1 - pi))
        guess = xp.least(xp.most(self.leaning / (self.precision + DOUBT), -0.5), 0.5)
        share = (delta + guess) / (variance + delta * delta)
        share = xp.least(xp.most(share, 0.0), BOLDNESS / worst)
        self.multiply([informative * xp.log(1 + share * (x + delta))])
        self.leaning = self.leaning + informative * x / variance
        self.precision = self.precision + informative / variance
        self.good = MEMORY * self.good + outcome
        self.seen = MEMORY * self.seen + 1
