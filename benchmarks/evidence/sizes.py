"""How many outcomes each test takes where something is wrong, or better, or just the same."""

from __future__ import annotations

import math

from benchmarks.evidence import streams
from benchmarks.evidence.comparators import ASYMPTOTIC, Dashboard, z_size
from benchmarks.evidence.counting import Array, Crossings, Row, quantile, rng_of, share
from greenlight.core.stats.evalues import HORIZON, Direction
from greenlight.core.stats.many import AssignmentTests, MarginTests

SIZES = "sample size"
ALPHA = 0.05
STRICT = 0.001
"""α of one of several tests that can roll back."""


def superiority(runs: int, length: int) -> list[Row]:
    """80 against 85 % at an even split, per arm."""
    scenario, measure = "80 to 85%, split 50%", "outcomes per arm"
    times, dashboard = _times(scenario, 0.8, 0.05, 0.5, "superiority", ALPHA, runs, length)
    fixed = z_size(0.8, 0.85, ALPHA, 0.8, 0.5) / 2
    other = dashboard.crossings[ASYMPTOTIC].at
    return [
        *(
            quantile(SIZES, scenario, "core test", times / 2, at, goal=goal, measure=measure)
            for at, goal in ((0.5, 660), (0.8, 1320), (0.9, 1700))
        ),
        *(
            quantile(SIZES, scenario, ASYMPTOTIC, other / 2, at, measure=measure)
            for at in (0.5, 0.8, 0.9)
        ),
        Row(
            group=SIZES,
            scenario=scenario,
            method="z test, one look at the end",
            measure=f"{measure} at a power of 80%",
            value=fixed,
            runs=0,
        ),
    ]


def harm(runs: int, length: int) -> list[Row]:
    """85 against 80 % at a canary of 10 %, in all."""
    scenario, rows = "85 to 80%, split 10%", []
    goals = {ALPHA: ((0.5, 3900.0), (0.9, None)), STRICT: ((0.5, 9500.0), (0.9, 17000.0))}
    for alpha, wanted in goals.items():
        times, _ = _times(scenario, 0.85, -0.05, 0.1, "harm", alpha, runs, length)
        method = f"core test, E ≥ {1 / alpha:,.0f}"
        rows += [
            quantile(SIZES, scenario, method, times, at, goal=goal, measure="outcomes")
            for at, goal in wanted
        ]
    return rows


def _times(
    scenario: str,
    rate: float,
    effect: float,
    weight: float,
    direction: Direction,
    alpha: float,
    runs: int,
    length: int,
) -> tuple[Array, Dashboard]:
    """When each run's core test crossed, in outcomes of both arms; and what a dashboard said."""
    horizon = HORIZON if direction == "harm" else None
    test = AssignmentTests(direction=direction, runs=runs, horizon=horizon)
    found, dashboard = Crossings(runs, 1 / alpha), Dashboard(runs, length, alpha)
    steps = streams.steady(rate, weight)(rng_of(scenario), runs, length, effect)
    for number, step in enumerate(steps, start=1):
        test.take(*step)
        found.look(test, number)
        if direction == "superiority":
            dashboard.take(step)
        if found.done > 0.95:
            break
    return found.at, dashboard


def margins(runs: int, length: int, margin: float) -> list[Row]:
    """Equal arms at a canary of 10 %: when is "no worse by more than the margin" shown?"""
    scenario = f"80% in both arms, split 10%, margin {margin * 100:.0f} points"
    test = MarginTests(margin=margin, runs=runs)
    found = Crossings(runs, 1 / ALPHA)
    steps = streams.steady(0.8, 0.1)(rng_of(scenario), runs, length, 0.0)
    for number, step in enumerate(steps, start=1):
        test.take(*step)
        found.look(test, number)
        if found.done > 0.95:
            break
    return [
        quantile(SIZES, scenario, "margin test", found.at, at, measure="outcomes")
        for at in (0.5, 0.9)
    ]


EFFECTS = (0.02, 0.03, 0.05, 0.08, 0.12)


def curve(runs: int, effect: float) -> list[Row]:
    """Outcomes per arm for an improvement of 80 % by `effect`, at an even split."""
    scenario, measure = f"80% + {effect * 100:.0f} points, split 50%", "outcomes per arm"
    fixed = z_size(0.8, 0.8 + effect, ALPHA, 0.8, 0.5) / 2
    times, _ = _times(scenario, 0.8, effect, 0.5, "superiority", ALPHA, runs, math.ceil(8 * fixed))
    found = [
        quantile("curve", scenario, "core test", times / 2, at, measure=measure)
        for at in (0.5, 0.8, 0.9)
    ]
    return [
        *found,
        Row(
            group="curve",
            scenario=scenario,
            method="z test, one look at the end",
            measure=f"{measure} at a power of 80%",
            value=fixed,
            runs=0,
        ),
        share("curve", scenario, "core test", times < math.inf, measure="seen at all"),
    ]
