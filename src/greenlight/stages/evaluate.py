"""Evaluate: what the shipped bundle does on rows that nobody chose anything by."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval import intent_eval
from greenlight import artifacts
from greenlight.core import fingerprint
from greenlight.core.errors import BadInput, NotFound
from greenlight.core.records import Dataset, Evaluation, StageResult, Version
from greenlight.ports import Blobs, Example, Model, Prediction, Progress, Records
from greenlight.recording import Step, finish

BATCH = 128
NO_IMAGE = "GREENLIGHT_IMAGE_DIGEST is not set: not run from an image"


def evaluate(
    records: Records,
    processed: Blobs,
    bundles: Blobs,
    load_model: Callable[[str], Model],
    *,
    step: Step,
    version: Version,
    dataset_digest: str,
    training_report: Mapping[str, Any],
    environment: Mapping[str, Any],
    now: Callable[[], int],
    progress: Progress,
) -> StageResult:
    """Judge a version from its bundle on the test rows, and record the document.

    Args:
        records: where the evaluation goes, with an entry on the ledger. No status changes here.
        processed: prepared datasets.
        bundles: bundles by digest.
        load_model: opens a bundle's folder.
        step: the stage; the version and the dataset must belong to its task.
        version: what is judged.
        dataset_digest: the prepared dataset.
        training_report: `train_accuracy` and `validation_accuracy` of the fit on train alone; the
            shipped model is fitted on both, so its own figures there would flatter it. Where one
            is missing the document says so and holds no number.
        environment: hardware and packages as found; `image_digest` if run from an image.
        now: the time, in microseconds since 1970-01-01 UTC.
        progress: told the share of rows done.

    Raises:
        NotFound: no such dataset, or its folder or the bundle's is missing.
        BadInput: version or dataset of another task, or a model that answers with other labels.
        Tampered: files that are not as sealed.
    """
    dataset = records.get(Dataset, dataset_digest)
    if dataset is None:
        name = fingerprint.short(dataset_digest)
        raise NotFound(f"dataset {name}: not recorded; curate it first")
    for what, owner in (("version", version.task), ("dataset", dataset.task)):
        if owner != step.task:
            raise BadInput(f"{what} belongs to task {owner!r}, not to {step.task!r}", "task")
    folder = Path(processed.path(dataset_digest))
    manifest = artifacts.unseal(folder, dataset_digest)
    bundle = bundles.path(version.bundle)
    artifacts.unseal(bundle, version.bundle)
    rows = artifacts.read_rows(folder, "test", Example)
    started = time.perf_counter()
    predictions = _predict(load_model(bundle), rows, progress)
    seconds = time.perf_counter() - started
    document = {
        "schema": 1,
        "task": step.task,
        "version": version.digest,
        "bundle": version.bundle,
        "dataset": {
            "digest": dataset_digest,
            "name": dataset.name,
            "splits": manifest["files"],
        },
        "protocol": {
            "module": intent_eval.__name__,
            "digest": intent_eval.protocol_digest(),
        },
        "intent": _intent(rows, predictions, manifest["labels"], training_report),
        "environment": dict(environment),
        **_image(environment),
        "wall_clock_s": round(seconds, 3),
        "rows_per_s": round(len(rows) / seconds, 1),
    }
    at = now()
    evaluation = Evaluation(
        digest=fingerprint.digest(document), version=version.digest, document=document, at=at
    )
    body = {"evaluation": evaluation.digest, "version": version.digest, "dataset": dataset_digest}
    return finish(
        records,
        step,
        {"evaluation": evaluation.digest},
        {},
        now=at,
        entries=[("evaluation", body)],
        append=[evaluation],
    )


def _predict(model: Model, rows: Sequence[Example], progress: Progress) -> list[Prediction]:
    found: list[Prediction] = []
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        found += model.predict([row.text for row in batch])
        progress(min(start + BATCH, len(rows)) / len(rows), "predicting test rows")
    return found


def _intent(
    rows: Sequence[Example],
    predictions: Sequence[Prediction],
    labels: Sequence[str],
    report: Mapping[str, Any],
) -> dict[str, Any]:
    test = intent_eval.evaluate(
        [row.label for row in rows],
        [prediction.label for prediction in predictions],
        [prediction.score for prediction in predictions],
        labels,
    )
    train, validation = report.get("train_accuracy"), report.get("validation_accuracy")
    gap = None if train is None or validation is None else train - validation
    return {
        "test": test,
        "validation": {"accuracy": _reported("validation accuracy", validation)},
        "train": {"accuracy": _reported("train accuracy", train)},
        "train_val_gap": _reported("train and validation accuracy", gap),
    }


def _reported(what: str, value: float | None) -> dict[str, Any]:
    """A number, or why there is none: what cannot be computed never looks like a number."""
    return {"reason": f"the run reports no {what}"} if value is None else {"value": value}


def _image(environment: Mapping[str, Any]) -> dict[str, str]:
    digest = environment.get("image_digest")
    if digest:
        return {"image_digest": str(digest)}
    return {"image_digest": "none", "image_digest_reason": NO_IMAGE}
