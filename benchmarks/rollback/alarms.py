"""The same candidates under declared alarms, beside the evidence: its budget is next to nothing, so
that it cannot act, and everything else is as it was.

Every candidate has a task of its own, with users of its own at the same pace, so that several can
be watched at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.rollback import runs
from benchmarks.rollback.house import House
from benchmarks.rollback.measures import fires, minutes
from benchmarks.rollback.runs import behaviour_of
from greenlight.core.alarms import DEFAULT_ALARMS, AlarmRule
from greenlight.core.records import MINUTE, SECOND, Feedback, Rollout, Version
from greenlight.lookup import everything

NO_BUDGET = 1e-300
"""α of the tests that can roll back: E would have to reach some 10³⁰⁰."""
BATCHES = (("errors", "worse"), ("slow",))
"""What is watched at the same time. Latency is measured with nobody else at the machine."""
MOST_MINUTES = 1
"""How much longer than its duration an alarm is waited for."""
HINDSIGHT = 0.10
"""A bar for the rate of BAD that lies between the arms, as nobody knows beforehand."""


def task_of(fault: str) -> str:
    """The task in which a candidate with this fault is watched by alarms alone."""
    return f"alarm-{fault}"


def declared(minutes: int) -> dict[str, AlarmRule]:
    """The alarms that REQUIREMENTS O2 names, for so many minutes."""
    return {
        name: msgspec.structs.replace(rule, duration=minutes * MINUTE)
        for name, rule in DEFAULT_ALARMS.items()
    }


def watch(
    house: House, candidates: Mapping[str, Version], seed: int, *, rest: float, for_: int
) -> list[dict[str, Any]]:
    """Let alarms alone decide on every candidate.

    Args:
        house: open, with a task for each of them.
        candidates: by the names of their faults.
        seed: of the users.
        rest: healthy seconds before.
        for_: the alarms' duration in minutes.
    """
    made = []
    for batch in BATCHES:
        plans = [(task_of(fault), house.plan(task_of(fault), seed)) for fault in batch]
        with house.visited(*plans) as books:
            house.rest(rest)
            own = {fault: candidates[fault] for fault in batch}
            made += _watched(house, own, books, declared(for_))
    return made


def _watched(
    house: House,
    candidates: Mapping[str, Version],
    books: Mapping[str, Path],
    rules: Mapping[str, AlarmRule],
) -> list[dict[str, Any]]:
    """Candidates that are watched at the same time; `books` by task."""
    started = {fault: _start(house, fault, one, rules) for fault, one in candidates.items()}
    longest = max(rule.duration for rule in rules.values()) + MOST_MINUTES * MINUTE
    deadline = max(rollout.at for rollout in started.values()) + longest
    endings = {}
    for fault, rollout in started.items():
        left = max(0.0, (deadline - house.app.clock.now()) / SECOND)
        endings[fault] = runs.wait_for_end(house, rollout, left)
    for ending in endings.values():
        runs.settle(house, ending)
    return [
        {
            "fault": fault,
            **runs.told(house, ending, books[task_of(fault)]),
            "by_arithmetic_min": _arithmetic(house, ending.rollout, rules),
        }
        for fault, ending in endings.items()
    ]


def _start(house: House, fault: str, version: Version, rules: Mapping[str, AlarmRule]) -> Rollout:
    house.behave(task_of(fault), behaviour_of(fault))
    policy = house.app.settings.task(version.task).policy
    deaf = msgspec.structs.replace(policy.evidence, alpha_harm=NO_BUDGET)
    policy = msgspec.structs.replace(policy, alarms=dict(rules), evidence=deaf)
    return house.start(version, policy)


def _arithmetic(
    house: House, rollout: Rollout, rules: Mapping[str, AlarmRule]
) -> dict[str, int | None]:
    """Alarm → after how many minutes it fires, by the log; with one on BAD that is set knowing how
    good both arms are."""
    log = runs.inferences_since(house, rollout.task, rollout.at)
    known = {one.id for one in log}
    words = {
        one.inference_id: one.value
        for one in everything(house.app.store, Feedback, {"metric": "quality"})
        if one.inference_id in known
    }
    seen = minutes(log, rollout.id, words)
    bad = "bad_feedback_rate"
    duration = next(iter(rules.values())).duration
    tried = {**rules, bad: AlarmRule(name=bad, over=HINDSIGHT, duration=duration)}
    return {name: fires(seen, rule) for name, rule in tried.items()}
