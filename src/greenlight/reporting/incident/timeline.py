"""What happened, moment by moment, from the records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from greenlight.core import aftermath
from greenlight.core.incidents import Incident
from greenlight.core.records import SECOND, Decision
from greenlight.core.states import Action
from greenlight.core.words import power
from greenlight.reporting.history import ENDS, History
from greenlight.reporting.incident.dossier import Dossier, Event

FILE = "timeline.txt"

_RANKS = {"start": 0, "first_user": 1, "threshold": 2, "gateway": 4, "closed": 6}
_RANKS |= dict.fromkeys(aftermath.STEPS, 5)
_LAST = 3
"""Where decisions stand among what happened in the same moment."""
_QUIET = frozenset({Action.HOLD.value, Action.STAY.value})


def events(told: History, incident: Incident | None) -> list[Event]:
    """Everything on record, in order of time."""
    found = [*_decisions(told), *_evidence(told)]
    if incident is not None:
        found += [*_gateways(incident), *_steps(incident)]
    start = told.rollout.at
    order = sorted(found, key=lambda it: (it[0], _RANKS.get(it[1], _LAST)))
    return [
        Event(at=at, after_s=(at - start) / SECOND, kind=kind, what=what)
        for at, kind, what in order
    ]


def shorter(found: Iterable[Event], most: int) -> list[Event]:
    """Without what changed nothing, where there is too much of it."""
    every = list(found)
    if len(every) <= most:
        return every
    return [event for event in every if event.kind not in _QUIET]


def text(dossier: Dossier) -> str:
    """The timeline as lines: the time, the time since the start, what happened."""
    head = (
        f"rollout {dossier.rollout.id} of {dossier.rollout.task}; times are UTC, and in seconds "
        "since its start\n"
    )
    rows = [
        f"{stamp(event.at)}  {event.after_s:>14,.3f}  {event.kind:<12}  {_line(event.what)}\n"
        for event in dossier.timeline
    ]
    return head + "".join(rows)


def stamp(at: int) -> str:
    """A moment (µs since 1970) in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(at // SECOND, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at % SECOND // 1000:03}Z"


_Found = Iterator[tuple[int, str, str]]


def _decisions(told: History) -> _Found:
    for decision in told.decisions:
        yield decision.at, decision.action.value, _words(decision)


def _words(decision: Decision) -> str:
    if decision.action == Action.START:
        return decision.reason
    return f"{decision.code}: {decision.reason}"


def _evidence(told: History) -> _Found:
    if told.first_exposure is not None:
        yield told.first_exposure, "first_user", f"the first user met {told.candidate}"
    ended = next((d for d in reversed(told.decisions) if d.action in ENDS), None)
    if ended is None or ended.code not in told.thresholds:
        return
    crossed = told.crossed(ended.code)
    if crossed is not None and crossed.at <= ended.at:
        e, limit = power(crossed.log_e[ended.code]), power(told.thresholds[ended.code])
        yield crossed.at, "threshold", f"E of {ended.code} is {e}; its threshold is {limit}"


def _gateways(incident: Incident) -> _Found:
    step: dict[str, Any] = incident.steps.get(aftermath.PROPAGATED, {})
    for known in step.get("replicas", ()):
        how = "routes by it" if known["exact"] else "routes by a later one, no later than this"
        yield known["applied_at"], "gateway", f"{known['replica']} {how} ({known['ms']:,.0f} ms)"


def _steps(incident: Incident) -> _Found:
    for step, at, says in aftermath.told(incident):
        if at is not None:
            yield at, step, says
    measured = incident.steps.get(aftermath.DRILL, {})
    if "at" in measured:
        yield measured["at"], "drill", str(measured.get("says", "measured"))
    if incident.closed_at is not None:
        yield incident.closed_at, "closed", "the incident is closed"


def _line(words: str) -> str:
    return " ".join(words.split())
