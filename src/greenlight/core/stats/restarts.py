"""A bet that can begin at any minute: what makes late harm as visible as early harm.

A process that has lost its stake on weeks of healthy traffic answers late. So the stake is paid
in over time: by minute k the share F(k) has been paid in, and what has not been paid in yet
counts as kept. The mixture over all starting minutes is one number per bet, in O(1):

    at the first event of minute k > k_last:  M += F(k) - F(k_last)
    at every event:                           M *= factor
    E = M + (1 - F(k))

It is exact because a factor does not depend on when a bet began (EVIDENCE, "Restarts").
All values are natural logarithms.
"""

from __future__ import annotations

import math

import msgspec

NOTHING = -math.inf


def paid_in(minute: int, horizon: int) -> float:
    """F(k) = ½·(1 - 1/(k+1)) + ½·min(k/H, 1): half early, half spread over the horizon.

    Args:
        minute: k ≥ 0.
        horizon: H > 0, in minutes.
    """
    return 0.5 * (1 - 1 / (minute + 1)) + 0.5 * min(minute / horizon, 1.0)


def log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b)) without overflow."""
    if a < b:
        a, b = b, a
    return a if b == NOTHING else a + math.log1p(math.exp(b - a))


class Stakes(msgspec.Struct):
    """One wealth per bet. Without `horizon` everything is staked at the start, once."""

    log_wealth: list[float]
    horizon: int | None = None
    minute: int = 0

    @classmethod
    def of(cls, bets: int, horizon: int | None) -> Stakes:
        """Stakes for a number of equally weighted bets; `horizon` in minutes, None: no restarts."""
        start = 0.0 if horizon is None else NOTHING
        return cls(log_wealth=[start] * bets, horizon=horizon)

    def advance(self, minute: int) -> None:
        """Pay in what is due by this minute; a minute that is past is no minute."""
        if self.horizon is None or minute <= self.minute:
            return
        due = paid_in(minute, self.horizon) - paid_in(self.minute, self.horizon)
        self.minute = minute
        if due > 0:
            log_due = math.log(due)
            self.log_wealth = [log_add(wealth, log_due) for wealth in self.log_wealth]

    def multiply(self, log_factors: list[float]) -> None:
        """Take one event's factor of each bet."""
        self.log_wealth = [
            wealth + factor for wealth, factor in zip(self.log_wealth, log_factors, strict=True)
        ]

    @property
    def log_e(self) -> float:
        """log E: the mean wealth, plus what has not been staked yet."""
        total = NOTHING
        for wealth in self.log_wealth:
            total = log_add(total, wealth)
        mean = total - math.log(len(self.log_wealth))
        if self.horizon is None:
            return mean
        kept = 1 - paid_in(self.minute, self.horizon)
        return mean if kept <= 0 else log_add(mean, math.log(kept))
