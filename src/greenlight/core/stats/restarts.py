"""A bet that can begin at any minute: what makes late harm as visible as early harm.

A process that has lost its stake on weeks of healthy traffic answers late. So the stake is paid
in over time: by minute k the share F(k) has been paid in, and what has not been paid in yet
counts as kept. The mixture over all starting minutes is one number per bet, in O(1):

    at the first event of minute k > k_last:  M += F(k) - F(k_last)
    at every event:                           M *= factor
    E = weighted mean of M + (1 - F(k))

It is exact because a factor does not depend on when a bet began (EVIDENCE, "Restarts"; how much is
paid in when is chosen in docs/adr/0013). All values are natural logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import msgspec

from greenlight.core.stats.numbers import FLOATS, Number, Numbers


class Parts(NamedTuple):
    """How the stake is divided; the parts sum to 1."""

    at_once: float
    """It is there from the start."""
    early: float
    """It is paid in as 1 - 1/(k+1): most of it within the first minutes."""
    evenly: float
    """It is spread over the horizon."""


PARTS = Parts(0.45, 0.30, 0.25)


def paid_in(minute: Number, horizon: int, xp: Numbers = FLOATS, parts: Parts = PARTS) -> Number:
    """F(k) = .45 + .30·(1 - 1/(k+1)) + .25·min(k/H, 1): at once, early, and evenly.

    Args:
        minute: k ≥ 0.
        horizon: H > 0, in minutes.
        xp: the arithmetic of `minute`.
        parts: other weights than those.
    """
    spread = parts.evenly * xp.least(minute / horizon, 1.0)
    return parts.at_once + parts.early * (1 - 1 / (minute + 1)) + spread


class Bets(msgspec.Struct, kw_only=True):
    """Wealth per unit of stake of some bets, one number each. Base of the tests."""

    xp: ClassVar[Numbers] = FLOATS
    weights: ClassVar[tuple[float, ...]]
    """Of the bets; they sum to 1."""
    parts: ClassVar[Parts] = PARTS
    horizon: int | None = None
    """Minutes over which the stakes are paid in; None: all of it is staked at once, for good."""
    log_wealth: list[float] = []
    minute: int = 0
    """The newest minute for which has been paid in."""

    def __post_init__(self) -> None:
        """Stake what is staked at the start, if nothing has been staked yet."""
        if not self.log_wealth:
            self.log_wealth = [self.start] * len(self.weights)

    @property
    def start(self) -> float:
        """The logarithm of what is staked at the start."""
        return 0.0 if self.horizon is None else math.log(self._paid_in(0, self.horizon))

    def pay_in(self, minute: Number) -> None:
        """Pay in what is due by this minute; a minute that is past is no minute."""
        if self.horizon is None or not self.xp.any(minute > self.minute):
            return
        now = self.xp.most(minute, self.minute)
        due = self._paid_in(now, self.horizon) - self._paid_in(self.minute, self.horizon)
        self.minute = now
        log_due = self.xp.log(due)
        self.log_wealth = [self.xp.log_sum([wealth, log_due]) for wealth in self.log_wealth]

    def multiply(self, log_factors: Sequence[Number]) -> None:
        """Take one event's factor of each bet."""
        self.log_wealth = [
            wealth + factor for wealth, factor in zip(self.log_wealth, log_factors, strict=True)
        ]

    @property
    def log_e(self) -> float:
        """log E: the mean wealth, plus what has not been staked yet."""
        mean: float = self.xp.log_sum(
            [
                wealth + math.log(weight)
                for wealth, weight in zip(self.log_wealth, self.weights, strict=True)
            ]
        )
        if self.horizon is None:
            return mean
        kept = self.xp.log(1 - self._paid_in(self.minute, self.horizon))
        total: float = self.xp.log_sum([mean, kept])
        return total

    def _paid_in(self, minute: Number, horizon: int) -> Number:
        return paid_in(minute, horizon, self.xp, self.parts)
