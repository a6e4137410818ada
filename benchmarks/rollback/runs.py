"""One candidate, from its start to its last replica: what was decided, when, and who felt it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.rollback.house import House, seconds, seen_between
from benchmarks.rollback.measures import met, twice, violations
from benchmarks.rollback.model import Behaviour
from greenlight.core.records import (
    MILLISECOND,
    SECOND,
    Decision,
    Epoch,
    Inference,
    Rollout,
    Version,
)
from greenlight.core.states import Action, RolloutStatus
from greenlight.lookup import everything

GIVE_UP_S = 300.0
"""After so long without a decision a person ends the rollout, and it counts as not seen."""
AFTERWARDS = 2 * SECOND
"""How long after the last replica had gone over the log is read on."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong with a candidate from its first request on."""

    name: str
    title: str
    behaviour: Behaviour


FAULTS: tuple[Fault, ...] = (
    Fault(name="errors", title="5% of its answers are errors", behaviour=Behaviour(errors=0.05)),
    Fault(name="slow", title="it takes 1.5 times as long", behaviour=Behaviour(slower=1.5)),
    Fault(name="worse", title="right 10 points less often", behaviour=Behaviour(accuracy=0.84)),
)


def behaviour_of(fault: str) -> Behaviour:
    """How a candidate with this fault behaves."""
    return next(one.behaviour for one in FAULTS if one.name == fault)


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a rollout ended: the decision, the routing after it, and who took it over when."""

    rollout: Rollout
    decision: Decision
    epoch: Epoch
    applied: dict[str, int]


def ended(house: House, rollout: Rollout) -> bool:
    """Whether it has."""
    found = house.app.store.get(Rollout, rollout.id)
    return found is not None and found.status != RolloutStatus.RUNNING


def wait_for_end(house: House, rollout: Rollout, within: float) -> Ending:
    """Wait until a rollout has ended and every replica routes accordingly.

    One that does not end in time is ended by a person.

    Raises:
        GreenlightError: the replicas do not take it over.
    """
    if not _came(house, lambda: ended(house, rollout), within):
        house.order(rollout.task, Action.WITHDRAW, f"nothing decided within {within:g} s")
    store, task = house.app.store, rollout.task
    decision = store.scan(Decision, {"rollout": rollout.id}, newest_first=True, limit=1)[0]
    epoch = next(e for e in everything(store, Epoch, {"task": task}) if e.decision == decision.id)
    house.until(lambda: all(one.epochs[task] >= epoch.number for one in house.replicas()))
    applied = {one.id: one.applied_at[task] for one in house.replicas()}
    found = store.get(Rollout, rollout.id)
    assert found is not None
    return Ending(rollout=found, decision=decision, epoch=epoch, applied=applied)


def _came(house: House, condition: Callable[[], bool], within: float) -> bool:
    deadline = house.app.clock.now() + within * SECOND
    while house.app.clock.now() < deadline:
        if condition():
            return True
        house.rest(0.05)
    return False


def inferences_since(house: House, task: str, moment: int) -> list[Inference]:
    """All answers of a task that were received from a moment on (µs)."""
    found = []
    for one in everything(house.app.store, Inference, {"task": task}, newest_first=True):
        if one.at < moment - AFTERWARDS:  # ids are in order of time, but for a moment
            break
        if one.at >= moment:
            found.append(one)
    return found


def decided(house: House, fault: str, candidate: Version, name: str, book: Path) -> dict[str, Any]:
    """One candidate with a fault that the evidence decides on."""
    house.behave(name, behaviour_of(fault))
    ending = wait_for_end(house, house.start(candidate), GIVE_UP_S)
    settle(house, ending)
    return told(house, ending, book)


def settle(house: House, ending: Ending) -> None:
    """Wait until the log holds what came of it."""
    house.flushed(max(ending.applied.values()) + AFTERWARDS)


def told(house: House, ending: Ending, book: Path) -> dict[str, Any]:
    """What store and users say of a rollout that has ended; see `settle`."""
    rollout, decision, last = ending.rollout, ending.decision, max(ending.applied.values())
    log = inferences_since(house, rollout.task, rollout.at)
    seen = seen_between(book, rollout.at, last + AFTERWARDS)
    exposed = met(log, rollout.candidate)
    decisions = everything(house.app.store, Decision, {"rollout": rollout.id})
    epochs = list(everything(house.app.store, Epoch, {"task": rollout.task}))
    by_itself = decision.code != "order"
    return {
        "rollout": rollout.id,
        "launch": decision.evidence["launch"],
        "decided": by_itself,
        "action": decision.action.value,
        "code": decision.code,
        "reason": decision.reason,
        "first_exposure_at": exposed.first_at,
        "decided_at": decision.at,
        "detection_s": (
            seconds(decision.at - exposed.first_at)
            if by_itself and exposed.first_at is not None
            else None
        ),
        "propagation_ms": {
            name: round((at - decision.at) / MILLISECOND, 1) for name, at in ending.applied.items()
        },
        "requests": sum(one.kind == "predict" for one in seen),
        "errors_seen": sum(one.failed for one in seen if one.kind == "predict"),
        "feedback_failed": sum(one.failed for one in seen if one.kind == "feedback"),
        "assigned": exposed.assigned,
        "answered": exposed.answered,
        "users": exposed.users,
        "violations": violations(log, rollout.candidate, ending.epoch, ending.applied),
        "twice": twice(epochs, [one.action for one in decisions]),
    }
