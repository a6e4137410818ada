"""What the ledger's entries say, in words for people (REQUIREMENTS M5).

| entry of the ledger | kind of the message                                                        |
|---------------------|----------------------------------------------------------------------------|
| `decision`          | `start`, `widen`, `pause`, `promotion`, `rollback`, `withdrawal`,          |
|                     | `inconclusive`, and `hold` where somebody has to look (`QUIET` has others) |
| `kill`              | `kill`: a task is killed, or its kill is lifted                            |
| `incident`          | `incident`, when it is closed                                              |
| `drill`             | `drill`                                                                    |
| `approval`          | `approval`, where a person rejects a version or takes back their word      |

Where a field that the words need is missing they do without it: a message must not get lost over
one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

import msgspec

from greenlight.core import fingerprint
from greenlight.core.aftermath import BAD
from greenlight.core.approval import REJECT, REVOKE
from greenlight.core.records import LedgerEntry, Rollout
from greenlight.core.states import Action

Kind = Literal[
    "rollback",
    "promotion",
    "withdrawal",
    "inconclusive",
    "hold",
    "kill",
    "incident",
    "drill",
    "approval",
    "start",
    "widen",
    "pause",
]

Severity = Literal["info", "warning", "critical"]

QUIET = frozenset({"paused", "window", "drill", "alarm_no_data"})
"""Codes of holds that wait for what comes by itself, or that somebody meant."""

NEXT_OF_HOLD: Mapping[str, str] = {
    "control_down": "mend what is live first: traffic that went back to it would not be answered; "
    "greenlight rollout rollback {task} -m WHY works meanwhile",
    "alarm_page": "look at what both arms have in common: this is not the candidate's doing",
    "alarm_stale": "see whether every gateway runs and reaches the store",
    "alarm_failing": "see why the store does not answer: the controller's log has more",
    "srm": "see how units are named and who filters requests; if it lasts the candidate is "
    "withdrawn",
    "concentration": "ask more people, or whoever gives so much feedback; if it lasts the "
    "candidate is withdrawn",
    "presence": "see whether feedback is asked for in the same way in both arms; if it lasts the "
    "candidate is withdrawn",
    "unapproved": "see who has to sign: greenlight versions show {candidate}",
    "stale": "see whether every gateway runs and reaches the store; the rollout goes on by itself "
    "once they report",
    "late": "see why requests reach the store so late; what came too late counts in no test",
    "served_share": "see why the candidate does not answer: greenlight status {task}",
    "cannot_compute": "this ends only at the horizon: give feedback what it lacks, or abort: "
    "greenlight rollout abort {task} -m WHY",
}
"""Code of a hold → what to do next. A code that is not here is worth a message as well."""

_BAD = BAD | {"failed"}
"""Results of a step of an incident that somebody should see to; a drill's is among them."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry does not say itself."""

    rollout: Rollout | None = None
    """The rollout that it is about."""
    labels: Mapping[str, str] = {}
    """Digest of a version → what people call it."""
    held: Collection[str] = ()
    """Codes for which the rollout was held shortly before (`AGAIN`)."""
    pages: str | None = None
    """Where people open the pages."""


Said = tuple[str, Severity, str, str, str]
"""Kind, severity, title, why, what next."""


def told(entry: LedgerEntry, context: Context) -> Said | None:
    """What an entry says; None: nothing that is worth a message."""
    teller = _TELLERS.get(entry.kind)
    return None if teller is None else teller(entry, context)


def _decision(entry: LedgerEntry, context: Context) -> Said | None:
    body = entry.body
    action, code = body.get("action"), str(body.get("code"))
    if action == Action.HOLD:
        return _hold(code, entry, context)
    row = _DECISIONS.get(str(action))
    if row is None:
        return None
    kind, severity, title, following = row
    if action == Action.START and code == "pending":
        title, following = "{task}: the rollout of {candidate} waits to begin", "nothing: it begins"
        following += " by itself; greenlight rollout abort {task} -m WHY calls it off"
    names = _names(entry, context)
    return kind, severity, title.format(**names), _why(body), following.format(**names)


def _hold(code: str, entry: LedgerEntry, context: Context) -> Said | None:
    if code in QUIET or code in context.held:
        return None
    names = _names(entry, context)
    following = NEXT_OF_HOLD.get(code, "look at it: greenlight status {task}").format(**names)
    severity: Severity = "critical" if code in ("control_down", "alarm_page") else "warning"
    title = f"{names['task']}: the rollout of {names['candidate']} is held: somebody should look"
    return "hold", severity, title, _why(entry.body), following


def _kill(entry: LedgerEntry, context: Context) -> Said | None:
    body, task = entry.body, task_of(entry, context) or "TASK"
    text = _joined(_word(body, "by"), _word(body, "why"))
    if body.get("state") == "lifted":
        following = f"what was killed stays out; a new one may begin: greenlight status {task}"
        return "kill", "warning", f"{task}: the kill is lifted", text, following
    following = "control answers everybody; once what is wrong is settled: greenlight kill "
    return "kill", "critical", f"{task}: killed", text, f"{following}{task} --lift -m WHY"


