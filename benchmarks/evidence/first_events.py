"""First events of units that come again: slow answers, and healthy days of difficult users.

A unit's requests are a Poisson process of its own pace, each of them an event with a probability
that is the unit's, the arm's and the moment's. Only the first request and the first event of each
unit matter, so that only these are drawn, and a day costs no more than its units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from benchmarks.evidence.counting import Array, Crossings, Row, quantile, rng_of, share
from benchmarks.evidence.faults import HALF_AN_HOUR, HOUR, PER_SECOND, THRESHOLD
from greenlight.core.policy import EvidencePolicy
from greenlight.core.stats.evalues import HORIZON
from greenlight.core.stats.many import EventTests


class Events(NamedTuple):
    """First events of one run in order of time."""

    candidate: Array
    share: Array
    """The probability that it would be a candidate's, were both arms alike."""
    at: Array
    """Seconds."""


def first_events(
    rng: np.random.Generator,
    pace: Array,
    before: Array,
    after: Array | None = None,
    onset: float = np.inf,
) -> tuple[Array, Array]:
    """When each unit first comes, and when it first meets an event; in seconds.

    Args:
        rng: the luck.
        pace: requests per second of each unit.
        before: the probability of an event at each request of each unit until `onset`.
        after: the same from then on.
        onset: when it changes.
    """
    after = before if after is None else after
    comes = rng.exponential(1 / pace)
    at_once = rng.random(len(pace)) < np.where(comes < onset, before, after)
    meets = comes + rng.exponential(1 / (pace * before))
    changed = np.maximum(comes, onset)
    meets = np.where(meets > onset, changed + rng.exponential(1 / (pace * after)), meets)
    return comes, np.where(at_once, comes, meets)


def in_order(comes: Array, meets: Array, candidate: Array, pi: float, end: float) -> Events:
    """The events of one stratum before `end`, each with the candidate's share just before.

    That is π if the unit meets its event at its first request, for then nothing but its coin was
    left to chance; otherwise it is the candidate's share of those that came through their first
    request and have met none since.
    """
    order = np.argsort(meets)
    order = order[meets[order] < end]
    at, own, first = meets[order], candidate[order], (meets == comes)[order]
    passed = comes < meets
    risk = []
    for arm in (False, True):
        seen = np.searchsorted(np.sort(comes[passed & (candidate == arm)]), at, side="right")
        gone = np.cumsum(~first & (own == arm)) - (~first & (own == arm))
        risk.append(seen - gone)
    known = np.where(first, 1, risk[0] + risk[1])
    return Events(own.astype(float), np.where(first, pi, risk[1] / known), at)


def merged(strata: Sequence[Events]) -> Events:
    """The events of several strata in order of time."""
    whole = Events(*(np.concatenate(parts) for parts in zip(*strata, strict=True)))
    order = np.argsort(whole.at, kind="stable")
    return Events(*(values[order] for values in whole))


def side_by_side(runs: Sequence[Events]) -> Iterator[tuple[Array, Array, Array, Array]]:
    """Event by event of all runs: candidate, share, minute, seconds. Runs that have no more have a
    share of 0, which says nothing."""
    longest = max(len(run.at) for run in runs)
    table = np.zeros((3, longest, len(runs)))
    table[0] = 1.0
    for number, run in enumerate(runs):
        count = len(run.at)
        table[:, :count, number] = run
        table[2, count:, number] = run.at[-1] if count else 0.0
    for candidate, part, at in zip(*table, strict=True):
        yield candidate, part, 1 + at // 60, at


P95 = NormalDist().inv_cdf(0.95)
SPREAD = 0.5
"""Standard deviation of the logarithm of response times; their median does not matter."""
SLOW = 0.05
"""Share of control's answers above its own p95."""


def slower(factor: float) -> float:
    """Share of answers above control's p95 once all take `factor` times as long."""
    return 1 - NormalDist().cdf(P95 - float(np.log(factor)) / SPREAD)


SHIPPED = EvidencePolicy().latency_tolerance
ONSETS = {"at the start": 0.0, "after 5 minutes": 300.0, "after 30 minutes": HALF_AN_HOUR}
LATENCY: dict[tuple[int, str], float | None] = {
    (5000, "at the start"): 17.0,
    (5000, "after 5 minutes"): 35.0,
    (5000, "after 30 minutes"): None,
    (500, "at the start"): None,
    (500, "after 5 minutes"): None,
    (500, "after 30 minutes"): None,
}
"""Units and when → the goal of the median, in seconds."""


