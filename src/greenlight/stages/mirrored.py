"""What a mirror is to hold of one thing, gathered from the store; see `core.mirroring`."""

from __future__ import annotations

from collections.abc import Callable

from greenlight.core import mirroring
from greenlight.core.mirroring import MirroredRun, MirroredVersion, SignOff
from greenlight.core.records import Dataset, Epoch, Evaluation, Run, StageResult, Version
from greenlight.lookup import everything
from greenlight.ports import Records

Standing = Callable[[Version], SignOff]
"""What the approvals of a version amount to now."""


def of_version(records: Records, digest: str, standing: Standing) -> MirroredVersion | None:
    """What is to be shown of a version; None: nothing (yet)."""
    version = records.get(Version, digest)
    if version is None or not mirroring.is_mirrored(version):
        return None
    run = records.get(Run, str(version.lineage.get("run")))
    if run is not None and run.ended_at is None:
        return None  # the end of the run tells of it again
    sign_off = standing(version)
    judged = records.get(Evaluation, sign_off.evaluation or "") or max(
        everything(records, Evaluation, {"version": digest}),
        key=lambda evaluation: evaluation.at,
        default=None,
    )
    return mirroring.version_of(version, run, judged, sign_off)


def of_run(records: Records, id: str) -> MirroredRun | None:
    """What is to be shown of a run; None: nothing yet."""
    run = records.get(Run, id)
    if run is None or run.ended_at is None:
        return None
    stages = list(everything(records, StageResult, {"run": id}))
    made = {stage.name: stage.output for stage in stages}
    named = [made.get(stage, {}).get("dataset", "") for stage in ("collect", "curate")]
    datasets = (records.get(Dataset, digest) for digest in named)
    return mirroring.run_of(
        run,
        stages,
        datasets=[dataset for dataset in datasets if dataset is not None],
        evaluation=records.get(Evaluation, made.get("evaluate", {}).get("evaluation", "")),
    )


def made_by(records: Records, run: str) -> str | None:
    """The version that a run registered, if it got there."""
    done = records.get(StageResult, run, "register")
    return None if done is None else done.output.get("version")


def of_task(records: Records, task: str) -> dict[str, str | None]:
    """Which versions bear the aliases of a task."""
    newest = records.scan(Epoch, {"task": task}, newest_first=True, limit=1)
    epoch = newest[0] if newest else None
    tried = None if epoch is None else records.get(Version, epoch.candidate or "")
    return mirroring.aliases_of(epoch, tried)
