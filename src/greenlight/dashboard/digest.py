"""What the pages of a task rest on, as one digest: while it is the same they show the same."""

from __future__ import annotations

from collections.abc import Sequence

from greenlight.core import fingerprint
from greenlight.core.records import SECOND, JournalEntry, Run, RunProgress
from greenlight.core.states import RunStatus
from greenlight.ports import Records
from greenlight.recording import head
from greenlight.reporting.underway import alive
from greenlight.stages.roll_out import active

TICK = 10 * SECOND
"""While a rollout is running its page is drawn anew so often at least: requests are counted that
are in no test, and time passes."""


def digest(records: Records, tasks: Sequence[str], now: int) -> str:
    """The digest of some tasks at a moment; a handful of small questions to the store.

    The head of the ledger stands for versions, approvals, splits, decisions and runs, since
    whatever changes them is an entry there.
    """
    ledger, gateways = head(records), alive(records, now)
    return fingerprint.digest(
        {
            "ledger": None if ledger is None else ledger.digest,
            "gateways": sorted(replica.id for replica in gateways),
            "unreachable": sorted(version for one in gateways for version in one.open_since),
            "tasks": {task: [_traffic(records, task, now), _run(records, task)] for task in tasks},
        }
    )


def _traffic(records: Records, task: str, now: int) -> list[int | str]:
    """How far the running rollout is."""
    running = active(records, task)
    if running is None:
        return []
    newest = records.scan(JournalEntry, {"rollout": running.id}, newest_first=True, limit=1)
    return [running.id, newest[0].seq if newest else 0, now // TICK]


def _run(records: Records, task: str) -> list[int | str]:
    """How far the running run is."""
    found = records.scan(Run, {"task": task, "status": RunStatus.RUNNING}, limit=1)
    if not found:
        return []
    told = records.get(RunProgress, found[0].id)
    return [found[0].id, 0 if told is None else told.at]
