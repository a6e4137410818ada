"""The core test: is GOOD independent of the arm? Valid at every look, whatever the base rate does.

A unit is assigned to the candidate with a known probability π, and only that randomness is used:

    e_i = q_arm(y_i) / (π_i·q_1(y_i) + (1-π_i)·q_0(y_i))

q_0 is a running estimate of the control's rate made before i, and q_1 is q_0 moved by θ on the
logit scale. Given the past, the expected e_i is 1 if the outcome does not depend on the arm, so
the product is a martingale and E ≥ 1/α happens with probability at most α, ever. Six θ bet side
by side. Negative θ bets on harm, positive on superiority.

The null of harm is "at every time, given the past, the candidate is at least as good": a rejection
shows that it was worse at some time, not that it is worse on average.

Sources: R. Turner, P. Grünwald, "Exact anytime-valid confidence intervals for contingency tables
and beyond", arXiv 2106.02693 (a randomised block of one); M. Lindon, A. Malek, "Anytime-valid
inference for multinomial count data", arXiv 2011.03567; EVIDENCE, "Core test".
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from greenlight.core.stats.restarts import Stakes

THETAS = (0.1, 0.2, 0.35, 0.5, 0.8, 1.2)
MEMORY = 0.999
"""Weight that an estimate of the control's rate keeps per control outcome."""
EDGE = 1e-4
"""Rates are kept this far away from 0 and 1, so that no single outcome can end the test."""

Direction = Literal["harm", "superiority"]


class CoreTest(msgspec.Struct):
    """A one-sided test of binary outcomes; `update` costs O(1)."""

    direction: Direction
    stakes: Stakes
    good: float = 1.0
    seen: float = 2.0

    @classmethod
    def of(cls, direction: Direction, horizon: int | None = None) -> CoreTest:
        """A fresh test; with `horizon` (minutes) it restarts every minute."""
        return cls(direction=direction, stakes=Stakes.of(len(THETAS), horizon))

    @property
    def log_e(self) -> float:
        """Natural logarithm of the evidence against the null."""
        return self.stakes.log_e

    def update(self, y: float, candidate: bool, pi: float, minute: int) -> None:
        """Take one outcome.

        Args:
            y: 1 for GOOD, 0 for BAD.
            candidate: the arm that the unit was assigned to.
            pi: probability, given the past, of that unit's being assigned to the candidate.
                At 0 and 1 the outcome says nothing of the arms and only teaches the base rate.
            minute: minute of the rollout, from 1.
        """
        self.stakes.advance(minute)
        if 0 < pi < 1:
            self.stakes.multiply(self._log_factors(y, candidate, pi))
        if not candidate:
            self.good = MEMORY * self.good + y
            self.seen = MEMORY * self.seen + 1

    def _log_factors(self, y: float, candidate: bool, pi: float) -> list[float]:
        base = min(max(self.good / self.seen, EDGE), 1 - EDGE)
        logit = math.log(base / (1 - base))
        sign = -1 if self.direction == "harm" else 1
        likelihood_0 = base if y else 1 - base
        factors = []
        for theta in THETAS:
            moved = 1 / (1 + math.exp(-(logit + sign * theta)))
            likelihood_1 = moved if y else 1 - moved
            own = likelihood_1 if candidate else likelihood_0
            factors.append(math.log(own / (pi * likelihood_1 + (1 - pi) * likelihood_0)))
        return factors
