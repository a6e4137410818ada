"""What a run made that was carried out in another process: read from its record."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from greenlight.core.errors import NotFound
from greenlight.core.gates import GateResult
from greenlight.core.records import Dataset, Evaluation, Record, Run, StageResult, Version
from greenlight.core.states import RunStatus
from greenlight.lookup import everything
from greenlight.ports import Records
from greenlight.stages.loop import Turn

R = TypeVar("R", bound=Record)


def finished(records: Records, task: str) -> list[Run]:
    """The runs of a task that have finished, in their order."""
    found = everything(records, Run, {"task": task, "status": RunStatus.FINISHED})
    return sorted(found, key=lambda run: run.number)


def made_by(records: Records, run: Run) -> Turn:
    """What a finished run made.

    Raises:
        NotFound: something that it put on record is gone.
    """
    stages = {done.name: done for done in everything(records, StageResult, {"run": run.id})}
    return Turn(
        run=run,
        dataset=_get(records, Dataset, stages["curate"].output["dataset"]),
        training=stages["train"],
        version=_get(records, Version, stages["register"].output["version"]),
        evaluation=_get(records, Evaluation, stages["evaluate"].output["evaluation"]),
        gates=msgspec.convert(stages["gate"].report["results"], list[GateResult]),
    )


def _get(records: Records, kind: type[R], key: str) -> R:
    found = records.get(kind, key)
    if found is None:
        raise NotFound(f"{kind.__name__.lower()} {key}: it is not in the store any more")
    return found
