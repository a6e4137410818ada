"""What MLflow is to hold of the store: its runs, versions and aliases (REQUIREMENTS R2, T8).

| of the store           | in MLflow                                                              |
|------------------------|------------------------------------------------------------------------|
| a run that has ended   | a run: parameters, metrics, documents                                  |
| a version              | a version of the registered model that is called like its task         |
| what is live           | alias `champion`                                                       |
| a rollout's candidate  | alias `challenger`                                                     |
| a drill                | nothing: it rehearses a fault, and nobody should ever deploy it        |

All of it follows from records, and says the same however often it is asked for, so that whoever
brings MLflow there may stop and start over at any point.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from greenlight.core import drill, fingerprint
from greenlight.core.metrics import METRICS
from greenlight.core.records import (
    Dataset,
    Epoch,
    Evaluation,
    LedgerEntry,
    Run,
    StageResult,
    Version,
)
from greenlight.core.states import RunStatus, VersionStatus

CHAMPION, CHALLENGER = "champion", "challenger"
"""The aliases of a task: what is live, and what is tried against it."""

APPROVED = "approved"
"""The tag that says whether a version may go to users: `true` only while its quorum stands."""

OWN = "greenlight."
"""What the names of all other tags begin with."""

STANDING = frozenset({VersionStatus.APPROVED, VersionStatus.CANARY, VersionStatus.LIVE})
"""Where a version can be approved; its approval may lapse with time alone."""

LONGEST = 250
"""The most signs that MLflow takes for the name of a metric or a parameter."""

LONGEST_VALUE = 500
"""The most signs of a parameter or a tag that are mirrored: what MLflow of every age takes."""

_ENDED: Mapping[RunStatus, Literal["FINISHED", "FAILED", "KILLED"]] = {
    RunStatus.FINISHED: "FINISHED",
    RunStatus.FAILED: "FAILED",
    RunStatus.ABORTED: "KILLED",
}

_UNMEASURED = frozenset(
    {"dataset", "environment", "protocol", "provenance", "schema", "slices", "subject", "warnings"}
)
"""Parts of an evaluation that hold no metrics."""

_INSTRUCTIONS = "options.prompt"
"""Words that a model is asked with, which may be a secret of the house: their digest is shown."""

_UNFIT = re.compile(r"[^\w.\- /]", re.ASCII)
"""What MLflow takes in no name."""


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it is found again: by its id, in tag `greenlight.run`."""

    id: str
    began: int
    """µs since 1970-01-01 UTC."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One point of a metric."""

    name: str
    value: float
    step: int = 0
    at: int
    """µs since 1970-01-01 UTC."""


class MirroredRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has ended."""

    named: Named
    status: Literal["FINISHED", "FAILED", "KILLED"]
    ended: int
    params: dict[str, str]
    metrics: tuple[Measured, ...]
    tags: dict[str, str]
    documents: dict[str, Any]
    """File name → what it holds, as JSON."""


class SignOff(msgspec.Struct, frozen=True, kw_only=True):
    """What the approvals of a version amount to now."""

    approved: bool
    evaluation: str | None = None
    """The evaluation that it is about."""
    until: str | None = None
    """When the first of its signatures expires, in ISO 8601; None: none does."""


class MirroredVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version; `tags` are all that MLflow is to say of it."""

    task: str
    digest: str
    label: str
    run: Named | None
    """The run that made it."""
    tags: dict[str, str]

    @property
    def approved(self) -> bool:
        """Whether it may go to users now."""
        return self.tags[APPROVED] == "true"


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """What entries of the ledger are about: ids of runs, digests of versions, names of tasks whose
    routing has changed."""

    runs: frozenset[str]
    versions: frozenset[str]
    tasks: frozenset[str]


def state(value: MirroredRun | MirroredVersion | Mapping[str, str | None]) -> str:
    """A digest that is equal where nothing is to be changed."""
    return fingerprint.digest(msgspec.to_builtins(value))


