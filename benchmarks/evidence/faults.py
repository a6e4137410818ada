"""How soon errors are seen: the test of first events, and declared alarms beside it.

Every request is a unit of its own here, 50 of them a second. Between two failures only counts
change, so the world jumps from failure to failure and weeks cost no more than their failures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from benchmarks.evidence.counting import Array, Crossings, Row, quantile, rng_of, share
from greenlight.core.alarms import AlarmRule, Watch, judge
from greenlight.core.policy import EvidencePolicy
from greenlight.core.records import MINUTE
from greenlight.core.stats.many import EventTests

FAULTS = "errors"
PER_SECOND = 50.0
HEALTHY = 0.001
"""Share of requests that fail in either arm while nothing is wrong."""
THRESHOLD = 1000.0
"""α = .001."""
MIN_EXCESS = EvidencePolicy().min_error_excess
GIVE_UP = 1800.0
"""Seconds after which a fault that is not seen counts as missed."""

HALF_AN_HOUR, HOUR, DAY = 1800.0, 3600.0, 86400.0


class Failure(NamedTuple):
    """The next failure of each run."""

    candidate: Array
    share: Array
    """The candidate's share of what could have failed; 0 in runs that have no failure."""
    minute: Array


class Requests:
    """Traffic of both arms, one unit per request. Arrays have an entry per run.

    Every unit that fails does so at its first request, so that the chance that it is a candidate
    was the weight (see `traps.events.first_seconds`).
    """

    def __init__(self, rng: np.random.Generator, runs: int, weight: float) -> None:
        self._rng, self._weight = rng, weight
        self._per_second = PER_SECOND * np.array([1 - weight, weight])
        self.now = np.zeros(runs)
        """Seconds since the rollout's start."""
        self.healthy = np.zeros((2, runs))
        """Units so far that did not fail, of control and of the candidate."""
        self.failed = np.zeros((2, runs))

    def until(self, end: float, rates: tuple[float, float]) -> Iterator[Failure]:
        """Failures before `end`, at these error rates of control and of the candidate."""
        fails = self._per_second * rates
        succeeds = self._per_second - fails
        while np.any(self.now < end):
            wait = self._rng.exponential(1 / fails.sum(), len(self.now))
            met = self.now + wait < end
            now = np.where(met, self.now + wait, np.maximum(self.now, end))
            passed = now - self.now
            self.healthy += self._rng.poisson(succeeds[:, None] * passed)
            self.now = now
            candidate = (self._rng.random(len(now)) < fails[1] / fails.sum()).astype(float)
            yield Failure(
                np.where(met, candidate, 1.0), np.where(met, self._weight, 0.0), 1 + now // 60
            )
            self.failed += met * np.array([1 - candidate, candidate])

    @property
    def excess(self) -> Array:
        """By how much more of the candidate's units than of control's have failed so far."""
        shares = self.failed / np.maximum(self.failed + self.healthy, 1)
        excess: Array = shares[1] - shares[0]
        return excess


class Jump(NamedTuple):
    """What came of a fault, by run."""

    after: Array
    """Seconds from its onset until the test acted."""
    requests: Array
    """The candidate's requests from its onset until then."""
    excess: Array
    """The excess over the whole epoch at that moment."""
    worth: Array
    """Seconds until that excess, too, was worth a rollback."""
    early: Array
    """Whether the test had acted before: a false alarm."""


def jump(
    name: str,
    runs: int,
    weight: float,
    healthy: float,
    faulty: float,
    test: EventTests | None = None,
) -> Jump:
    """Let the candidate's error rate jump after some healthy time.

    Args:
        name: of the scenario, for its luck.
        runs: rollouts to simulate.
        weight: the candidate's share of units.
        healthy: seconds before the fault.
        faulty: the candidate's error rate from then on.
        test: another test than the one in force.
    """
    world = Requests(rng_of(name), runs, weight)
    test = test or EventTests(runs=runs)
    found, before, worth = (Crossings(runs, THRESHOLD) for _ in range(3))
    for failure in world.until(healthy, (HEALTHY, HEALTHY)):
        test.take(*failure)
        before.look(test, 0)
    requests, excess = np.zeros(runs), np.zeros(runs)
    met = world.healthy[1] + world.failed[1]
    for failure in world.until(healthy + GIVE_UP, (HEALTHY, faulty)):
        test.take(*failure)
        new = found.look(test, world.now - healthy)
        seen = world.healthy[1] + world.failed[1] - met + failure.candidate
        requests = np.where(new, seen, requests)
        now = world.excess
        excess = np.where(new, now, excess)
        worth.mark(found.happened & (now >= MIN_EXCESS), world.now - healthy)
        if worth.done == 1:
            break
    late = ~before.happened
    return Jump(found.at[late], requests[late], excess[late], worth.at[late], ~late)


JUMPS: dict[str, tuple[float, float | None, float | None]] = {
    "at the start": (0.0, 17.0, 34.0),
    "after 30 minutes": (HALF_AN_HOUR, 35.0, None),
    "after 24 hours": (DAY, 40.0, None),
    "after 7 days": (7 * DAY, 45.0, None),
}
"""Name → healthy seconds, goals of the median and of the 90 % point in seconds."""