def _incident(entry: LedgerEntry, context: Context) -> Said | None:
    body = entry.body
    closed_at, steps = body.get("closed_at"), body.get("steps")
    # What is added to a closed incident is on the ledger too, and is no news.
    if not isinstance(closed_at, int) or closed_at < entry.at:
        return None
    names, bad, lines = _names(entry, context), False, []
    for name, found in steps.items() if isinstance(steps, dict) else ():
        known = found if isinstance(found, dict) else {}
        lines.append(f"{name}: {_word(known, 'says', 'result', 'error') or 'done'}")
        bad = bad or str(known.get("result")) in _BAD
    end = f"see to it: greenlight rollouts show {names['rollout']}"
    title = f"{names['task']}: what follows the rollback of {names['candidate']} is done"
    if bad:
        title += ", not as it should be"
        return "incident", "critical", title, "\n".join(lines), end
    end = f"read what was found: greenlight rollouts show {names['rollout']}"
    return "incident", "info", title, "\n".join(lines), end


def _drill(entry: LedgerEntry, context: Context) -> Said | None:
    body = entry.body
    fault, went = _word(body, "fault") or "a drill", body.get("passed")
    outcome = "passed" if went is True else "failed" if went is False else "is over"
    title = f"{task_of(entry, context) or 'drill'}: the drill {outcome} ({fault})"
    text = _joined(_word(body, "why"))
    if went is False:
        return "drill", "critical", title, text, "rollbacks cannot be relied on until it passes"
    return "drill", "info", title, text, "nothing is to be done; the evidence is on file"


def _approval(entry: LedgerEntry, context: Context) -> Said | None:
    body = entry.body
    done = {REVOKE: "took back their word on", REJECT: "rejected"}.get(str(body.get("decision")))
    if done is None:
        return None
    label = _label(str(body.get("version")), context)
    title = f"{label}: {body.get('person')} {done} it"
    following = f"see how its sign-off stands: greenlight versions show {label}"
    return "approval", "warning", title, _joined(_word(body, "why")), following


_TELLERS = {
    "decision": _decision,
    "kill": _kill,
    "incident": _incident,
    "drill": _drill,
    "approval": _approval,
}

ENTRIES = frozenset(_TELLERS)
"""Kinds of the ledger's entries that may be worth a message."""

_DECISIONS: Mapping[str, tuple[Kind, Severity, str, str]] = {
    Action.START: (
        "start",
        "info",
        "{task}: the rollout of {candidate} has begun",
        "nothing: the evidence decides; greenlight status {task} shows it",
    ),
    Action.WIDEN: (
        "widen",
        "info",
        "{task}: more users meet {candidate}",
        "nothing: the evidence decides; greenlight status {task} shows it",
    ),
    Action.PAUSE: (
        "pause",
        "info",
        "{task}: the rollout of {candidate} is paused",
        "nothing grows until: greenlight rollout resume {task} -m WHY",
    ),
    Action.RESUME: (
        "pause",
        "info",
        "{task}: the rollout of {candidate} goes on",
        "nothing: the evidence decides; greenlight status {task} shows it",
    ),
    Action.PROMOTE: (
        "promotion",
        "info",
        "{task}: {candidate} is live",
        "nothing: it answers everybody, in the place of {control}",
    ),
    Action.ROLLBACK: (
        "rollback",
        "critical",
        "{task}: {candidate} was rolled back",
        "{control} answers everybody; see what went wrong: greenlight rollouts show {rollout}",
    ),
    Action.WITHDRAW: (
        "withdrawal",
        "warning",
        "{task}: {candidate} was withdrawn",
        "{control} answers everybody; that is no word on {candidate}; see why: "
        "greenlight rollouts show {rollout}",
    ),
    Action.INCONCLUSIVE: (
        "inconclusive",
        "warning",
        "{task}: the rollout of {candidate} has ended without a decision",
        "{control} answers everybody; decide whether to try again: "
        "greenlight rollouts show {rollout}",
    ),
}


def _names(entry: LedgerEntry, context: Context) -> dict[str, str]:
    """What an entry's task, rollout and versions are called."""
    body, rollout = entry.body, context.rollout
    given = {
        "control": body.get("control", rollout.control if rollout else None),
        "candidate": body.get("candidate", rollout.candidate if rollout else None),
    }
    unknown = {"control": "control", "candidate": "the candidate"}
    named = {
        role: unknown[role] if digest is None else _label(str(digest), context)
        for role, digest in given.items()
    }
    task = task_of(entry, context) or "TASK"
    return {**named, "task": task, "rollout": str(body.get("rollout", task))}


def _label(digest: str, context: Context) -> str:
    return context.labels.get(digest) or fingerprint.short(digest)


def task_of(entry: LedgerEntry, context: Context) -> str | None:
    """The task that an entry is about, if it is about one."""
    if context.rollout is not None:
        return context.rollout.task
    task = entry.body.get("task")
    if isinstance(task, str):
        return task
    label = context.labels.get(str(entry.body.get("version")))
    return None if label is None else label.partition("@")[0]


def _why(body: Mapping[str, Any]) -> str:
    return f"{body.get('reason')} ({body.get('code')})"


def _word(body: Mapping[str, Any], *names: str) -> str | None:
    """The first of these fields that holds a text."""
    found = (body.get(name) for name in names)
    return next((value for value in found if isinstance(value, str) and value.strip()), None)


def _joined(*parts: str | None) -> str:
    return ": ".join(part for part in parts if part)
