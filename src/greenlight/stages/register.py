"""Register: a bundle and the way it is run become a version; gates say whether people are asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from greenlight.core import fingerprint, gates
from greenlight.core.errors import BadInput, Conflict, Refused
from greenlight.core.gates import GateResult
from greenlight.core.lifecycle import FIRST_VERSION_STATUS, Event, allowed, next_status
from greenlight.core.policy import GateRule
from greenlight.core.records import Evaluation, Run, Version
from greenlight.lookup import everything
from greenlight.ports import Records
from greenlight.recording import record

_LABEL = re.compile(r"[\w.-]+@[\w.-]+")


def register(
    records: Records,
    *,
    task: str,
    label: str | None = None,
    bundle: str,
    runtime: Mapping[str, Any],
    run: Run,
    initiator: str,
    now: int,
) -> Version:
    """Name a bundle together with how it is run; the same content again is the same version.

    Args:
        records: the store.
        task: what the version is for.
        label: what people call it; by default `TASK@N` with the next free number.
        bundle: the bundle's digest.
        runtime: how the bundle is run, see `records.Version`.
        run: the training that made the bundle.
        initiator: who asks for the registration.
        now: microseconds since 1970-01-01 UTC.

    Raises:
        BadInput: the bundle is not what the run made, the run is another task's, or the label
            has not the form NAME@SOMETHING.
        Refused: the label is another version's.
    """
    if run.bundle != bundle or run.task != task:
        raise BadInput(f"run {run.id} made {run.bundle} for {run.task}, not {bundle} for {task}")
    digest = fingerprint.digest({"task": task, "bundle": bundle, "runtime": dict(runtime)})
    known = records.get(Version, digest)
    if known is not None:
        return known
    version = Version(
        digest=digest,
        task=task,
        label=_label(records, task, label),
        bundle=bundle,
        runtime=dict(runtime),
        lineage={"run": run.id, "dataset": run.dataset, "backend": run.backend, "seed": run.seed},
        initiator=initiator,
        status=FIRST_VERSION_STATUS,
        at=now,
    )
    try:
        record(records, [("version", msgspec.to_builtins(version))], append=[version], now=now)
    except Conflict:
        known = records.get(Version, digest)
        if known is None:
            raise
        return known
    return version


def gate(
    records: Records,
    version: Version,
    evaluation: Evaluation,
    rules: Mapping[str, GateRule],
    now: int,
) -> tuple[Version, list[GateResult]]:
    """Hold an evaluation against the task's gates, and move the version accordingly.

    Once people have signed, a further evaluation is recorded but moves nothing: it does not
    replace the one that they saw (REQUIREMENTS G1).

    Returns:
        The version as it stands now, and what each gate said.

    Raises:
        Refused: the evaluation is of another version.
        Conflict: somebody moved the version meanwhile.
    """
    if evaluation.version != version.digest:
        raise Refused(
            f"evaluation {evaluation.digest} is of {evaluation.version}, not {version.label}"
        )
    results = gates.check(evaluation.document, rules)
    passed = gates.passed(results)
    event = Event.GATES_PASSED if passed else Event.GATES_FAILED
    moved = version
    if event in allowed(version.status):
        moved = msgspec.structs.replace(version, status=next_status(version.status, event))
    body = {
        "version": version.digest,
        "label": version.label,
        "evaluation": evaluation.digest,
        "passed": passed,
        "results": msgspec.to_builtins(results),
        "status": moved.status.value,
    }
    swap = [(version, moved)] if moved != version else []
    record(records, [("gates", body)], swap=swap, now=now)
    return moved, results


def _label(records: Records, task: str, wanted: str | None) -> str:
    labels = {version.label for version in everything(records, Version)}
    if wanted is None:
        numbers = [_number(label, task) for label in labels]
        return f"{task}@{max(numbers, default=0) + 1}"
    if not _LABEL.fullmatch(wanted):
        raise BadInput(f"label {wanted!r}: write NAME@SOMETHING, such as {task}@7", "label")
    if wanted in labels:
        raise Refused(f"label {wanted!r} is another version's; choose a new one")
    return wanted


def _number(label: str, task: str) -> int:
    name, _, number = label.rpartition("@")
    return int(number) if name == task and number.isdecimal() else 0
