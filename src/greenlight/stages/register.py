"""Register: a bundle and the way it is run become a version; gates say whether people are asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from greenlight.core import gates
from greenlight.core.errors import Refused
from greenlight.core.gates import GateResult
from greenlight.core.lifecycle import FIRST_VERSION_STATUS, Event, allowed, next_status
from greenlight.core.policy import GateRule
from greenlight.core.records import Evaluation, StageResult, Version
from greenlight.lookup import free_label, version_digest
from greenlight.ports import Records
from greenlight.recording import Step, finish, record


def register(
    records: Records,
    *,
    step: Step,
    label: str | None = None,
    bundle: str,
    runtime: Mapping[str, Any],
    lineage: Mapping[str, Any],
    initiator: str,
    now: int,
) -> StageResult:
    """Name a bundle together with how it is run; the same content again is the same version.

    Args:
        records: the store.
        step: the stage; its task is what the version is for.
        label: what people call it; by default `TASK@N` with the next free number.
        bundle: the bundle's digest.
        runtime: how the bundle is run, see `records.Version`.
        lineage: what it came from (`run`, `dataset`, `backend`, `seed`).
        initiator: who asks for the registration.
        now: microseconds since 1970-01-01 UTC.

    Raises:
        BadInput: the label has not the form NAME@SOMETHING.
        Refused: the label is another version's.
    """
    digest = version_digest(step.task, bundle, runtime)
    output = {"version": digest}
    if records.get(Version, digest) is not None:
        return finish(records, step, output, {}, now=now)
    version = Version(
        digest=digest,
        task=step.task,
        label=free_label(records, step.task, label),
        bundle=bundle,
        runtime=dict(runtime),
        lineage=dict(lineage),
        initiator=initiator,
        status=FIRST_VERSION_STATUS,
        at=now,
    )
    return finish(
        records,
        step,
        output,
        {"label": version.label},
        now=now,
        entries=[("version", msgspec.to_builtins(version))],
        append=[version],
    )


def gate(
    records: Records,
    version: Version,
    evaluation: Evaluation,
    rules: Mapping[str, GateRule],
    *,
    step: Step,
    now: int,
) -> StageResult:
    """Hold an evaluation against the task's gates, and move the version accordingly.

    Once people have signed, a further evaluation is recorded but moves nothing: it does not
    replace the one that they saw (REQUIREMENTS G1). The result's report holds what each gate said
    under `results`, and whether they `passed`.

    Raises:
        Refused: the evaluation is of another version.
        Conflict: somebody moved the version meanwhile.
    """
    moved, body = _judged(version, evaluation, rules)
    return finish(
        records,
        step,
        {"version": version.digest, "evaluation": evaluation.digest},
        {"passed": body["passed"], "results": body["results"]},
        now=now,
        entries=[("gates", body)],
        swap=[(version, moved)] if moved != version else [],
    )


def judge(
    records: Records,
    version: Version,
    evaluation: Evaluation,
    rules: Mapping[str, GateRule],
    *,
    now: int,
) -> list[GateResult]:
    """As `gate`, for an evaluation that no run made; returns what each gate said.

    Raises:
        Refused: the evaluation is of another version.
        Conflict: somebody moved the version meanwhile.
    """
    moved, body = _judged(version, evaluation, rules)
    record(
        records,
        [("gates", body)],
        swap=[(version, moved)] if moved != version else [],
        now=now,
    )
    return msgspec.convert(body["results"], list[GateResult])


def _judged(
    version: Version, evaluation: Evaluation, rules: Mapping[str, GateRule]
) -> tuple[Version, dict[str, Any]]:
    """The version as the gates leave it, and the ledger entry that says what they said."""
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
    return moved, body
