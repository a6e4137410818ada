"""Traps of rare events: what is an event, and who could have met it?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmarks.evidence.counting import Array, Crossings, rng_of
from benchmarks.evidence.faults import HALF_AN_HOUR, HEALTHY, HOUR, PER_SECOND, THRESHOLD
from benchmarks.evidence.first_events import (
    Events,
    difficult_users,
    first_events,
    in_order,
    side_by_side,
)
from benchmarks.evidence.traps.trap import Trap, trap
from greenlight.core.breaker import CircuitBreaker
from greenlight.core.records import SECOND
from greenlight.core.stats.many import EventTests

ALPHA = 1 / THRESHOLD


def fires(worlds: list[Events]) -> Array:
    """Whether the event test of each run ever acts."""
    test, found = EventTests(runs=len(worlds)), Crossings(len(worlds), THRESHOLD)
    for candidate, share, minute, _ in side_by_side(worlds):
        test.take(candidate, share, minute)
        found.look(test, 1)
    return found.happened


def difficult(runs: int, count: int = 1_000) -> Trap:
    """A few users make most requests, a few meet most errors; they are in one arm or the other."""
    rng = rng_of("trap: difficult users")
    requests, firsts = [], []
    for _ in range(runs):
        pace, error = difficult_users(rng, count)
        candidate = rng.random(count) < 0.1
        met = np.repeat(candidate, rng.poisson(pace * error * HOUR))
        at = np.sort(rng.random(len(met)) * HOUR)
        requests.append(Events(rng.permutation(met).astype(float), np.full(len(met), 0.1), at))
        firsts.append(in_order(*first_events(rng, pace, error), candidate, 0.1, HOUR))
    return trap(
        "users who make many requests, users who meet many errors",
        "every failed request is an event",
        "a unit's first event counts, among units that have met none",
        fires(requests),
        fires(firsts),
        ALPHA,
    )


def outage(runs: int) -> Trap:
    """Both arms fail at every other request for ten seconds, soon after the split was widened."""
    rng = rng_of("trap: outage")
    pooled, own = [], []
    for _ in range(runs):
        narrow = rng.poisson(PER_SECOND * HALF_AN_HOUR * np.array([0.9, 0.1]))
        wide = rng.poisson(PER_SECOND * 60 * np.array([0.5, 0.5]))
        seen = narrow + wide
        failed = int(rng.poisson(PER_SECOND * 10 / 2))
        candidate = (rng.random(failed) < 0.5).astype(float)
        at = HALF_AN_HOUR + 60 + np.sort(rng.random(failed)) * 10
        pooled.append(Events(candidate, np.full(failed, seen[1] / seen.sum()), at))
        own.append(Events(candidate, np.full(failed, 0.5), at))
    return trap(
        "an outage of both arms after the split was widened",
        "the candidate's share is that of all traffic so far",
        "it is that of the units which could meet an event just then",
        fires(pooled),
        fires(own),
        ALPHA,
    )


def first_seconds(runs: int) -> Trap:
    """Both arms begin to fail at everything within five seconds of an epoch's start."""
    rng = rng_of("trap: first seconds")
    counted, known = [], []
    for _ in range(runs):
        healthy = rng.poisson(PER_SECOND * rng.random() * 5 * np.array([0.9, 0.1]))
        candidate = (rng.random(500) < 0.1).astype(float)
        at = 5 + np.arange(500) / PER_SECOND
        share = (healthy[1] + candidate) / (healthy.sum() + 1)
        counted.append(Events(candidate, share, at))
        known.append(Events(candidate, np.full(500, 0.1), at))
    return trap(
        "an outage of both arms in an epoch's first seconds",
        "a unit that fails at its first request is one of the few at risk",
        "of such a unit nothing but its coin was left to chance: the share is π",
        fires(counted),
        fires(known),
        ALPHA,
    )


BREAKER_RULE = "only attempted calls are events, and only while neither breaker is open"


def refusals(runs: int) -> Trap:
    """Both arms are down for 29 to 32 s. Each breaker closes when its own probe gets through: one
    arm may be refused half a minute longer than the other."""
    rng = rng_of("trap: refusals")
    found = [_failures(rng, [(60.0, 89 + 3 * rng.random())]) for _ in range(runs)]
    return trap(
        "an outage of both arms, then one breaker stays open",
        "what an open breaker refuses is an event",
        BREAKER_RULE,
        fires([failures.events for failures in found]),
        fires([failures.only(failures.attempted & failures.closed) for failures in found]),
        ALPHA,
    )


def attempts(runs: int) -> Trap:
    """Both arms fail for two seconds, once a minute. Control has more traffic, so that its breaker
    opens sooner and hides the rest of its failures."""
    rng = rng_of("trap: attempts")
    blips = [(60.0 * minute + 20, 60.0 * minute + 22) for minute in range(4)]
    found = [_failures(rng, blips) for _ in range(runs)]
    return trap(
        "both arms fail now and then, control's breaker opens first",
        "every attempted call that fails is an event",
        BREAKER_RULE,
        fires([failures.only(failures.attempted) for failures in found]),
        fires([failures.only(failures.attempted & failures.closed) for failures in found]),
        ALPHA,
    )


class _Failures(NamedTuple):
    """What failed in one run."""

    events: Events
    attempted: Array
    """Whether the call was made; else an open breaker refused it."""
    closed: Array
    """Whether both breakers were closed until then."""

    def only(self, kept: Array) -> Events:
        return Events(*(values[kept] for values in self.events))


def _failures(
    rng: np.random.Generator, outages: list[tuple[float, float]], minutes: int = 4
) -> _Failures:
    """Some minutes at a split of 10 %, each arm behind a breaker of its own."""
    count = int(rng.poisson(PER_SECOND * 60 * minutes))
    times = np.sort(rng.random(count)) * 60 * minutes
    arms, luck = rng.random(count) < 0.1, rng.random(count)
    breakers = (CircuitBreaker(5, 30 * SECOND), CircuitBreaker(5, 30 * SECOND))
    rows = []
    for arm, at, drawn in zip(arms.tolist(), times.tolist(), luck.tolist(), strict=True):
        now, own = int(at * SECOND), breakers[arm]
        closed = all(one.open_since is None for one in breakers)
        ticket = own.admit(now)
        fails = drawn < HEALTHY or any(begin <= at < end for begin, end in outages)
        if ticket is not None and not fails:
            own.succeeded(ticket, now)
            continue
        if ticket is not None:
            own.failed(ticket, now)
        rows.append((float(arm), at, ticket is not None, closed))
    candidate, at, attempted, open_none = (np.array(column) for column in zip(*rows, strict=True))
    return _Failures(Events(candidate, np.full(len(at), 0.1), at), attempted, open_none)
