"""How often each method errs where nothing is wrong, at every look.

The core test looks for harm (with restarts) and for superiority where both arms are equally good.
The margin test stands on the edge of its null: the candidate is worse by just the margin, which is
neither "no worse by more than that" nor "worse by more than that".
"""

from __future__ import annotations

import math
from typing import NamedTuple

from benchmarks.evidence import streams
from benchmarks.evidence.comparators import Dashboard
from benchmarks.evidence.counting import Array, Crossings, Row, reaches, rng_of, share
from benchmarks.evidence.recurring import returning
from benchmarks.evidence.streams import World
from greenlight.core.policy import RolloutPolicy
from greenlight.core.records import MINUTE
from greenlight.core.stats.evalues import HORIZON
from greenlight.core.stats.many import AssignmentTests, MarginTests

ALPHA = 0.05
TYPE_ONE = "type I"

HARM = "core test: harm"
BETTER = "core test: better"
SOAK = max(step.soak for step in RolloutPolicy().steps) // MINUTE
"""Minutes that the last step before promotion takes at least."""
NO_WORSE = "margin test: no worse"
WORSE = "margin test: worse"


class Null(NamedTuple):
    """A world without a difference."""

    world: World
    margin: float = 0.05
    """What the margin tests are tried at."""


NULLS: dict[str, Null] = {
    **{
        f"{rate:.0%} GOOD, split {weight:.0%}": Null(
            streams.steady(rate, weight), 0.005 if rate < 0.1 else 0.05
        )
        for rate in (0.01, 0.5, 0.8, 0.95)
        for weight in (0.1, 0.5)
    },
    "80% GOOD, split 1%": Null(streams.steady(0.8, 0.01)),
    "split 1 to 50%": Null(streams.climbing(0.01, 0.05, 0.1, 0.25, 0.5)),
    "drift 60 to 80%, split 10 to 50%": Null(streams.drifting),
    "returning units, split 5, 10, 25, 50%": Null(returning(0.05, 0.1, 0.25, 0.5)),
    "0% and back: split 10, 0, 10, 50%": Null(returning(0.1, 0.0, 0.1, 0.5)),
    "feedback delayed, the candidate's more": Null(streams.matured),
    "fallback on hard inputs": Null(streams.fallback),
}


def type_one(scenario: str, runs: int, length: int) -> list[Row]:
    """False alarms of every method in one null world.

    Args:
        scenario: a key of `NULLS`.
        runs: rollouts to simulate.
        length: outcomes of each.
    """
    null = NULLS[scenario]
    false = {**_equal(scenario, null, runs, length), **_on_the_edge(scenario, null, runs, length)}
    own = (HARM, BETTER, NO_WORSE, WORSE)
    return [
        share(TYPE_ONE, scenario, method, alarms, alpha=ALPHA if method in own else None)
        for method, alarms in false.items()
    ]


def _equal(scenario: str, null: Null, runs: int, length: int) -> dict[str, Array]:
    """Both arms alike: whoever sees harm or superiority is wrong."""
    harm = AssignmentTests(direction="harm", runs=runs, horizon=HORIZON)
    better = AssignmentTests(direction="superiority", runs=runs)
    dashboard = Dashboard(runs, length, ALPHA)
    seen = {HARM: Crossings(runs, 1 / ALPHA), BETTER: Crossings(runs, 1 / ALPHA)}
    for step in null.world(rng_of(f"{scenario}, alike"), runs, length, 0.0):
        harm.take(*step)
        better.take(*step)
        dashboard.take(step)
        seen[HARM].look(harm, 1)
        seen[BETTER].look(better, 1)
    return {name: found.happened for name, found in ({**seen, **dashboard.crossings}).items()}


def _on_the_edge(scenario: str, null: Null, runs: int, length: int) -> dict[str, Array]:
    """The candidate worse by just the margin."""
    tests = {
        NO_WORSE: MarginTests(margin=null.margin, runs=runs),
        WORSE: MarginTests(margin=null.margin, reverse=True, runs=runs, horizon=HORIZON),
    }
    seen = {name: Crossings(runs, 1 / ALPHA) for name in tests}
    for step in null.world(rng_of(f"{scenario}, edge"), runs, length, -null.margin):
        for name, test in tests.items():
            test.take(*step)
            seen[name].look(test, 1)
    return {name: found.happened for name, found in seen.items()}


def alternating(runs: int, length: int, block: int) -> list[Row]:
    """An effect that changes its sign: better "at some time" is true, and yet no reason to ship.

    PROMOTE needs more than that superiority was shown once: it must be shown now, once the split
    has soaked, and the restarted E of harm must be below 1.

    Args:
        runs: rollouts to simulate.
        length: outcomes of each.
        block: outcomes after which the effect changes its sign.
    """
    better = AssignmentTests(direction="superiority", runs=runs)
    harm = AssignmentTests(direction="harm", runs=runs, horizon=HORIZON)
    fires, calm, ships = (Crossings(runs, 1 / ALPHA) for _ in range(3))
    for step in streams.alternating(rng_of(f"alternating, {block}"), runs, length, block):
        better.take(*step)
        harm.take(*step)
        now = reaches(better, -math.log(ALPHA))
        fires.mark(now, 1)
        now = now & ~reaches(harm, 0.0)
        calm.mark(now, 1)
        if step.minute[0] > SOAK:
            ships.mark(now, 1)
    name = f"+10 and −11 points in turns of {block / streams.PER_MINUTE:.0f} minutes"
    return [
        share(TYPE_ONE, name, method, found.happened, measure="acts at some time")
        for method, found in (
            (BETTER, fires),
            ("… and E of harm below 1", calm),
            (f"… and {SOAK} minutes at this split", ships),
        )
    ]
