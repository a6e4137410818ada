"""Curate: from rows as they came to rows to learn from, every exclusion counted."""

from __future__ import annotations

import tempfile
from pathlib import Path

from greenlight import artifacts
from greenlight.core import curation, fingerprint, jsonl
from greenlight.core.errors import BadInput, NotFound, Tampered
from greenlight.core.records import Dataset
from greenlight.ports import Blobs, Records
from greenlight.recording import record

FORMAT = "greenlight.dataset/1"


def curate(
    records: Records,
    raw: Blobs,
    processed: Blobs,
    dataset_digest: str,
    *,
    task: str,
    seed: int,
    now: int,
    workdir: str | Path,
) -> Dataset:
    """Prepare a collected dataset; the same dataset and seed again change nothing.

    The result is a sealed folder: train.jsonl, validation.jsonl, test.jsonl, and a manifest with
    the labels (sorted by code point: the order of every score vector), counts and exclusions.

    Raises:
        NotFound: no such dataset.
        Tampered: its rows are not those that were collected.
        BadInput: a prepared dataset, or rows that cannot be learnt from (`core.curation.curate`).
        Conflict: somebody recorded it at the same moment; again returns what they recorded.
    """
    parent = records.get(Dataset, dataset_digest)
    if parent is None:
        name = fingerprint.short(dataset_digest)
        raise NotFound(f"dataset {name}: not recorded; collect it first")
    folder = Path(raw.path(dataset_digest))
    manifest = artifacts.unseal(folder, dataset_digest)
    if manifest.get("parent") is not None:
        raise BadInput(f"dataset {parent.name}: prepared already; curate the one it came from")
    result = curation.curate(_rows(folder / "train.jsonl"), _rows(folder / "test.jsonl"), seed)
    splits = {"train": result.train, "validation": result.validation, "test": result.test}
    Path(workdir).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="curating-", dir=workdir) as work:
        for split, rows in splits.items():
            Path(work, f"{split}.jsonl").write_bytes(jsonl.encode(rows))
        body = {
            "format": FORMAT,
            "name": parent.name,
            "task": task,
            "licence": manifest["licence"],
            "citation": manifest["citation"],
            "source": manifest["origin"],
            "parent": dataset_digest,
            "labels": result.labels,
            "counts": {split: len(rows) for split, rows in splits.items()},
            "exclusions": result.exclusions,
            "overlaps": result.overlaps,
            "seed": seed,
        }
        artifacts.seal(work, body)
        digest = processed.add(work)
    known = records.get(Dataset, digest)
    if known is not None:
        return known
    sealed = artifacts.unseal(processed.path(digest), digest)
    dataset = Dataset(digest=digest, task=task, name=parent.name, manifest=sealed, at=now)
    entry = {"dataset": digest, "task": task, "name": dataset.name, "parent": dataset_digest}
    record(records, [("dataset", entry)], now=now, append=[dataset])
    return dataset


def _rows(path: Path) -> list[curation.Row]:
    try:
        return jsonl.decode(path.read_bytes(), curation.Row, path.name)
    except (OSError, ValueError) as error:
        raise Tampered(f"{path}: no readable rows ({error}); collect them again") from error
