"""Train: a prepared dataset becomes a bundle, and the run says what went in and came out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from greenlight import artifacts
from greenlight.core import ids
from greenlight.core.errors import BadInput
from greenlight.core.records import Run
from greenlight.ports import Blobs, Clock, Example, Progress, Records, Trainer
from greenlight.recording import record


def train(
    records: Records,
    datasets: Blobs,
    bundles: Blobs,
    trainer: Trainer,
    *,
    task: str,
    dataset_digest: str,
    config: Mapping[str, Any],
    seed: int,
    initiator: str,
    workdir: str | Path,
    environment: Mapping[str, Any],
    clock: Clock,
    random: Callable[[int], bytes],
    progress: Progress,
) -> Run:
    """Train one model and record the run. The test part of the dataset is not opened.

    Args:
        records: where the run and its ledger entry (kind `run`) go.
        datasets: holds the prepared dataset.
        bundles: takes the bundle.
        trainer: the backend.
        task: whose model this is.
        dataset_digest: names the dataset.
        config: the backend's settings.
        seed: of the training.
        initiator: who asked for it.
        workdir: where the bundle is put together; nothing stays there.
        environment: what ran: packages, Python, platform, commit.
        clock: tells when the training began and ended.
        random: gives that many random bytes (for the run's id).
        progress: follows the training.

    Raises:
        NotFound: there is no such dataset.
        Tampered: the dataset is not as it was sealed.
        BadInput: the dataset, or the settings, are not what the backend can use.
        MissingData: the backend needs what is not here, such as the encoder.
    """
    started_at = clock.now()
    folder = Path(datasets.path(dataset_digest))
    labels = _labels(artifacts.unseal(folder, dataset_digest), folder)
    Path(workdir).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="training-", dir=workdir) as scratch:
        trained = trainer.train(
            train=artifacts.read_rows(folder, "train", Example),
            validation=artifacts.read_rows(folder, "validation", Example),
            labels=labels,
            config=config,
            seed=seed,
            out=str(Path(scratch) / "bundle"),
            progress=progress,
        )
        bundle = bundles.add(trained.folder)
    now = clock.now()
    run = Run(
        id=ids.fresh(now, random),
        task=task,
        backend=trainer.name,
        dataset=dataset_digest,
        config=dict(config),
        seed=seed,
        initiator=initiator,
        environment=dict(environment),
        report=trained.report,
        bundle=bundle,
        started_at=started_at,
        at=now,
    )
    body = {
        name: getattr(run, name)
        for name in ("id", "task", "backend", "dataset", "config", "seed", "initiator", "bundle")
    }
    record(records, [("run", body)], now=now, append=[run])
    return run


def _labels(manifest: Mapping[str, Any], folder: Path) -> list[str]:
    try:
        return msgspec.convert(manifest.get("labels"), list[str])
    except msgspec.ValidationError as error:
        raise BadInput(f"{folder}: the manifest lists no labels ({error}); curate it") from error
