"""Runs: which one is under way, and how one moves from status to status."""

from __future__ import annotations

import msgspec

from greenlight.core.answers import Lease
from greenlight.core.lifecycle import Event, next_run_status
from greenlight.core.records import Run, RunStatus
from greenlight.lookup import everything
from greenlight.ports import Records
from greenlight.recording import record

UNDER_WAY = frozenset({RunStatus.RUNNING, RunStatus.ABORTING})
"""Statuses of a run that has not ended, whether somebody carries it out or not."""


def active(records: Records, task: str) -> Run | None:
    """The run of a task that is under way, carried out or not."""
    for run in everything(records, Run, {"task": task}):
        if run.status in UNDER_WAY:
            return run
    return None


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
