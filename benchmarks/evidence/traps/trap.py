"""What a trap comes to."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from benchmarks.evidence.counting import Array


class Trap(msgspec.Struct, frozen=True, kw_only=True):
    """How often one is wrong before and after a rule, in the same runs."""

    name: str
    tempting: str
    """What is done without the rule."""
    rule: str
    before: float
    after: float
    runs: int
    alpha: float
    """What the rule promises."""
    before_se: float
    after_se: float
    kept: bool
    """Whether `after` is at most α + 3 standard errors (of α)."""


def trap(name: str, tempting: str, rule: str, before: Array, after: Array, alpha: float) -> Trap:
    """A trap from who was wrong in it: a truth value per run, before and after the rule."""
    runs, was, now = len(before), float(np.mean(before)), float(np.mean(after))
    return Trap(
        name=name,
        tempting=tempting,
        rule=rule,
        before=was,
        after=now,
        runs=runs,
        alpha=alpha,
        before_se=math.sqrt(was * (1 - was) / runs),
        after_se=math.sqrt(now * (1 - now) / runs),
        kept=now <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs),
    )
