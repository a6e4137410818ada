"""Rare events that should not happen: errors, timeouts. Does the candidate cause more of them?

Only a unit's first event in an epoch counts. Just before it, among the units of its stratum that
are still without an event, the candidate holds the share s. If the candidate is no worse, the
next first event falls on the candidate with probability at most s; the test bets that the odds
are r times as high:

    q_r = s·r / (s·r + 1 - s),   r in {2, 5, 20, 100};   factor q_r/s or (1-q_r)/(1-s)

Because units and not requests are counted, one user who fails all day is one event. (EVIDENCE,
table of tests: `EventTest`.)
"""

from __future__ import annotations

import math

import msgspec

from greenlight.core.stats.restarts import Stakes

RATIOS = (2.0, 5.0, 20.0, 100.0)


def tilt(share: float, ratio: float) -> float:
    """The share whose odds are `ratio` times those of `share`."""
    return share * ratio / (share * ratio + 1 - share)


class EventTest(msgspec.Struct):
    """A one-sided test for an excess of first events; `update` costs O(1)."""

    stakes: Stakes
    tolerance: float = 1.0
    """Ratio of odds that still counts as no worse."""

    @classmethod
    def of(cls, horizon: int | None, tolerance: float = 1.0) -> EventTest:
        """A fresh test that restarts every minute of `horizon` (None: it does not restart)."""
        return cls(stakes=Stakes.of(len(RATIOS), horizon), tolerance=tolerance)

    @property
    def log_e(self) -> float:
        """Natural logarithm of the evidence that the candidate has too many events."""
        return self.stakes.log_e

    def update(self, candidate: bool, share: float, minute: int) -> None:
        """Take one first event.

        Args:
            candidate: the arm of the unit that it happened to.
            share: the candidate's share of the units at risk just before; 0 and 1 say nothing.
            minute: minute of the rollout, from 1.
        """
        self.stakes.advance(minute)
        null = tilt(share, self.tolerance)
        if not 0 < null < 1:
            return
        factors = []
        for ratio in RATIOS:
            bet = tilt(null, ratio)
            factors.append(math.log(bet / null if candidate else (1 - bet) / (1 - null)))
        self.stakes.multiply(factors)
