"""What a drill is to be, and what it comes to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from greenlight.config import Settings
from greenlight.core.drill import FAULTS, Fault, Findings, Trigger, limit
from greenlight.core.errors import Refused
from greenlight.core.policy import DecisionPolicy
from greenlight.core.reasons import measured
from greenlight.core.records import MILLISECOND, MINUTE, SECOND, Rollout


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to hold a drill."""

    task: str
    fault: str
    intensity: float
    trigger: Trigger = "evidence"
    within: int | None = None
    """By when after the first exposure all traffic must be back at control (µs); None: by
    `core.drill.limit`."""
    rate: float = 100.0
    """Requests per second of the users that are made for it."""
    seed: int = 1
    """Of those users."""
    keep: bool = False
    """Keep the drill's own installation also where it passed."""
    quiet: bool = False

    @property
    def what(self) -> Fault:
        """The fault itself."""
        return FAULTS[self.fault]


def limit_of(options: Options, rollout: Rollout, *, live: bool) -> int:
    """By when after the first exposure all traffic must be back at control (µs)."""
    policy = msgspec.convert(rollout.policy, DecisionPolicy)
    return options.within or limit(options.what, policy, live=live)


def refuse_other_kinds(settings: Settings, task: str) -> None:
    """Refuse to rehearse on what does not classify, and say where one can rehearse.

    Raises:
        Refused: the task is a chat, or tags words.
    """
    kind = settings.task(task).kind
    if kind == "classify":
        return
    others = sorted(one.name for one in settings.tasks.values() if one.kind == "classify")
    way = (
        f"rehearse on a task that classifies: greenlight drill {others[0]} --fault errors"
        if others
        else "rehearse in a folder of its own: greenlight -C desk init --template sample, then "
        "greenlight -C desk drill desk --fault errors"
    )
    why = {
        "chat": "is a chat: it has no test rows that users could ask, and no candidate of it can "
        "be approved yet",
        "tag": "tags words: the users of a drill judge whole labels",
    }
    raise Refused(f"{task} {why[kind]}; {way}")


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A drill that was held, as far as it has been judged."""

    id: str
    task: str
    bundle: str
    label: str
    """Of the version that it rehearses on."""
    options: Options
    live: bool
    rollout: str
    within: int
    found: Findings
    failure: str | None
    """Why it failed; None: it passed."""
    declared: dict[str, Any]
    """The alarm that was declared for it; empty: none was."""
    facts: dict[str, Any] = {}
    """What was not as in production."""
    traffic: dict[str, Any] | None = None
    """What the users of a drill saw; None where they were real."""


def warning(task: str, declared: dict[str, Any]) -> str:
    """What to say where an alarm was declared for the drill."""
    name = declared["name"]
    return (
        f"{task} declares no alarm that sees this; for the drill alone: {name} over "
        f"{measured(name, declared['over'])} for {declared['for'] // MINUTE} minutes"
    )


def body(held: Held) -> dict[str, Any]:
    """What goes on the ledger of a drill, but for its evidence."""
    found, options = held.found, held.options
    return {
        "drill": held.id,
        "task": held.task,
        "bundle": held.bundle,
        "label": held.label,
        "fault": options.fault,
        "intensity": options.intensity,
        "trigger": options.trigger,
        "live": held.live,
        "rollout": held.rollout,
        "passed": held.failure is None,
        "why": held.failure or f"rolled back by {found.code}: {found.reason}",
        "code": found.code,
        "alarm": found.alarm,
        "detection_s": _rounded(found.detection, SECOND),
        "alarm_to_decision_s": _rounded(found.after_alarm, SECOND),
        "alarm_to_control_s": _rounded(found.alarm_to_control, SECOND),
        "propagation_ms": _rounded(found.propagation, MILLISECOND),
        "whole_s": _rounded(found.whole, SECOND),
        "within_s": held.within / SECOND,
        "requests": found.requests,
        "served": found.served,
        "failed_calls": found.failed,
        "units": found.units,
        "user_errors": found.user_errors,
        "bad": found.bad,
        "declared": held.declared,
        **held.facts,
        "traffic": held.traffic,
    }


def _rounded(duration: int | None, unit: int) -> float | None:
    return None if duration is None else round(duration / unit, 3)


def lines(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What was measured, for people: what it is, and how much."""
    yield "detection", _told(record["detection_s"], "s", "first exposure → decision")
    if record["trigger"] == "alarm":
        yield "after the alarm", _told(record["alarm_to_decision_s"], "s", "→ decision")
        told = "→ all traffic at control (at most 120 s)"
        yield "", _told(record["alarm_to_control_s"], "s", told)
    yield "propagation", _told(record["propagation_ms"], "ms", "decision → last gateway")
    told = f"first exposure → all traffic at control (at most {record['within_s']:g} s)"
    yield "in all", _told(record["whole_s"], "s", told)
    yield (
        "candidate",
        (
            f"{record['requests']:,} requests, {record['served']:,} answered by itself, "
            f"{record['failed_calls']:,} calls failed"
        ),
    )
    yield (
        "users",
        (
            f"{record['units']:,} met it, {record['user_errors']} saw an error, "
            f"{record['bad']:,} of its answers were called BAD"
        ),
    )


def _told(value: float | None, unit: str, what: str) -> str:
    return f"– {what}" if value is None else f"{value:,.1f} {unit} {what}"
