"""Traps of assignment: whom is compared with whom, and by which chance did they meet?"""

from __future__ import annotations

import math

import numpy as np

from benchmarks.evidence import streams
from benchmarks.evidence.comparators import Dashboard
from benchmarks.evidence.counting import Array, Crossings, reaches, rng_of
from benchmarks.evidence.null import ALPHA, SOAK
from benchmarks.evidence.recurring import returning
from benchmarks.evidence.streams import Stream
from benchmarks.evidence.traps.trap import Trap, trap
from greenlight.core.stats.evalues import HORIZON, Direction
from greenlight.core.stats.many import AssignmentTests


def drift(runs: int, length: int = 10_000) -> Trap:
    """The base rate rises while the split is widened: most candidate outcomes are of good days."""
    test, found = AssignmentTests(direction="superiority", runs=runs), Crossings(runs, 1 / ALPHA)
    dashboard = Dashboard(runs, length, ALPHA)
    for step in streams.drifting(rng_of("trap: drift"), runs, length, 0.0):
        test.take(*step)
        found.look(test, 1)
        dashboard.take(step)
    return trap(
        "drift while the split is widened",
        "pool the outcomes of each arm, one z test at the end",
        "each outcome is weighed by the chance of its own assignment",
        np.abs(dashboard.z()) > dashboard.limit,
        found.happened,
        ALPHA,
    )


def _core(steps: Stream, runs: int, direction: Direction) -> Array:
    """Whether each run's core test ever fired."""
    horizon = HORIZON if direction == "harm" else None
    test = AssignmentTests(direction=direction, runs=runs, horizon=horizon)
    found = Crossings(runs, 1 / ALPHA)
    for step in steps:
        test.take(*step)
        found.look(test, 1)
    return found.happened


def _intervals(name: str, runs: int, length: int, weights: tuple[float, ...]) -> list[Array]:
    """Who fires with π = w for everybody, and with the interval rule, on the same units."""
    return [
        _core(
            returning(*weights, at_weight=wrong, carry=0.0, same=0.9)(
                rng_of(name), runs, length, 0.0
            ),
            runs,
            "harm",
        )
        for wrong in (True, False)
    ]


def known_units(runs: int, length: int = 4_000) -> Trap:
    """Who was a candidate stays one: at a wider split its arm is no coin any more."""
    before, after = _intervals("trap: known", runs, length, (0.05, 0.1, 0.2, 0.3, 0.4, 0.5))
    return trap(
        "units that come again, split 5 to 50% in six steps",
        "π is the split, for everybody",
        "π is what is left of the unit's interval below the split",
        before,
        after,
        ALPHA,
    )


def zero_and_back(runs: int, length: int = 4_000) -> Trap:
    """At 0 % and back nobody changes sides, so that the same people are asked again and again."""
    before, after = _intervals("trap: zero", runs, length, (0.3, 0.0, 0.3, 0.0, 0.3, 0.0, 0.3))
    return trap(
        "0% and back, three times",
        "π is the split, for everybody",
        "π is what is left of the unit's interval below the split",
        before,
        after,
        ALPHA,
    )


def fallback(runs: int, length: int = 2_000) -> Trap:
    """Control answers what the candidate cannot, and gets the hard ones for it."""
    rng = rng_of("trap: fallback")
    served = list(streams.falling_back(rng, runs, length, 0.0))
    credited = (one.step._replace(candidate=one.by_candidate) for one in served)
    before = _core(credited, runs, "superiority")
    after = _core((one.step for one in served), runs, "superiority")
    return trap(
        "fallback on hard inputs",
        "credit an outcome to the version that answered",
        "intention to treat: to the arm that was assigned",
        before,
        after,
        ALPHA,
    )


def alternating(runs: int, block: int = 500, length: int = 6_000) -> Trap:
    """Better and worse in turns, 8 minutes each: better at some time, and no reason to ship."""
    better = AssignmentTests(direction="superiority", runs=runs)
    harm = AssignmentTests(direction="harm", runs=runs, horizon=HORIZON)
    fires, ships = Crossings(runs, 1 / ALPHA), Crossings(runs, 1 / ALPHA)
    for step in streams.alternating(rng_of(f"alternating, {block}"), runs, length, block):
        better.take(*step)
        harm.take(*step)
        fires.look(better, 1)
        if step.minute[0] > SOAK:
            ships.mark(reaches(better, -math.log(ALPHA)) & ~reaches(harm, 0.0), 1)
    return trap(
        f"+10 and −11 points in turns of {block // streams.PER_MINUTE} minutes",
        "promote as soon as superiority was shown",
        f"it must be shown now, after {SOAK} minutes, and E of harm be below 1",
        fires.happened,
        ships.happened,
        ALPHA,
    )


def long_break(runs: int, length: int = 4_000) -> Trap:
    """Traffic stops for a night and returns with other questions, 3 points harder for both arms."""
    rng, half = rng_of("trap: break"), length // 2
    evening = streams.steady(0.80, 0.5)(rng, runs, half, 0.0)
    morning = streams.steady(0.77, 0.5)(rng, runs, half, 0.0)
    test = AssignmentTests(direction="harm", runs=runs, horizon=HORIZON)
    found = Crossings(runs, 1 / ALPHA)
    evening_control, morning_candidate = np.zeros((2, runs)), np.zeros((2, runs))
    for step in evening:
        test.take(*step)
        found.look(test, 1)
        evening_control += (1 - step.candidate) * np.stack([step.outcome, np.ones(runs)])
    for step in morning:
        test.take(*step._replace(minute=step.minute + NIGHT))
        found.look(test, 1)
        morning_candidate += step.candidate * np.stack([step.outcome, np.ones(runs)])
    return trap(
        "traffic stops for a night and returns harder",
        "hold the candidate's morning against control's evening, one z test",
        "only arms of the same time are compared, in one test that spans the break",
        _fell(evening_control, morning_candidate),
        found.happened,
        ALPHA,
    )


NIGHT = 8 * 60
"""Minutes."""


def _fell(earlier: Array, later: Array) -> Array:
    """Whether a one-sided z test at α calls the later rate lower; arguments are (good, all)."""
    rate = (earlier[0] + later[0]) / (earlier[1] + later[1])
    error = np.sqrt(rate * (1 - rate) * (1 / earlier[1] + 1 / later[1]))
    below: Array = (later[0] / later[1] - earlier[0] / earlier[1]) / error < -1.645
    return below