def touched(entries: Iterable[LedgerEntry]) -> Touched:
    """What has ended or stands differently, by the ledger."""
    runs, versions, tasks = set(), set(), set()
    for entry in entries:
        body = entry.body
        if entry.kind == "run_status" and body.get("ended_at") is not None:
            runs.add(str(body["run"]))
        elif entry.kind == "version":
            versions.add(str(body["digest"]))
        elif entry.kind == "epoch":
            tasks.add(str(body["task"]))
        elif entry.kind in ("approval", "evaluation", "gates", "live", "status"):
            versions.add(str(body["version"]))
    return Touched(runs=frozenset(runs), versions=frozenset(versions), tasks=frozenset(tasks))


def named(run: Run) -> Named:
    """How a run is found again."""
    return Named(id=run.id, began=run.at)


def is_mirrored(version: Version) -> bool:
    """Whether a version has a place in MLflow; a drill has none."""
    return not drill.is_drill(version.runtime)


def run_of(
    run: Run,
    stages: Sequence[StageResult],
    *,
    datasets: Sequence[Dataset],
    evaluation: Evaluation | None,
) -> MirroredRun:
    """What MLflow is to hold of a run that has ended.

    Args:
        run: the run.
        stages: its finished stages.
        datasets: those that they made, as collected and as prepared.
        evaluation: the one that it made, if it got there.
    """
    assert run.ended_at is not None
    made = {stage.name: stage for stage in stages}
    documents: dict[str, Any] = {
        f"dataset_{'raw' if one.manifest.get('parent') is None else 'prepared'}.json": {
            "digest": one.digest,
            "manifest": one.manifest,
        }
        for one in datasets
    }
    metrics: list[Measured] = []
    if "train" in made:
        report, at = made["train"].report, made["train"].at
        documents["training.json"] = report
        metrics += measures(report, at=at, prefix="train")
    if evaluation is not None:
        documents["eval.json"] = evaluation.document
        metrics += measures(evaluation.document, at=evaluation.at)
    tags = {
        f"{OWN}run": run.id,
        f"{OWN}task": run.task,
        f"{OWN}trigger": run.trigger,
        f"{OWN}status": run.status.value,
        f"{OWN}evaluation": None if evaluation is None else evaluation.digest,
        f"{OWN}version": _output(made, "register", "version"),
        f"{OWN}bundle": _output(made, "train", "bundle"),
        f"{OWN}error": run.error,
    }
    return MirroredRun(
        named=named(run),
        status=_ENDED[run.status],
        ended=run.ended_at,
        params=dict(_params(run, made)),
        metrics=tuple(metrics),
        tags={name: _clipped(value) for name, value in tags.items() if value},
        documents=documents,
    )


def version_of(
    version: Version, run: Run | None, evaluation: Evaluation | None, sign_off: SignOff
) -> MirroredVersion:
    """What MLflow is to hold of a version.

    Args:
        version: the version; no drill.
        run: what made it, if a run did.
        evaluation: the one that people sign, else the newest; None: it has none.
        sign_off: what its approvals amount to.
    """
    standing = sign_off.approved and version.status in STANDING
    lineage = version.lineage
    tags = {
        APPROVED: "true" if standing else "false",
        f"{OWN}digest": version.digest,
        f"{OWN}label": version.label,
        f"{OWN}status": version.status.value,
        f"{OWN}bundle": version.bundle,
        f"{OWN}runtime": str(version.runtime.get("kind", "")),
        f"{OWN}run": str(lineage.get("run") or ""),
        f"{OWN}dataset": str(lineage.get("dataset") or ""),
        f"{OWN}backend": str(lineage.get("backend") or ""),
        f"{OWN}evaluation": sign_off.evaluation
        or ("" if evaluation is None else evaluation.digest),
        f"{OWN}approved_until": (sign_off.until or "") if standing else "",
        **({} if evaluation is None else _marks(evaluation.document)),
    }
    return MirroredVersion(
        task=version.task,
        digest=version.digest,
        label=version.label,
        run=None if run is None else named(run),
        tags={name: _clipped(value) for name, value in tags.items() if value},
    )


