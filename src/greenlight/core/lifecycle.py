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
from greenlight.core.policy import RolloutPolicy
from greenlight.core.states import Phase, RolloutStatus, RunStatus, VersionStatus

S = TypeVar("S", VersionStatus, Phase, RunStatus)


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
    BEGIN = "begin"
    WIDEN = "widen"
    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    INCONCLUSIVE = "inconclusive"
    WITHDRAW = "withdraw"
    RETIRE = "retire"
    UNDO = "undo"
    RESTORE = "restore"


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


_V, _P, _T, _E, _A = VersionStatus, Phase, RunStatus, Event, Actor

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
    # A kill that no gateway saw later than the promotion: the versions change places again.
    Transition(_V.LIVE, _E.UNDO, _V.ROLLED_BACK, _A.CONTROLLER),
    Transition(_V.RETIRED, _E.RESTORE, _V.LIVE, _A.CONTROLLER),
    # What has left traffic comes back only by a fresh quorum, signed with that end in view.
    Transition(_V.ROLLED_BACK, _E.QUORUM_MET, _V.APPROVED, _A.PEOPLE),
    Transition(_V.SHELVED, _E.QUORUM_MET, _V.APPROVED, _A.PEOPLE),
    Transition(_V.RETIRED, _E.QUORUM_MET, _V.APPROVED, _A.PEOPLE),
    Transition(_V.ROLLED_BACK, _E.REJECT, _V.REJECTED, _A.PEOPLE),
    Transition(_V.SHELVED, _E.REJECT, _V.REJECTED, _A.PEOPLE),
)

ROLLOUT: tuple[Transition[Phase], ...] = (
    # It begins when its release window is open, and at the first rung of its ladder.
    Transition(_P.PENDING, _E.BEGIN, _P.SHADOW, _A.CONTROLLER),
    Transition(_P.PENDING, _E.BEGIN, _P.CANARY, _A.CONTROLLER),
    Transition(_P.PENDING, _E.BEGIN, _P.LAST_STEP, _A.CONTROLLER),
    # It climbs rung by rung. Only approval and evidence, or a person in their place, move it up.
    Transition(_P.SHADOW, _E.WIDEN, _P.CANARY, _A.CONTROLLER),
    Transition(_P.SHADOW, _E.WIDEN, _P.LAST_STEP, _A.CONTROLLER),
    Transition(_P.CANARY, _E.WIDEN, _P.CANARY, _A.CONTROLLER),
    Transition(_P.CANARY, _E.WIDEN, _P.LAST_STEP, _A.CONTROLLER),
    Transition(_P.LAST_STEP, _E.WIDEN, _P.HOLDBACK, _A.CONTROLLER),
    Transition(_P.LAST_STEP, _E.PROMOTE, _P.PROMOTED, _A.CONTROLLER),
    Transition(_P.HOLDBACK, _E.PROMOTE, _P.PROMOTED, _A.CONTROLLER),
    # People stop it where it is, and let it go on.
    *(
        Transition(phase, event, phase, _A.PEOPLE)
        for phase in (_P.SHADOW, _P.CANARY, _P.LAST_STEP, _P.HOLDBACK)
        for event in (_E.PAUSE, _E.RESUME)
    ),
    # It can be taken out of traffic wherever it is.
    *(
        Transition(phase, _E.ROLLBACK, _P.ROLLED_BACK, _A.CONTROLLER)
        for phase in (_P.PENDING, _P.SHADOW, _P.CANARY, _P.LAST_STEP, _P.HOLDBACK)
    ),
    *(
        Transition(phase, _E.WITHDRAW, _P.WITHDRAWN, _A.CONTROLLER)
        for phase in (_P.PENDING, _P.SHADOW, _P.CANARY, _P.LAST_STEP, _P.HOLDBACK)
    ),
    # The horizon; what is held back has been proved, and has none.
    *(
        Transition(phase, _E.INCONCLUSIVE, _P.INCONCLUSIVE, _A.CONTROLLER)
        for phase in (_P.PENDING, _P.SHADOW, _P.CANARY, _P.LAST_STEP)
    ),
    # A kill that was signed before the promotion, and that the gateways saw before it.
    Transition(_P.PROMOTED, _E.UNDO, _P.ROLLED_BACK, _A.CONTROLLER),
)

FIRST_RUN_STATUS = RunStatus.RUNNING
FIRST_VERSION_STATUS = VersionStatus.REGISTERED
FIRST_PHASE = Phase.PENDING

SIGNABLE = frozenset(t.source for t in VERSION if t.event is Event.QUORUM_MET)
"""Statuses in which a quorum opens the way to users."""


def next_status(status: VersionStatus, event: str) -> VersionStatus:
    """The status of a version after an event.

    Raises:
        Refused: the event has no place in that status; the message names those that have.
    """
    return _next(_VERSION_TARGETS, status, event, "version")


def phase_of(status: RolloutStatus, step: int, policy: RolloutPolicy) -> Phase:
    """Where a rollout is on its way.

    Args:
        status: as the store has it.
        step: its place on the ladder.
        policy: frozen at its start.
    """
    if status != RolloutStatus.RUNNING:
        return Phase(status.value)
    if step == 0 and policy.shadow:
        return Phase.SHADOW
    if step < policy.last_step:
        return Phase.CANARY
    if step == policy.last_step:
        return Phase.LAST_STEP
    # Where nobody is held back the rung above is the promotion, and no step leads there.
    return Phase.HOLDBACK if policy.holdback else Phase.PROMOTED


def check_rollout(before: Phase, event: str, after: Phase) -> None:
    """Refuse a move of a rollout that is not in the table.

    Raises:
        Refused: the message names what may happen in that phase.
    """
    if after in _PHASES.get((before, event), ()):
        return
    open_to = sorted({name for phase, name in _PHASES if phase == before})
    can = f"it can take: {', '.join(open_to)}" if open_to else "it stays so"
    raise Refused(f"a rollout that is {before} cannot take {str(event)!r} to {after}; {can}")


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
_PHASES: dict[tuple[Phase, str], set[Phase]] = {}
for _row in ROLLOUT:
    _PHASES.setdefault((_row.source, _row.event.value), set()).add(_row.target)
