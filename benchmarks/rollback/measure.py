"""All of it, in one installation: candidates one after the other, then the alarms side by side."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.rollback import alarms, killing, runs
from benchmarks.rollback.house import CONTROLLERS, GATEWAYS, WINDOWS, WORKERS, House, open_house
from benchmarks.rollback.results import results
from benchmarks.rollback.runs import FAULTS
from benchmarks.rollback.takeover import take_over
from benchmarks.rollback.users import Plan
from greenlight.core.policy import EvidencePolicy, RolloutPolicy
from greenlight.core.records import Version

TASK = "intent"
TAKEOVER, KILL, ALARMS = "takeover", "kill", "alarms"
PARTS = (*(fault.name for fault in FAULTS), TAKEOVER, KILL, ALARMS)


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """How long it all takes."""

    runs: int = 3
    """Of each candidate."""
    takeovers: int = 5
    kills: int = 2
    """With each kind of outage."""
    healthy_s: float = 60.0
    """Before the first rollout."""
    between_s: float = 20.0
    """Healthy seconds before a start: a thousand requests, which is as far as a start looks
    back."""
    alarm_minutes: int = 5


QUICK = Effort(runs=1, takeovers=1, kills=1, healthy_s=10.0, between_s=5.0, alarm_minutes=1)


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One rollout: what is to happen to it. `name` is the candidate's, and nobody else's, for a
    pair of versions that is launched again pays for it."""

    part: str
    name: str
    about: str = ""
    """Of a kill: what is wrong with the store."""


def tries(parts: Sequence[str], effort: Effort) -> Iterator[Try]:
    """What is tried one after the other."""
    for number in range(1, effort.runs + 1):
        for fault in FAULTS:
            if fault.name in parts:
                yield Try(part=fault.name, name=f"{fault.name}-{number}")
    if TAKEOVER in parts:
        for number in range(1, effort.takeovers + 1):
            yield Try(part=TAKEOVER, name=f"{TAKEOVER}-{number}")
    if KILL in parts:
        for number in range(1, effort.kills + 1):
            for place, outage in enumerate(killing.OUTAGES, start=1):
                yield Try(part=KILL, name=f"{KILL}-{number}-{place}", about=outage)


def measure(parts: Sequence[str], effort: Effort, seed: int) -> dict[str, Any]:
    """Everything that is asked for; the numbers as they are saved."""
    watched = {fault.name: alarms.task_of(fault.name) for fault in FAULTS if ALARMS in parts}
    tasks = (TASK, *watched.values())
    rows: dict[str, list[dict[str, Any]]] = {"runs": [], "alarms": [], "takeovers": [], "kills": []}
    with tempfile.TemporaryDirectory() as folder, open_house(Path(folder), tasks, seed) as house:
        planned = list(tries(parts, effort))
        versions = {one.name: house.candidate(TASK, one.name) for one in planned}
        tried = {fault: house.candidate(task, task) for fault, task in watched.items()}
        house.open()
        if planned:
            with house.visited((TASK, house.plan(TASK, seed))) as books:
                house.rest(effort.healthy_s)
                for one in planned:
                    _try(house, one, versions[one.name], books[TASK], rows)
                    house.rest(effort.between_s)
        if tried:
            rest, for_ = effort.between_s, effort.alarm_minutes
            rows["alarms"] = alarms.watch(house, tried, seed, rest=rest, for_=for_)
            for row in rows["alarms"]:
                _say("alarms", row)
    return results(_setting(effort, seed), rows)


def _try(
    house: House,
    one: Try,
    version: Version,
    book: Path,
    rows: Mapping[str, list[dict[str, Any]]],
) -> None:
    if one.part == TAKEOVER:
        made, kind = take_over(house, version, one.name, book), "takeovers"
    elif one.part == KILL:
        made, kind = killing.kill(house, version, one.about, book), "kills"
    else:
        made, kind = runs.decided(house, one.part, version, one.name, book), "runs"
    rows[kind].append({"fault": one.part, **made})
    _say(kind, rows[kind][-1])


def _say(kind: str, row: Mapping[str, Any]) -> None:
    """Progress, beside the result."""
    took = {
        "takeovers": "takeover_s",
        "kills": "last_s",
    }.get(kind, "detection_s")
    print(f"{kind}: {row['fault']}: {row['code']}, {row[took]} s", file=sys.stderr)


def _setting(effort: Effort, seed: int) -> dict[str, Any]:
    plan = Plan(gateways=[], task=TASK, rows="", seed=seed)
    evidence, rollout = EvidencePolicy(), RolloutPolicy()
    return {
        **msgspec.to_builtins(effort),
        "seed": seed,
        "gateways": len(GATEWAYS),
        "workers": WORKERS,
        "controllers": len(CONTROLLERS),
        "requests_per_s": plan.rate,
        "users": plan.users,
        "feedback_rate": plan.feedback_rate,
        "feedback_delay_s": plan.mean_delay,
        "canary": rollout.steps[0].weight,
        "alpha_harm": evidence.alpha_harm,
        "windows": WINDOWS,
    }