def aliases_of(epoch: Epoch | None, candidate: Version | None) -> dict[str, str | None]:
    """Alias → digest of the version that bears it; None: nothing does.

    Args:
        epoch: the task's newest.
        candidate: of that epoch, if it has one.
    """
    tried = candidate is not None and is_mirrored(candidate)
    return {
        CHAMPION: None if epoch is None else epoch.control,
        CHALLENGER: candidate.digest if candidate is not None and tried else None,
    }


def measures(document: Mapping[str, Any], *, at: int, prefix: str = "") -> Iterator[Measured]:
    """Every number of a document under its path, intervals (`.low`, `.high`) included.

    `{"accuracy": {"value": 0.9, "low": 0.8}}` is `accuracy` and `accuracy.low`. What a list of
    tables says is a curve, one step each, by its `step` or `epoch` where it has one, else from 1.

    Args:
        document: an evaluation, or a trainer's report.
        at: when it was made (µs since 1970-01-01 UTC).
        prefix: stands before every path.
    """
    for key, value in document.items():
        if key in _UNMEASURED:
            continue
        path = prefix if key == "value" and prefix else f"{prefix}.{key}" if prefix else key
        if isinstance(value, Mapping):
            yield from measures(value, at=at, prefix=path)
        elif isinstance(value, list):
            yield from _curve(value, at, path)
        else:
            yield from _point(value, at, path, 0)


def _curve(items: Sequence[Any], at: int, path: str) -> Iterator[Measured]:
    """The points of a curve. A list whose tables have names (labels, slices) is none."""
    numbers = all(isinstance(item, int | float) for item in items)
    tables = all(isinstance(item, Mapping) and not _has_text(item) for item in items)
    if path.rpartition(".")[2] in ("roc", "reliability", "confusion") or not (numbers or tables):
        return
    for place, item in enumerate(items, start=1):
        if not isinstance(item, Mapping):
            yield from _point(item, at, path, place)
            continue
        step = next(
            (item[key] for key in ("step", "epoch") if isinstance(item.get(key), int)), place
        )
        for key, value in item.items():
            if key not in ("step", "epoch"):
                yield from _point(value, at, f"{path}.{key}", step)


def _has_text(item: Mapping[str, Any]) -> bool:
    return any(isinstance(value, str) for value in item.values())


def _point(value: Any, at: int, path: str, step: int) -> Iterator[Measured]:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield Measured(name=_fit(path), value=float(value), step=step, at=at)


def _params(run: Run, made: Mapping[str, StageResult]) -> Iterator[tuple[str, str]]:
    plan = run.plan
    given = {
        "backend": plan.get("backend"),
        "seed": plan.get("seed"),
        "dataset": _output(made, "curate", "dataset"),
        "code": run.environment.get("code"),
        "code_commit": run.environment.get("code_commit"),
        **{f"options.{name}": value for name, value in dict(plan.get("options") or {}).items()},
    }
    words = given.get(_INSTRUCTIONS)
    if isinstance(words, str):
        given[_INSTRUCTIONS] = fingerprint.digest_bytes(words.encode())
    for name, value in given.items():
        if value is not None:
            yield _fit(name), _clipped(value if isinstance(value, str) else _compact(value))


def _marks(document: Mapping[str, Any]) -> dict[str, str]:
    """The metrics that gates know, each with its interval, for people who look at a version."""
    found = {}
    for name, metric in METRICS.items():
        place: Any = document
        for key in metric.path:
            place = place.get(key) if isinstance(place, Mapping) else None
        if isinstance(place, Mapping) and isinstance(place.get("value"), int | float):
            text = f"{place['value']:.4f}"
            if isinstance(place.get("low"), float) and isinstance(place.get("high"), float):
                text += f" ({place['low']:.4f} to {place['high']:.4f})"
            found[f"{OWN}metric.{name}"] = text
    return found


def _output(made: Mapping[str, StageResult], stage: str, name: str) -> str | None:
    return made[stage].output.get(name) if stage in made else None


def _compact(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _fit(name: str) -> str:
    return _UNFIT.sub("_", name)[:LONGEST]


def _clipped(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 1] + "…"
