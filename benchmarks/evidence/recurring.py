"""Outcomes of units that come again while the split changes.

Units differ (some are hard to please), remember what they met (carry-over), and never change
their bucket: once a unit has been seen, its arm at another weight is no fresh coin. π is the share
of what is left of its interval that lies below the weight (`core.assignment.Interval`, here for
arrays).
"""

from __future__ import annotations

import numpy as np

from benchmarks.evidence.counting import Array
from benchmarks.evidence.streams import PER_MINUTE, Step, Stream, World


class Buckets:
    """Buckets of many units of many runs, and what their exposures have revealed of them."""

    def __init__(self, place: Array) -> None:
        """`place`: where in [0, 1) each unit's bucket lies, as (runs, units)."""
        self._place = place
        self._low = np.zeros_like(place)
        self._high = np.ones_like(place)

    def expose(self, who: Array, weight: float) -> tuple[Array, Array]:
        """Show a unit of each run an answer at this weight; returns its arm (1 or 0) and its π."""
        at = (np.arange(len(who)), who)
        low, high = self._low[at], self._high[at]
        candidate = self._place[at] < weight
        pi = np.clip((weight - low) / (high - low), 0.0, 1.0)
        self._high[at] = np.where(candidate, np.minimum(high, weight), high)
        self._low[at] = np.where(candidate, low, np.maximum(low, weight))
        return candidate.astype(float), pi


def returning(
    *weights: float, at_weight: bool = False, carry: float = 0.1, same: float = 0.2
) -> World:
    """In every epoch everybody comes who came before, and as many new units as in the first.

    Args:
        weights: the split of each epoch.
        at_weight: wrongly take π = w for everybody.
        carry: what having met the candidate takes off a unit's probability of GOOD for good.
        same: how alike the outcomes of one unit are (their correlation), in (0, 1).
    """

    def world(rng: np.random.Generator, runs: int, length: int, effect: float) -> Stream:
        fresh = max(1, 2 * length // (len(weights) * (len(weights) + 1)))
        count = fresh * len(weights)
        buckets = Buckets(rng.random((runs, count)))
        firm = 1 / same - 1
        mood = np.maximum(rng.beta(0.8 * firm, 0.2 * firm, (runs, count)), abs(effect))
        number = 0
        for epoch, weight in enumerate(weights, start=1):
            order = rng.permuted(np.tile(np.arange(fresh * epoch), (runs, 1)), axis=1)
            for who in order.T:
                at = (np.arange(runs), who)
                candidate, pi = buckets.expose(who, weight)
                good = rng.random(runs) < mood[at] + effect * candidate
                mood[at] = np.maximum(mood[at] - carry * candidate, abs(effect))
                shown = np.full(runs, weight) if at_weight else pi
                minute = np.full(runs, 1 + number // PER_MINUTE)
                yield Step(candidate, good.astype(float), shown, minute)
                number += 1

    return world
