"""Collect and curate (D7, D8): sealed, named by content, recorded once, on the ledger."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from greenlight import artifacts
from greenlight.adapters.blobs import FolderBlobs
from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core import ledger
from greenlight.core.errors import BadInput, MissingData, NotFound, Tampered
from greenlight.core.records import Dataset, LedgerEntry
from greenlight.datasets import PublicSource
from greenlight.ports import Example
from greenlight.stages.collect import collect
from greenlight.stages.curate import curate

TRAIN = [Example(f"{label}  text {n}", label) for label in ("b", "A?") for n in range(20)]
TEST = [Example("B text 3", "b"), Example("fresh\n", "A?")]
SOURCE = PublicSource(
    name="demo",
    origin="https://data.example/demo",
    licence="CC0-1.0",
    citation="Nobody",
    train=TRAIN,
    test=TEST,
)


class Place:
    """A store with two folders of blobs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.records = MemoryStore()
        self.raw = FolderBlobs(root / "raw")
        self.processed = FolderBlobs(root / "processed")

    def collect(self, source: PublicSource = SOURCE, *, task: str = "intent", now: int = 1) -> Dataset:
        work = self.root / "work"
        return collect(self.records, self.raw, source, task=task, now=now, workdir=work)

    def curate(self, digest: str, *, seed: int = 2025, now: int = 2) -> Dataset:
        return curate(
            self.records,
            self.raw,
            self.processed,
            digest,
            task="intent",
            seed=seed,
            now=now,
            workdir=self.root / "work",
        )

    def ledger(self) -> list[LedgerEntry]:
        return self.records.scan(LedgerEntry)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def lines(folder: str, split: str) -> list[Example]:
    data = Path(folder, f"{split}.jsonl").read_bytes()
    return [msgspec.json.decode(line, type=Example) for line in data.splitlines()]


def test_collected_rows_are_as_they_came(place: Place) -> None:
    dataset = place.collect()
    folder = place.raw.path(dataset.digest)
    assert lines(folder, "train") == TRAIN
    assert lines(folder, "test") == TEST
    assert artifacts.unseal(folder, dataset.digest) == dataset.manifest
    assert dataset.manifest["counts"] == {"train": 40, "test": 2}
    assert dataset.manifest["origin"] == SOURCE.origin


def test_curated_rows_and_their_manifest(place: Place) -> None:
    raw = place.collect()
    dataset = place.curate(raw.digest)
    folder = place.processed.path(dataset.digest)
    manifest = artifacts.unseal(folder, dataset.digest)
    assert manifest == dataset.manifest
    assert manifest["labels"] == ["A?", "b"]
    assert manifest["parent"] == raw.digest
    assert manifest["licence"] == "CC0-1.0"
    assert manifest["seed"] == 2025
    assert manifest["counts"] == {"train": 35, "validation": 4, "test": 2}
    assert manifest["exclusions"]["in_test"] == 1
    assert set(manifest["files"]) == {"train.jsonl", "validation.jsonl", "test.jsonl"}
    assert lines(folder, "test") == [Example("B text 3", "b"), Example("fresh", "A?")]
    held = {row.text for row in lines(folder, "validation")}
    assert held.isdisjoint(row.text for row in lines(folder, "train"))
    assert not list((place.root / "work").iterdir())


def test_each_dataset_is_on_the_ledger_once(place: Place) -> None:
    raw = place.collect()
    made = place.curate(raw.digest)
    assert place.collect(now=8) == raw
    assert place.curate(raw.digest, now=9) == made
    chain = place.ledger()
    assert [entry.kind for entry in chain] == ["dataset", "dataset"]
    assert [entry.body["dataset"] for entry in chain] == [raw.digest, made.digest]
    assert chain[1].body["parent"] == raw.digest
    assert not ledger.problems(chain)


def test_same_inputs_same_digest_elsewhere(place: Place, tmp_path: Path) -> None:
    """T6"""
    other = Place(tmp_path / "elsewhere")
    first = place.curate(place.collect().digest)
    assert other.curate(other.collect(now=77).digest, now=78).digest == first.digest
    assert place.curate(place.collect().digest, seed=1).digest != first.digest
    assert place.collect(task="other").digest != place.collect().digest


def test_changed_rows_are_refused(place: Place) -> None:
    """R3 holds of data as of bundles."""
    digest = place.collect().digest
    path = Path(place.raw.path(digest), "train.jsonl")
    path.write_bytes(path.read_bytes().replace(b"text 7", b"text 8"))
    with pytest.raises(Tampered, match=r"train\.jsonl"):
        place.curate(digest)


def test_what_cannot_be_prepared_is_said(place: Place) -> None:
    with pytest.raises(NotFound, match="collect it first"):
        place.curate("sha256:" + "0" * 64)
    with pytest.raises(MissingData, match="test has no rows"):
        place.collect(msgspec.structs.replace(SOURCE, test=[]))
    made = place.curate(place.collect().digest)
    with pytest.raises(NotFound):
        place.curate(made.digest)
    both = Place(place.root / "both")
    both.processed = both.raw
    with pytest.raises(BadInput, match="prepared already"):
        both.curate(both.curate(both.collect().digest).digest)