def error_jump(runs: int, when: str) -> list[Row]:
    """Errors of the candidate jump from .1 to 5 % at a canary of 10 %."""
    healthy, median, q90 = JUMPS[when]
    scenario = f"0.1 to 5% errors, split 10%, {when}"
    seen = jump(scenario, runs, 0.1, healthy, 0.05)
    test = "event test"
    rows = [
        quantile(FAULTS, scenario, test, seen.after, 0.5, goal=median, measure="seconds"),
        quantile(FAULTS, scenario, test, seen.after, 0.9, goal=q90, measure="seconds"),
        quantile(FAULTS, scenario, test, seen.excess, 0.5, measure="excess in the epoch then"),
        quantile(
            FAULTS,
            scenario,
            f"{test}, excess ≥ {MIN_EXCESS:.1%} of the epoch's units",
            seen.worth,
            0.5,
            measure="seconds",
        ),
    ]
    if healthy:
        early = share(
            FAULTS, scenario, test, seen.early, alpha=1 / THRESHOLD, measure="acts before the fault"
        )
        rows.append(early)
    return rows


DEAD = {0.1: 4.0, 0.25: 7.0, 0.5: 13.0}
"""Split → the goal, in requests of the candidate."""


def dead(runs: int, weight: float) -> list[Row]:
    """Every request of the candidate fails, from the first one on and after half an hour."""
    rows = []
    for healthy, when in ((0.0, "at the start"), (HALF_AN_HOUR, "after 30 minutes")):
        scenario = f"100% errors, split {weight:.0%}, {when}"
        seen = jump(scenario, runs, weight, healthy, 1.0)
        goal = None if healthy else DEAD[weight]
        rows.append(
            quantile(
                FAULTS,
                scenario,
                "event test",
                seen.requests,
                0.5,
                goal=goal,
                measure="requests of the candidate",
            )
        )
    return rows


DURATIONS = (1, 3, 5)
OVER = 0.005
"""The bar of O2 for server errors."""


def alarm_name(minutes: int) -> str:
    """How an alarm of this many minutes is called in the results."""
    return f"alarm, {minutes} min over {OVER:.1%}"


def alarms(runs: int) -> list[Row]:
    """Threshold alarms on the same traffic: how late they are, what they miss, how they err."""
    rows = []
    for faulty in (0.05, 0.01):
        scenario = f"0.1 to {faulty:.0%} errors, split 10%, after 30 minutes"
        times = _alarm_times(scenario, runs, 30, faulty)
        for minutes, found in times.items():
            name = alarm_name(minutes)
            rows += [
                quantile(FAULTS, scenario, name, found, 0.5, measure="seconds"),
                quantile(FAULTS, scenario, name, found, 0.9, measure="seconds"),
                share(FAULTS, scenario, name, ~np.isfinite(found), measure="missed for 30 minutes"),
            ]
    for rate in (0.001, 0.002, 0.004):
        scenario = f"{rate:.1%} errors in both arms, split 10%, an hour"
        for minutes, found in _alarm_times(scenario, runs, 60, rate, rate).items():
            rows.append(share(FAULTS, scenario, alarm_name(minutes), np.isfinite(found)))
        world, test = Requests(rng_of(scenario), runs, 0.1), EventTests(runs=runs)
        acted = Crossings(runs, THRESHOLD)
        for failure in world.until(HOUR, (rate, rate)):
            test.take(*failure)
            acted.look(test, 0)
        rows.append(share(FAULTS, scenario, "event test", acted.happened, alpha=1 / THRESHOLD))
    return rows


def small_jump(runs: int) -> list[Row]:
    """Errors of the candidate rise from .1 to 1 %, which alarms mostly miss."""
    scenario = "0.1 to 1% errors, split 10%, after 30 minutes"
    seen = jump(scenario, runs, 0.1, HALF_AN_HOUR, 0.01)
    return [
        *(
            quantile(FAULTS, scenario, "event test", seen.after, at, measure="seconds")
            for at in (0.5, 0.9)
        ),
        share(
            FAULTS,
            scenario,
            "event test",
            ~np.isfinite(seen.after),
            measure="missed for 30 minutes",
        ),
    ]


def _alarm_times(
    name: str, runs: int, length: int, faulty: float, healthy: float = HEALTHY
) -> dict[int, Array]:
    """Seconds from the onset of a fault until an alarm rolls back, by its duration in minutes.

    The fault begins anywhere within a minute, after some healthy ones.
    """
    rng = rng_of(f"{name}, alarms")
    found = {minutes: np.full(runs, np.inf) for minutes in DURATIONS}
    before = max(DURATIONS)
    for run in range(runs):
        onset = before + rng.random()
        counts = _minutes(rng, before + length, onset, faulty, healthy)
        for minutes in DURATIONS:
            rule = AlarmRule(name="server_error_rate", over=OVER, duration=minutes * MINUTE)
            watches = Watch(rule=rule), Watch(rule=rule)
            for minute, arms in enumerate(counts):
                for watch, (requests, bad) in zip(watches, arms, strict=True):
                    watch.feed(minute, requests, bad=bad)
                control, candidate = (watch.state(minute) for watch in watches)
                if minute >= before and judge(candidate, control) == "rollback":
                    found[minutes][run] = 60 * (minute + 1 - onset)
                    break
    return found


def _minutes(
    rng: np.random.Generator, length: int, onset: float, faulty: float, healthy: float
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(requests, failures) of each minute, of control and of the candidate at a split of 10 %."""
    part = np.clip(np.arange(1, length + 1) - onset, 0, 1)
    arms = []
    for weight, after in ((0.9, healthy), (0.1, faulty)):
        requests = rng.poisson(60 * PER_SECOND * weight, length)
        failed = rng.binomial(requests, part * after + (1 - part) * healthy)
        arms.append(list(zip(requests.tolist(), failed.tolist(), strict=True)))
    return list(zip(*arms, strict=True))
