"""Runs: which one is under way, and how one moves from status to status."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from greenlight.core.answers import Lease
from greenlight.core.errors import NotFound, Refused
from greenlight.core.lifecycle import Event, next_run_status
from greenlight.core.records import Run, StageResult
from greenlight.core.states import RunStatus
from greenlight.lookup import everything
from greenlight.ports import Blobs, Records
from greenlight.recording import record

UNDER_WAY = frozenset({RunStatus.RUNNING, RunStatus.ABORTING})
"""Statuses of a run that has not ended, whether somebody carries it out or not."""


def active(records: Records, task: str) -> Run | None:
    """The run of a task that is under way, carried out or not."""
    for run in everything(records, Run, {"task": task}):
        if run.status in UNDER_WAY:
            return run
    return None


def refuse_second(runs: Iterable[Run]) -> None:
    """Let nobody begin a run beside these.

    Raises:
        Refused: one of them is under way; the message names it.
    """
    for run in runs:
        if run.status in UNDER_WAY:
            raise Refused(
                f"{run.task}: run {run.id} is under way, and one runs at a time; see: "
                f"greenlight runs show '{run.id}', or end it: greenlight runs abort '{run.id}'"
            )


def refuse_ended(run: Run) -> None:
    """Let nobody carry out what has ended.

    Raises:
        Refused: it has.
    """
    if run.status not in UNDER_WAY:
        raise Refused(f"run {run.id} is {run.status}: greenlight run {run.task} begins another")


def made_before(
    records: Records,
    run: Run,
    stages: Sequence[str],
    is_there: Callable[[StageResult], bool],
) -> dict[str, StageResult]:
    """What an earlier run of the task made at these stages, by name.

    All of one run, so that one belongs to the other: the newest of those that got furthest.

    Args:
        records: the store.
        run: not this one.
        stages: in the order in which they are done.
        is_there: whether what a stage made can still be had.
    """
    runs: dict[str, dict[str, StageResult]] = {}
    for done in everything(records, StageResult, {"task": run.task}):
        if done.run != run.id:
            runs.setdefault(done.run, {})[done.name] = done
    best: list[StageResult] = []
    for made in runs.values():
        chain: list[StageResult] = []
        for stage in stages:
            if stage not in made or not is_there(made[stage]):
                break
            chain.append(made[stage])
        if chain and (not best or _reach(chain) > _reach(best)):
            best = chain
    return {done.name: done for done in best}


def is_there(shelves: Mapping[str, Blobs], done: StageResult) -> bool:
    """Whether what a stage made can still be had from the shelf of its name, if there is one."""
    if done.name not in shelves:
        return True
    try:
        for digest in done.output.values():
            shelves[done.name].path(digest)
    except NotFound:
        return False
    return True


def _reach(chain: Sequence[StageResult]) -> tuple[int, int]:
    return len(chain), chain[-1].at


def move(
    records: Records,
    run: Run,
    event: Event,
    *,
    now: int,
    error: str | None = None,
    fence: Lease | None = None,
) -> Run:
    """Let an event happen to a run, and put it on the ledger.

    Raises:
        Refused: the event has no place in the run's status.
        Conflict: the run has moved meanwhile.
        LostLease: the fence no longer holds.
    """
    status = next_run_status(run.status, event)
    ended = None if status is RunStatus.ABORTING else now
    moved = msgspec.structs.replace(run, status=status, ended_at=ended, error=error)
    body = {
        "run": run.id,
        "task": run.task,
        "status": status.value,
        "ended_at": ended,
        "error": error,
    }
    record(records, [("run_status", body)], swap=[(run, moved)], fence=fence, now=now)
    return moved