def latency(runs: int, count: int, when: str, tolerance: float = 1.0) -> list[Row]:
    """All of the candidate's answers take 1.5 times as long; 50 requests a second, split 10 %.

    Args:
        runs: rollouts to simulate.
        count: units that these requests come from.
        when: a key of `LATENCY`, with `count`.
        tolerance: the ratio of odds that counts as no worse.
    """
    onset = ONSETS[when]
    scenario = f"latency × 1.5, {count:,} units, {when}"
    rng, end = rng_of(scenario), onset + HALF_AN_HOUR
    found, before = Crossings(runs, THRESHOLD), Crossings(runs, THRESHOLD)
    test = EventTests(runs=runs, tolerance=tolerance)
    pace, usual = np.full(count, PER_SECOND / count), np.full(count, SLOW)
    seen = []
    for _ in range(runs):
        candidate = rng.random(count) < 0.1
        slow = np.where(candidate, slower(1.5), SLOW)
        comes, meets = first_events(rng, pace, usual, slow, onset)
        seen.append(in_order(comes, meets, candidate, 0.1, end))
    for own, part, minute, at in side_by_side(seen):
        test.take(own, part, minute)
        new = before.look(test, at)
        found.mark(new & (at >= onset), at - onset)
    kept = ~(before.at < onset)
    times = found.at[kept]
    method = "event test" if tolerance == 1 else f"event test, tolerance {tolerance:g}"
    goal = LATENCY[count, when] if tolerance == 1 else None
    return [
        quantile("latency", scenario, method, times, 0.5, goal=goal, measure="seconds"),
        quantile("latency", scenario, method, times, 0.9, measure="seconds"),
        share("latency", scenario, method, ~np.isfinite(times), measure="missed for 30 minutes"),
    ]


UNITS = 3000
WIDENED = 8 * HOUR
DAY = 24 * HOUR


def difficult_users(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Pace (requests per second) and error rate of users: a few are all the traffic, a few fail.

    Pace has a Pareto tail of index 1.3, up to one request a second; one user in twenty meets an
    error at every fifth request, the others at every thousandth.
    """
    pace = np.minimum((rng.pareto(1.3, count) + 1) / 600, 1.0)
    return pace, np.where(rng.random(count) < 0.05, 0.2, 0.001)


def healthy_day(rng: np.random.Generator) -> Events:
    """24 hours of a candidate that is no different: 8 at 10 %, then 16 at 50 %.

    In the second epoch there are two strata: units that are new to the rollout (π = .5), and units
    that were seen as control (π = .4/.9). Of units that were seen as candidates the arm is known.
    """
    pace, error = difficult_users(rng, UNITS)
    bucket = rng.random(UNITS)
    comes, meets = first_events(rng, pace, error)
    first = in_order(comes, meets, bucket < 0.1, 0.1, WIDENED)
    known, was_candidate = comes < WIDENED, bucket < 0.1
    comes, meets = first_events(rng, pace, error)
    strata = [first]
    for members, pi in ((~known, 0.5), (known & ~was_candidate, 0.4 / 0.9)):
        later = in_order(comes[members], meets[members], (bucket < 0.5)[members], pi, DAY - WIDENED)
        strata.append(later._replace(at=later.at + WIDENED))
    return merged(strata)


def day(runs: int) -> list[Row]:
    """Null traffic of sticky, heavy-tailed, error-prone units over 24 hours."""
    scenario = "24 hours of users who differ, split 10%, then 50%"
    rng = rng_of(scenario)
    test = EventTests(runs=runs, horizon=HORIZON)
    found = {alpha: Crossings(runs, 1 / alpha) for alpha in (0.05, 0.001)}
    for own, part, minute, _ in side_by_side([healthy_day(rng) for _ in range(runs)]):
        test.take(own, part, minute)
        for crossings in found.values():
            crossings.look(test, 0)
    return [
        share(
            "null day",
            scenario,
            f"event test, α {alpha:g}",
            crossings.happened,
            alpha=alpha,
        )
        for alpha, crossings in found.items()
    ]
