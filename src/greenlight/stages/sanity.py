"""Sanity: trained on shuffled labels, a model must land at chance (REQUIREMENTS T7)."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from greenlight import artifacts
from greenlight.core import fingerprint
from greenlight.core.records import StageResult
from greenlight.core.sanity import judge, shuffle, some
from greenlight.lookup import folder_of
from greenlight.ports import Blobs, Example, Model, Progress, Records, Trainer
from greenlight.recording import Step, finish
from greenlight.stages.judging import Judging, judging

TRAINING_ROWS, VALIDATION_ROWS, TEST_ROWS = 1000, 125, 500
"""At most so many are taken: chance shows on a part, and the check must stay cheap beside the
training."""

PARTS = ("train", "validation", "test")


def sanity(
    records: Records,
    processed: Blobs,
    trainer: Trainer,
    load_model: Callable[[str], Model],
    *,
    step: Step,
    dataset_digest: str,
    config: Mapping[str, Any],
    seed: int,
    workdir: str | Path,
    now: Callable[[], int],
    progress: Progress,
) -> StageResult:
    """Train once more, with the same settings on shuffled labels, and see what that model can do.

    The result's report is the part `sanity` of an evaluation, with the `seconds` it took; its
    output names that part. A trainer whose training costs money is not called, nor where there is
    no level of chance, as in chats: the part then says why it holds no number.

    Args:
        records: where the result goes.
        processed: prepared datasets.
        trainer: the backend.
        load_model: opens a bundle's folder.
        step: the stage.
        dataset_digest: names the dataset.
        config: the backend's settings.
        seed: of the training, of the draw of rows and of the shuffle.
        workdir: where the throw-away bundle is put together; nothing stays there.
        now: the time, in microseconds since 1970-01-01 UTC.
        progress: follows the training.

    Raises:
        NotFound: there is no such dataset, or it was erased.
        Tampered: the dataset is not as it was sealed.
        BadInput: dataset or settings are not what the backend can use.
    """
    if not trainer.free:
        part: dict[str, Any] = {"reason": f"a training with {trainer.name} costs money"}
    else:
        part = _check(
            Path(folder_of(records, processed, dataset_digest)),
            dataset_digest,
            trainer,
            load_model,
            config=config,
            seed=seed,
            workdir=workdir,
            progress=progress,
        )
    if "reason" in part:
        part = {"reason": f"not measured: {part['reason']}"}
    found = {name: value for name, value in part.items() if name != "seconds"}
    return finish(records, step, {"sanity": fingerprint.digest(found)}, part, now=now())


def _check(
    folder: Path,
    dataset_digest: str,
    trainer: Trainer,
    load_model: Callable[[str], Model],
    *,
    config: Mapping[str, Any],
    seed: int,
    workdir: str | Path,
    progress: Progress,
) -> dict[str, Any]:
    start = time.perf_counter()
    manifest = artifacts.unseal(folder, dataset_digest)
    kind = judging(manifest)
    if not kind.chance:
        return {"reason": "an answer is no choice of a few, so that there is no level of chance"}
    rng = np.random.default_rng(seed)
    train, validation, test = (
        _draw(artifacts.read_rows(folder, split, Example), most, kind, rng)
        for split, most in zip(PARTS, (TRAINING_ROWS, VALIDATION_ROWS, TEST_ROWS), strict=True)
    )
    with tempfile.TemporaryDirectory(prefix="sanity-", dir=workdir) as scratch:
        trained = trainer.train(
            train=_shuffled(train, kind, rng),
            validation=_shuffled(validation, kind, rng),
            labels=manifest["labels"],
            config=config,
            seed=seed,
            out=str(Path(scratch) / "bundle"),
            progress=lambda share, words: progress(0.9 * share, f"shuffled labels: {words}"),
            prompts=artifacts.read_prompts(folder),
        )
        model = load_model(trained.folder)
        predicted = [made.label for made in model.predict([row.text for row in test])]
    progress(1.0, "shuffled labels: judged")
    found = judge(kind.units([row.label for row in test]), kind.units(predicted), rng)
    used = {name: len(rows) for name, rows in zip(PARTS, (train, validation, test), strict=True)}
    return {
        "shuffled_labels": {**found, "rows": used, "of": manifest["counts"], "seed": seed},
        "seconds": round(time.perf_counter() - start, 3),
    }


def _draw(
    rows: Sequence[Example], most: int, kind: Judging, rng: np.random.Generator
) -> list[Example]:
    return [rows[place] for place in some([kind.sort(row.label) for row in rows], most, rng)]


def _shuffled(rows: Sequence[Example], kind: Judging, rng: np.random.Generator) -> list[Example]:
    """The same texts under each other's labels; so are both splits, for trainers fit on both."""
    labels = [row.label for row in rows]
    dealt = kind.joined(labels, shuffle(kind.units(labels), rng))
    return [
        msgspec.structs.replace(row, label=label, answer="")
        for row, label in zip(rows, dealt, strict=True)
    ]
