"""Outcomes of units that come once, one step of all runs at a time.

The world decides how often an answer is GOOD; the assignment decides, by a coin of known
probability, which arm a unit meets. In a null world both arms are equally good at every time;
`effect` is what the candidate adds to the probability of GOOD.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from benchmarks.evidence.counting import Array

PER_MINUTE = 60
"""Outcomes that arrive in a minute of the rollout."""


class Step(NamedTuple):
    """The next outcome of each run."""

    candidate: Array
    """Whether the unit was assigned to it, 1 or 0."""
    outcome: Array
    """1 GOOD, 0 BAD."""
    pi: Array
    """The probability, given the past, of that assignment."""
    minute: Array


Stream = Iterator[Step]
World = Callable[[np.random.Generator, int, int, float], Stream]
"""(rng, runs, length, effect) → the outcomes of `length` units."""


def units(
    rng: np.random.Generator,
    runs: int,
    length: int,
    effect: float,
    rate: Callable[[float], float],
    weight: Callable[[float], float],
) -> Stream:
    """Units that come once.

    Args:
        rng: the luck.
        runs: how many rollouts side by side.
        length: outcomes of each.
        effect: what the candidate adds to the probability of GOOD.
        rate: control's probability of GOOD when this share of the rollout has passed.
        weight: the candidate's share of units then.
    """
    for number in range(length):
        passed = number / length
        pi = weight(passed)
        candidate = (rng.random(runs) < pi).astype(float)
        good = rng.random(runs) < rate(passed) + effect * candidate
        minute = np.full(runs, 1 + number // PER_MINUTE)
        yield Step(candidate, good.astype(float), np.full(runs, pi), minute)


def steady(rate: float, weight: float) -> World:
    """Nothing ever changes."""
    return lambda rng, runs, length, effect: units(
        rng, runs, length, effect, lambda _: rate, lambda _: weight
    )


def climbing(*weights: float, rate: float = 0.8) -> World:
    """The split is widened in equal steps."""
    return lambda rng, runs, length, effect: units(
        rng, runs, length, effect, lambda _: rate, lambda passed: _step(weights, passed)
    )


def drifting(rng: np.random.Generator, runs: int, length: int, effect: float) -> Stream:
    """Both arms rise from 60 to 80 % GOOD while the split is widened from 10 to 50 %."""
    return units(
        rng,
        runs,
        length,
        effect,
        lambda passed: 0.6 + 0.2 * passed,
        lambda passed: _step((0.1, 0.5), passed),
    )


def _step(weights: tuple[float, ...], passed: float) -> float:
    return weights[int(passed * len(weights))]


class Served(NamedTuple):
    """A step, and which version answered in the end."""

    step: Step
    by_candidate: Array


def falling_back(
    rng: np.random.Generator, runs: int, length: int, effect: float
) -> Iterator[Served]:
    """The candidate fails on half of the hard inputs, and control answers them in its stead.

    Hard inputs (30 %) are answered GOOD 40 % of the time, easy ones 95 %, whoever answers.
    """
    for step in units(rng, runs, length, 0.0, lambda _: 0.0, lambda _: 0.5):
        hard = rng.random(runs) < 0.3
        good = rng.random(runs) < np.where(hard, 0.4, 0.95) + effect * step.candidate
        failed = hard & (rng.random(runs) < 0.5)
        yield Served(step._replace(outcome=good.astype(float)), step.candidate * ~failed)


def fallback(rng: np.random.Generator, runs: int, length: int, effect: float) -> Stream:
    """The same by intention to treat: the arm is the one assigned."""
    return (served.step for served in falling_back(rng, runs, length, effect))


def alternating(rng: np.random.Generator, runs: int, length: int, block: int = 500) -> Stream:
    """The candidate is 10 points better, then 11 points worse, in turns of `block` outcomes."""
    steps = units(rng, runs, length, 0.0, lambda _: 0.0, lambda _: 0.5)
    for number, step in enumerate(steps):
        effect = 0.1 if number // block % 2 == 0 else -0.11
        good = rng.random(runs) < 0.8 + effect * step.candidate
        yield step._replace(outcome=good.astype(float))


WINDOW = 3600.0
"""Seconds within which feedback counts, in worlds where it is delayed."""


class Delayed(NamedTuple):
    """Units in order of exposure, and when their feedback came; arrays of (runs, units)."""

    candidate: Array
    good: Array
    pi: Array
    exposed: Array
    """Seconds."""
    arrives: Array
    """Seconds."""


def delayed(
    rng: np.random.Generator, runs: int, length: int, effect: float, slower: float
) -> Delayed:
    """A BAD comes after 10 s on average, a GOOD after 5 minutes; the candidate's `slower` times.

    Within two windows the split goes from 10 to 50 %. Nothing comes after the window is over.
    """
    exposed = np.sort(rng.random((runs, length)) * 2 * WINDOW, axis=1)
    pi = np.where(exposed < WINDOW, 0.1, 0.5)
    candidate = rng.random((runs, length)) < pi
    good = rng.random((runs, length)) < 0.8 + effect * candidate
    delay = rng.exponential(np.where(good, 300.0, 10.0)) * np.where(candidate, slower, 1.0)
    arrives = exposed + np.minimum(delay, WINDOW)
    return Delayed(candidate.astype(float), good.astype(float), pi, exposed, arrives)


def columns(world: Delayed, order: Array, seconds: Array) -> Stream:
    """The outcomes in some order of inclusion; `seconds`: when each is included."""
    candidate, good, pi, at = (
        np.take_along_axis(values, order, axis=1)
        for values in (world.candidate, world.good, world.pi, seconds)
    )
    for j in range(order.shape[1]):
        yield Step(candidate[:, j], good[:, j], pi[:, j], 1 + at[:, j] // 60)


def matured(rng: np.random.Generator, runs: int, length: int, effect: float) -> Stream:
    """Feedback of the candidate takes twice as long; units are included at t₀ + W, as exposed."""
    world = delayed(rng, runs, length, effect, slower=2.0)
    order = np.argsort(world.exposed, axis=1)
    return columns(world, order, world.exposed + WINDOW)
