"""Two small things: splits that are not kept, and what an update costs."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable

import numpy as np

from benchmarks.evidence.counting import Row, quantile, rng_of, share
from greenlight.core.states import Variant
from greenlight.core.stats.betting import MarginTest
from greenlight.core.stats.evalues import HORIZON, AssignmentTest, EventTest
from greenlight.core.stats.srm import SampleRatioTest

ALPHA = 0.001
SPLIT = "split"


def split_not_kept(runs: int, length: int) -> list[Row]:
    """12 % of the units meet the candidate where 10 % should, and as they should."""
    scenario = "12% of new units meet the candidate instead of 10%"
    found = np.array([_mismatch(seed, 0.12, length) for seed in range(runs)])
    kept = np.array([_mismatch(seed, 0.1, length) for seed in range(runs)])
    return [
        quantile(SPLIT, scenario, "SRM test", found, 0.5, goal=4000, measure="new units"),
        quantile(SPLIT, scenario, "SRM test", found, 0.9, measure="new units"),
        share(SPLIT, "the split of 10% is kept", "SRM test", np.isfinite(kept), alpha=ALPHA),
    ]


def _mismatch(seed: int, actual: float, length: int) -> float:
    """Units until the test calls a mismatch of a planned 10 %; infinite if it does not."""
    test, limit = SampleRatioTest(), -math.log(ALPHA)
    arms = rng_of(f"split, {actual}, {seed}").random(length) < actual
    for number, candidate in enumerate(arms.tolist(), start=1):
        if test.update(candidate, 0.1, 1) >= limit:
            return number
    return math.inf


COST = "cost"
GOAL = 20.0


def cost(updates: int) -> list[Row]:
    """Microseconds of CPU per update with its E, as a live rollout makes them: the median of five.

    Published beside its goal, and judged there; no test asserts it, for machines differ.
    """
    harm = AssignmentTest(direction="harm", horizon=HORIZON)
    better = AssignmentTest(direction="superiority")
    margin, event, split = MarginTest(margin=0.02), EventTest(), SampleRatioTest()
    arms = (Variant.CONTROL, Variant.CANDIDATE)
    tests: dict[str, Callable[[int], float]] = {
        "core test: harm": lambda i: harm.update(arms[i % 2], float(i % 5 > 0), 0.5, 1 + i // 60),
        "core test: better": lambda i: better.update(arms[i % 2], float(i % 5 > 0), 0.5),
        "margin test": lambda i: margin.update(arms[i % 2], float(i % 5 > 0), 0.5),
        "event test": lambda i: event.update(arms[i % 2], 0.5, 1 + i // 10),
        "SRM test": lambda i: split.update(i % 2 == 0, 0.5, 1),
    }
    rows = []
    for name, update in tests.items():
        spent = []
        for part in range(5):
            began = time.process_time()
            for i in range(part * updates, (part + 1) * updates):
                update(i)
            spent.append((time.process_time() - began) / updates * 1e6)
        value = statistics.median(spent)
        rows.append(
            Row(
                group=COST,
                scenario=f"{updates:,} updates",
                method=name,
                measure="µs per update",
                value=value,
                se=(max(spent) - min(spent)) / 4,
                runs=5,
                goal=GOAL,
                met=value <= GOAL,
            )
        )
    return rows
