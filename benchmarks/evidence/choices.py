"""What was chosen by simulation, beside what was not: docs/adr/0013 shows why."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.evidence import streams
from benchmarks.evidence.counting import Array, Crossings, Row, quantile, rng_of
from benchmarks.evidence.faults import JUMPS, jump
from greenlight.core.stats.evalues import THETA_WEIGHTS, THETAS
from greenlight.core.stats.many import AssignmentTests, EventTests
from greenlight.core.stats.restarts import PARTS, Parts

CHOICES = "choices"
SHAPES = (Parts(1e-9, 0.5, 0.5), Parts(0.5, 0.25, 0.25), PARTS)
"""The design's (nothing is staked before the first minute), the one behind its table, and ours."""
EVEN = (1 / len(THETAS),) * len(THETAS)


def stakes(runs: int) -> list[Row]:
    """Errors that jump from .1 to 5 %, by how the stake is paid in."""
    rows = []
    for when, (healthy, _, _) in JUMPS.items():
        scenario = f"0.1 to 5% errors, split 10%, {when}"
        for parts in SHAPES:
            seen = jump(scenario, runs, 0.1, healthy, 0.05, _paid_by(parts, runs))
            method = "at once {:.2f}, early {:.2f}, evenly {:.2f}".format(*parts)
            rows.append(quantile(CHOICES, scenario, method, seen.after, 0.5, measure="seconds"))
    return rows


def thetas(runs: int, length: int) -> list[Row]:
    """80 against 85 %, by how the six bets of the core test are weighted; outcomes per arm."""
    rows, scenario = [], "80 to 85%, split 50%"
    for name, weights in (("equal weights", EVEN), ("weights of ADR 0013", THETA_WEIGHTS)):
        times = _shown(_weighted(weights, runs), runs, length)
        rows += [
            quantile(CHOICES, scenario, name, times / 2, at, measure="outcomes per arm")
            for at in (0.5, 0.9)
        ]
    return rows


def _paid_by(shape: Parts, runs: int) -> EventTests:
    class Shaped(EventTests, kw_only=True):
        parts: ClassVar[Parts] = shape

    return Shaped(runs=runs)


def _weighted(of_bets: tuple[float, ...], runs: int) -> AssignmentTests:
    class Weighted(AssignmentTests, kw_only=True):
        weights: ClassVar[tuple[float, ...]] = of_bets

    return Weighted(direction="superiority", runs=runs)


def _shown(test: AssignmentTests, runs: int, length: int) -> Array:
    """After how many outcomes of both arms each run's test acts at E ≥ 20."""
    rng, found = rng_of("80 to 85%, split 50%"), Crossings(runs, 20)
    for number, step in enumerate(streams.steady(0.8, 0.5)(rng, runs, length, 0.05), 1):
        test.take(*step)
        found.look(test, number)
        if found.done > 0.95:
            break
    return found.at
