"""The trap of trying again: whoever may launch a candidate until it wins will see it win."""

from __future__ import annotations

import numpy as np

from benchmarks.evidence import streams
from benchmarks.evidence.counting import Crossings, rng_of
from benchmarks.evidence.null import ALPHA
from benchmarks.evidence.traps.trap import Trap, trap
from greenlight.core.budget import penalty
from greenlight.core.stats.many import AssignmentTests

LAUNCHES = 10


def relaunching(runs: int, length: int = 1_500) -> Trap:
    """The same pair of versions, alike, ten times in a row with a new salt each time."""
    rng = rng_of("trap: relaunching")
    lucky, strict = np.zeros(runs, bool), np.zeros(runs, bool)
    for launch in range(1, LAUNCHES + 1):
        test = AssignmentTests(direction="superiority", runs=runs)
        at_alpha = Crossings(runs, 1 / ALPHA)
        at_less = Crossings(runs, 1 / (ALPHA * penalty(launch)))
        for step in streams.steady(0.8, 0.5)(rng, runs, length, 0.0):
            test.take(*step)
            at_alpha.look(test, 1)
            at_less.look(test, 1)
        lucky |= at_alpha.happened
        strict |= at_less.happened
    return trap(
        f"launched {LAUNCHES} times, until lucky",
        "each launch has the same α",
        "launch j has α/(j·(j+1)), the first one all of it: 1.5·α at most, for ever",
        lucky,
        strict,
        1.5 * ALPHA,
    )
