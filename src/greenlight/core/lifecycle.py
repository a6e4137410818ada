"""THE transition tables: how a run, a version and a rollout move, and who moves them.

Nothing else in Greenlight says which status may follow which. The diagrams in docs/lifecycle.md
are generated from here (scripts/diagrams).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from greenlight.core.errors import Refused
from greenlight.core.states import RolloutStatus, RunStatus, VersionStatus

S = TypeVar("S", VersionStatus, RolloutStatus, RunStatus)


class Event(enum.StrEnum):
    """What happens to a run, a version or a rollout."""

    FINISH = "finish"
    FAIL = "fail"
    ABORT = "abort"
    CLEAN_UP = "clean_up"

    GATES_PASSED = "gates_passed"
    GATES_FAILED = "gates_failed"
    QUORUM_MET = "quorum_met"
    QUORUM_LOST = "quorum_lost"
    REJECT = "reject"
    REOPEN = "reopen"
    ADOPT = "adopt"
    GO_LIVE = "go_live"
    START_ROLLOUT = "start_rollout"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    INCONCLUSIVE = "inconclusive"
    WITHDRAW = "withdraw"
    RETIRE = "retire"


class Actor(enum.StrEnum):
    """Who causes an event."""

    PIPELINE = "pipeline"
    PEOPLE = "people"
    CONTROLLER = "controller"


@dataclass(frozen=True)
class Transition(Generic[S]):
    """One row: in status `source`, `event` caused by `who` leads to status `target`."""

    source: S
    event: Event
    target: S
    who: Actor


_V, _R, _T, _E, _A = VersionStatus, RolloutStatus, RunStatus, Event, Actor

RUN: tuple[Transition[RunStatus], ...] = (
    Transition(_T.RUNNING, _E.FINISH, _T.FINISHED, _A.PIPELINE),
    Transition(_T.RUNNING, _E.FAIL, _T.FAILED, _A.PIPELINE),
    # Whoever aborts only asks for it: the process that carries the run out cleans up first, and
    # may just have finished.
    Transition(_T.RUNNING, _E.ABORT, _T.ABORTING, _A.PEOPLE),
    Transition(_T.ABORTING, _E.CLEAN_UP, _T.ABORTED, _A.PIPELINE),
)

VERSION: tuple[Transition[VersionStatus], ...] = (
    # Gates judge the sealed evaluation. They may judge again until people have signed.
    Transition(_V.REGISTERED, _E.GATES_PASSED, _V.EVALUATED, _A.PIPELINE),
    Transition(_V.REGISTERED, _E.GATES_FAILED, _V.GATED_OUT, _A.PIPELINE),
    Transition(_V.EVALUATED, _E.GATES_PASSED, _V.EVALUATED, _A.PIPELINE),
    Transition(_V.EVALUATED, _E.GATES_FAILED, _V.GATED_OUT, _A.PIPELINE),
    Transition(_V.GATED_OUT, _E.GATES_PASSED, _V.EVALUATED, _A.PIPELINE),
    Transition(_V.GATED_OUT, _E.GATES_FAILED, _V.GATED_OUT, _A.PIPELINE),
    # People sign, refuse, and may think better of either.
    Transition(_V.EVALUATED, _E.QUORUM_MET, _V.APPROVED, _A.PEOPLE),
    Transition(_V.EVALUATED, _E.REJECT, _V.REJECTED, _A.PEOPLE),
    Transition(_V.APPROVED, _E.REJECT, _V.REJECTED, _A.PEOPLE),
    Transition(_V.APPROVED, _E.QUORUM_LOST, _V.EVALUATED, _A.PEOPLE),
    Transition(_V.REJECTED, _E.REOPEN, _V.EVALUATED, _A.PEOPLE),
    # What ran before Greenlight did is taken over as it is, once, where nothing is live yet.
    Transition(_V.REGISTERED, _E.ADOPT, _V.LIVE, _A.PEOPLE),
    # Traffic: the first version of a task goes live at once, every other one earns it.
    Transition(_V.APPROVED, _E.GO_LIVE, _V.LIVE, _A.PEOPLE),
    Transition(_V.APPROVED, _E.START_ROLLOUT, _V.CANARY, _A.PEOPLE),
    Transition(_V.CANARY, _E.PROMOTE, _V.LIVE, _A.CONTROLLER),
    Transition(_V.CANARY, _E.ROLLBACK, _V.ROLLED_BACK, _A.CONTROLLER),
    Transition(_V.CANARY, _E.INCONCLUSIVE, _V.SHELVED, _A.CONTROLLER),
    Transition(_V.CANARY, _E.WITHDRAW, _V.SHELVED, _A.CONTROLLER),
    Transition(_V.LIVE, _E.RETIRE, _V.RETIRED, _A.CONTROLLER),
    # What has left traffic comes back only by a fresh quorum, signed with that end in view.
    Transition(_V.ROLLED_BACK, _E.QUORUM_MET, _V.APPROVED, _A.PEOPLE),
    Transition(_V.SHELVED, _E.QUORUM_MET, _V.APPROVED, _A.PEOPLE),
    Transition(_V.RETIRED, _E.QUORUM_MET, _V.APPROVED, _A.PEOPLE),
    Transition(_V.ROLLED_BACK, _E.REJECT, _V.REJECTED, _A.PEOPLE),
    Transition(_V.SHELVED, _E.REJECT, _V.REJECTED, _A.PEOPLE),
)

ROLLOUT: tuple[Transition[RolloutStatus], ...] = (
    Transition(_R.RUNNING, _E.PROMOTE, _R.PROMOTED, _A.CONTROLLER),
    Transition(_R.RUNNING, _E.ROLLBACK, _R.ROLLED_BACK, _A.CONTROLLER),
    Transition(_R.RUNNING, _E.INCONCLUSIVE, _R.INCONCLUSIVE, _A.CONTROLLER),
    Transition(_R.RUNNING, _E.WITHDRAW, _R.WITHDRAWN, _A.CONTROLLER),
)

FIRST_RUN_STATUS = RunStatus.RUNNING
FIRST_VERSION_STATUS = VersionStatus.REGISTERED
FIRST_ROLLOUT_STATUS = RolloutStatus.RUNNING

SIGNABLE = frozenset(t.source for t in VERSION if t.event is Event.QUORUM_MET)
"""Statuses in which a quorum opens the way to users."""


def next_status(status: VersionStatus, event: str) -> VersionStatus:
    """The status of a version after an event.

    Raises:
        Refused: the event has no place in that status; the message names those that have.
    """
    return _next(_VERSION_TARGETS, status, event, "version")


def next_rollout_status(status: RolloutStatus, event: str) -> RolloutStatus:
    """The status of a rollout after an event.

    Raises:
        Refused: the event has no place in that status; the message names those that have.
    """
    return _next(_ROLLOUT_TARGETS, status, event, "rollout")


def next_run_status(status: RunStatus, event: str) -> RunStatus:
    """The status of a run after an event.

    Raises:
        Refused: the event has no place in that status; the message names those that have.
    """
    return _next(_RUN_TARGETS, status, event, "run")


def allowed(status: VersionStatus) -> tuple[str, ...]:
    """The events that may happen to a version in this status."""
    return tuple(event for source, event in _VERSION_TARGETS if source == status)


def mermaid(table: Iterable[Transition[S]], first: S, arrival: str) -> str:
    """The table as a Mermaid state diagram; `arrival` names how the first status is reached."""
    lines = ["stateDiagram-v2", f"    [*] --> {first}: {arrival}"]
    rows = list(table)
    lines += [f"    {t.source} --> {t.target}: {_words(t.event)}" for t in rows]
    ends = {t.target: None for t in rows} | {first: None}
    for t in rows:
        ends.pop(t.source, None)
    lines += [f"    {status} --> [*]" for status in ends]
    return "\n".join(lines)


def _targets(table: Iterable[Transition[S]]) -> dict[tuple[S, str], S]:
    targets = {(t.source, t.event.value): t.target for t in table}
    return targets


def _next(targets: Mapping[tuple[S, str], S], status: S, event: str, what: str) -> S:
    target = targets.get((status, event))
    if target is not None:
        return target
    open_to = [name for source, name in targets if source == status]
    if not open_to:
        raise Refused(f"a {what} that is {status} stays so: {str(event)!r} has no place there")
    raise Refused(
        f"a {what} that is {status} cannot take {str(event)!r}; it can take: {', '.join(open_to)}"
    )


def _words(event: Event) -> str:
    return event.value.replace("_", " ")


_RUN_TARGETS = _targets(RUN)
_VERSION_TARGETS = _targets(VERSION)
_ROLLOUT_TARGETS = _targets(ROLLOUT)
