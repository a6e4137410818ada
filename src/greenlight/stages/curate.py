"""Curate: from rows as they came to rows to learn from, every exclusion counted."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from greenlight import artifacts
from greenlight.core import curation, fingerprint, jsonl
from greenlight.core.errors import BadInput, NotFound
from greenlight.core.records import Dataset, StageResult
from greenlight.ports import Blobs, Records
from greenlight.recording import Step, finish_dataset

FORMAT = "greenlight.dataset/1"


def curate(
    records: Records,
    raw: Blobs,
    processed: Blobs,
    dataset_digest: str,
    *,
    step: Step,
    seed: int,
    now: Callable[[], int],
    workdir: str | Path,
) -> StageResult:
    """Prepare a collected dataset; the same dataset and seed again change nothing.

    The result is a sealed folder: train.jsonl, validation.jsonl, test.jsonl, and a manifest with
    the labels (sorted by code point: the order of every score vector), counts and exclusions.

    Raises:
        NotFound: no such dataset.
        Tampered: its rows are not those that were collected.
        BadInput: a prepared dataset, or rows that cannot be learnt from (`core.curation.curate`).
    """
    parent = records.get(Dataset, dataset_digest)
    if parent is None:
        name = fingerprint.short(dataset_digest)
        raise NotFound(f"dataset {name}: not recorded; collect it first")
    folder = raw.path(dataset_digest)
    manifest = artifacts.unseal(folder, dataset_digest)
    if manifest.get("parent") is not None:
        raise BadInput(f"dataset {parent.name}: prepared already; curate the one it came from")
    train, test = (artifacts.read_rows(folder, split, curation.Row) for split in ("train", "test"))
    result = curation.curate(train, test, seed)
    splits = {"train": result.train, "validation": result.validation, "test": result.test}
    body = {
        "format": FORMAT,
        "name": parent.name,
        "task": step.task,
        "licence": manifest["licence"],
        "citation": manifest["citation"],
        "source": manifest["origin"],
        "parent": dataset_digest,
        "labels": result.labels,
        "exclusions": result.exclusions,
        "overlaps": result.overlaps,
        "seed": seed,
        "counts": {split: len(rows) for split, rows in splits.items()},
    }
    with tempfile.TemporaryDirectory(prefix="dataset-", dir=workdir) as scratch:
        for split, rows in splits.items():
            Path(scratch, f"{split}.jsonl").write_bytes(jsonl.encode(rows))
        return finish_dataset(records, processed, scratch, body, step=step, report={}, now=now())
