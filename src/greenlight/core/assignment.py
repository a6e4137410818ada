"""Who meets the candidate, and how likely that was (EVIDENCE: assignment and units).

A unit's bucket is a keyed hash of its name, a number in [0, 1); it meets the candidate while its
bucket lies below the weight. Widening therefore keeps every candidate unit where it is, and moves
each control unit at most once.

    bucket   0 ────────── w=.1 ──────────────────── w=.5 ─────────────────────── 1
    10 %     │  candidate  │                 control                             │
    50 %     │           candidate                   │          control            │

Once a unit has been seen, its arm at a new weight is no fresh coin: what it was exposed to so far
confines its bucket to an interval [low, high), and the probability of the candidate arm is the
share of that interval below the weight.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from greenlight.core.states import Variant

_SCALE = 2.0**-53
"""The hash keeps 64 bits; a double carries the upper 53 of them exactly, and stays below 1."""


def bucket(salt_hex: str, unit: str) -> float:
    """A unit's place in [0, 1): uniform for whoever does not know the salt.

    Args:
        salt_hex: the rollout's salt, up to 64 bytes as hexadecimal digits. Each rollout has its
            own, so that who was unlucky in one is not unlucky in the next.
        unit: the unit's name.
    """
    digest = hashlib.blake2b(unit.encode(), key=bytes.fromhex(salt_hex), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * _SCALE


def variant(bucket: float, weight: float) -> Variant:
    """The arm of a bucket at a weight (the candidate's share of units, in [0, 1])."""
    return Variant.CANDIDATE if bucket < weight else Variant.CONTROL


class Interval(msgspec.Struct, frozen=True):
    """What past exposures reveal of a unit's bucket: it lies in [low, high).

    Exposures that contradict each other (not of one unit under one salt) leave it empty.
    """

    low: float = 0.0
    high: float = 1.0

    def probability(self, weight: float) -> float:
        """π: the probability of the candidate arm at this weight, given the past.

        An empty interval gives 0, so that what contradicts itself enters no test.
        """
        if self.low >= self.high:
            return 0.0
        return min(1.0, max(0.0, (weight - self.low) / (self.high - self.low)))

    def after(self, weight: float, variant: Variant) -> Interval:
        """What is known once the unit has been seen in this arm at this weight."""
        if variant is Variant.CANDIDATE:
            return Interval(self.low, min(self.high, weight))
        return Interval(max(self.low, weight), self.high)


def interval(past: Iterable[tuple[float, Variant]]) -> Interval:
    """What a unit's exposures (weight, variant) so far reveal of its bucket."""
    known = Interval()
    for weight, arm in past:
        known = known.after(weight, arm)
    return known
