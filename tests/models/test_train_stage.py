"""The stage: dataset in, bundle and its record out."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlight import artifacts
from greenlight.adapters.blobs import FolderBlobs
from greenlight.adapters.stores.memory import MemoryStore
from greenlight.adapters.trainers import TRAINERS
from greenlight.core import jsonl, ledger
from greenlight.core.errors import BadInput, NotFound, Tampered
from greenlight.core.records import MILLISECOND, LedgerEntry, StageResult
from greenlight.models import bundle
from greenlight.stages.train import train
from greenlight.testing import FakeClock, step
from tests.models import tiny
from tests.models.conftest import LABELS


class Site:
    """Everything around the stage, in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = MemoryStore()
        self.datasets = FolderBlobs(root / "datasets")
        self.bundles = FolderBlobs(root / "bundles")
        self.clock = FakeClock()
        self.work = root / "work"
        self.work.mkdir()

    def dataset(self, body: dict[str, object], splits: dict[str, bytes]) -> str:
        """Seal a prepared dataset and keep it."""
        folder = self.root / "prepared"
        folder.mkdir()
        for name, data in splits.items():
            (folder / f"{name}.jsonl").write_bytes(data)
        artifacts.seal(folder, body)
        return self.datasets.add(str(folder))

    def train(self, dataset: str, **config: object) -> StageResult:
        return train(
            self.store,
            self.datasets,
            self.bundles,
            TRAINERS["tfidf-linear"](),
            step=step("train", task="intents", run=f"intents#{len(self.done()) + 1}"),
            dataset_digest=dataset,
            config=config,
            seed=3,
            workdir=self.work,
            now=self.clock.now,
            progress=lambda _share, _words: self.clock.advance(MILLISECOND),
        )

    def done(self) -> list[StageResult]:
        """What is on record."""
        return self.store.scan(StageResult)


SPLITS = {
    "train": jsonl.encode(tiny.examples(90, 1)),
    "validation": jsonl.encode(tiny.examples(30, 2)),
    "test": b"the stage does not open this file",
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_record_says_what_came_out(site: Site) -> None:
    """T3, R1: it is stored with its ledger entry, and names a bundle that loads."""
    digest = site.dataset({"labels": LABELS}, SPLITS)
    begun = site.clock.now()
    done = site.train(digest, C=2.0)
    assert site.done() == [done]
    assert (done.run, done.name, done.task) == ("intents#1", "train", "intents")
    assert begun < done.at == site.clock.now()
    assert done.report["validation_texts"] == 30
    bundled = done.output["bundle"]
    model = bundle.load(site.bundles.path(bundled), bundled)
    assert list(model.labels) == LABELS
    (entry,) = site.store.scan(LedgerEntry)
    assert entry.kind == "stage"
    assert (entry.body["run"], entry.body["output"]) == (done.run, {"bundle": bundled})
    assert ledger.chain(None, [(entry.kind, entry.body)], at=done.at) == [entry]
    assert list(site.work.iterdir()) == []


def test_the_same_training_gives_the_same_bundle(site: Site) -> None:
    """T6: and each is on record."""
    digest = site.dataset({"labels": LABELS}, SPLITS)
    first, second = site.train(digest), site.train(digest)
    assert first.output == second.output
    assert first.run != second.run
    assert [entry.kind for entry in site.store.scan(LedgerEntry)] == ["stage", "stage"]


def test_a_failed_training_leaves_nothing(site: Site) -> None:
    """No record, no ledger entry, no bundle, no half-written folder."""
    digest = site.dataset({"labels": LABELS}, SPLITS)
    with pytest.raises(BadInput, match="unknown depth; known: C"):
        site.train(digest, depth=3)
    assert site.done() == []
    assert site.store.scan(LedgerEntry) == []
    assert not (site.root / "bundles").exists()
    assert list(site.work.iterdir()) == []


def test_an_unknown_dataset(site: Site) -> None:
    """Says what there is."""
    known = site.dataset({"labels": LABELS}, SPLITS)
    with pytest.raises(NotFound, match=known):
        site.train("sha256:" + "0" * 64)


def test_a_changed_dataset_is_refused(site: Site) -> None:
    """Even where the file that changed is not needed."""
    digest = site.dataset({"labels": LABELS}, SPLITS)
    Path(site.datasets.path(digest), "test.jsonl").write_bytes(b"other")
    with pytest.raises(Tampered, match=r"test\.jsonl"):
        site.train(digest)


@pytest.mark.parametrize(
    ("body", "splits", "problem"),
    [
        ({}, SPLITS, "lists no labels"),
        ({"labels": LABELS}, {"train": SPLITS["train"]}, r"validation\.jsonl"),
        (
            {"labels": LABELS},
            {**SPLITS, "train": b'{"text":"a","label":"pin"}\n{"text":"b"}\n'},
            r"train\.jsonl: line 2: .*label",
        ),
    ],
)
def test_a_dataset_that_is_not_prepared(
    site: Site, body: dict[str, object], splits: dict[str, bytes], problem: str
) -> None:
    """The message names the file and the line."""
    digest = site.dataset(body, splits)
    with pytest.raises(BadInput, match=problem):
        site.train(digest)
