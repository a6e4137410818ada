"""Train: a prepared dataset becomes a bundle, and the run says what went in and came out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from greenlight import artifacts
from greenlight.core.errors import BadInput
from greenlight.core.records import StageResult
from greenlight.lookup import folder_of
from greenlight.ports import Blobs, Example, Progress, Records, Trainer
from greenlight.ports.cancels import Cancels
from greenlight.recording import Step, finish


def train(
    records: Records,
    datasets: Blobs,
    bundles: Blobs,
    trainer: Trainer,
    *,
    step: Step,
    dataset_digest: str,
    config: Mapping[str, Any],
    seed: int,
    workdir: str | Path,
    now: Callable[[], int],
    progress: Progress,
) -> StageResult:
    """Train one model. The test part of the dataset is not opened.

    The result's output names the bundle, and its report is the trainer's.

    Args:
        records: where the result goes.
        datasets: holds the prepared dataset.
        bundles: takes the bundle.
        trainer: the backend.
        step: the stage.
        dataset_digest: names the dataset.
        config: the backend's settings.
        seed: of the training.
        workdir: where the bundle is put together; nothing stays there unless it is left off.
        now: the time, in microseconds since 1970-01-01 UTC.
        progress: follows the training.

    Raises:
        NotFound: there is no such dataset, or it was erased.
        Tampered: the dataset is not as it was sealed.
        BadInput: the dataset, or the settings, are not what the backend can use.
        MissingData: the backend needs what is not here, such as the encoder.
    """
    folder = Path(folder_of(records, datasets, dataset_digest))
    labels = _labels(artifacts.unseal(folder, dataset_digest), folder)
    scratch = tempfile.mkdtemp(prefix="training-", dir=workdir)
    try:
        trained = trainer.train(
            train=artifacts.read_rows(folder, "train", Example),
            validation=artifacts.read_rows(folder, "validation", Example),
            labels=labels,
            config=config,
            seed=seed,
            out=str(Path(scratch) / "bundle"),
            progress=progress,
            prompts=artifacts.read_prompts(folder),
        )
        bundle = bundles.add(trained.folder)
    except Exception:
        shutil.rmtree(scratch)
        raise
    # Left off (Ctrl-C) or killed, it stays until the run goes on or ends: a trainer may have noted
    # there what it asked for somewhere else (`cancel`).
    shutil.rmtree(scratch)
    return finish(records, step, {"bundle": bundle}, trained.report, now=now())


def cancel(
    trainer: Callable[[], Trainer], folder: str | Path, config: Mapping[str, Any]
) -> str | None:
    """End what a training that was killed left going on somewhere else.

    Args:
        trainer: makes the backend, where there is something to end.
        folder: what the stage had half made.
        config: the backend's settings.

    Returns:
        Why it goes on all the same; None where it does not.
    """
    backend: object = trainer() if Path(folder).is_dir() else None
    if not isinstance(backend, Cancels):
        return None
    return "; ".join(backend.cancel(str(folder), config)) or None


def _labels(manifest: Mapping[str, Any], folder: Path) -> list[str]:
    try:
        return msgspec.convert(manifest.get("labels"), list[str])
    except msgspec.ValidationError as error:
        raise BadInput(f"{folder}: the manifest lists no labels ({error}); curate it") from error
