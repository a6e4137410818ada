"""Evaluate (E1, E2, R3): from the bundle, on test rows alone, sealed by its digest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eval import intent_eval
from greenlight import artifacts
from greenlight.adapters.blobs import FolderBlobs
from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core import fingerprint, gates, ledger
from greenlight.core.errors import BadInput, NotFound, Tampered
from greenlight.core.policy import GateRule
from greenlight.core.records import Evaluation, LedgerEntry, Version, VersionStatus
from greenlight.datasets import PublicSource
from greenlight.ports import Example, Prediction
from greenlight.stages.collect import collect
from greenlight.stages.curate import curate
from greenlight.stages.evaluate import BATCH, evaluate

SOURCE = PublicSource(
    name="demo",
    origin="https://data.example/demo",
    licence="CC0-1.0",
    citation="Nobody",
    train=[Example(f"{label} {n}", label) for label in ("no", "yes") for n in range(10)],
    test=[Example(f"{label} test {n}", label) for label in ("no", "yes") for n in range(100)],
)
REPORT = {"train_accuracy": 0.99, "validation_accuracy": 0.9}


class FirstWord:
    """A model that reads the label off the text, as its bundle's file `rule` says."""

    def __init__(self, folder: str) -> None:
        self.labels: Sequence[str] = Path(folder, "rule").read_text(encoding="utf-8").split()
        self.seen: list[str] = []

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        assert len(texts) <= BATCH
        self.seen += texts
        return [Prediction(self.labels[text.startswith("yes")], 0.75) for text in texts]


class Bench:
    """A curated dataset, a sealed bundle and a version of it."""

    def __init__(self, root: Path, rule: str) -> None:
        self.records = MemoryStore()
        self.raw, self.processed = FolderBlobs(root / "raw"), FolderBlobs(root / "processed")
        self.bundles = FolderBlobs(root / "bundles")
        self.loaded: list[FirstWord] = []
        self.told: list[float] = []
        self.out = root / "artifacts" / "eval.json"
        work = root / "work"
        raw = collect(self.records, self.raw, SOURCE, task="intent", now=1, workdir=work)
        self.dataset = curate(
            self.records,
            self.raw,
            self.processed,
            raw.digest,
            task="intent",
            seed=2025,
            now=2,
            workdir=work,
        )
        made = root / "bundle"
        made.mkdir()
        (made / "rule").write_text(rule, encoding="utf-8")
        artifacts.seal(made, {"format": "test"})
        self.bundle = self.bundles.add(str(made))
        self.version = Version(
            digest="sha256:" + "1" * 64,
            task="intent",
            label="intent@1",
            bundle=self.bundle,
            runtime={"kind": "in_process"},
            lineage={},
            initiator="ana",
            status=VersionStatus.REGISTERED,
            at=3,
        )

    def load(self, folder: str) -> FirstWord:
        self.loaded.append(FirstWord(folder))
        return self.loaded[-1]

    def evaluate(self, **changes: Any) -> Evaluation:
        arguments = {
            "task": "intent",
            "version": self.version,
            "dataset_digest": self.dataset.digest,
            "training_report": REPORT,
            "environment": {"python": "3.11"},
            "now": lambda: 5,
            "progress": lambda share, _: self.told.append(share),
            "out": self.out,
            **changes,
        }
        return evaluate(self.records, self.processed, self.bundles, self.load, **arguments)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, "no yes")


def test_the_document(bench: Bench) -> None:
    found = bench.evaluate()
    document = found.document
    assert found.digest == fingerprint.digest(document)
    assert found.version == document["version"] == bench.version.digest
    assert document["bundle"] == bench.bundle
    assert document["dataset"]["digest"] == bench.dataset.digest
    assert document["dataset"]["splits"] == bench.dataset.manifest["files"]
    assert document["protocol"] == {
        "module": "eval.intent_eval",
        "digest": intent_eval.protocol_digest(),
    }
    test = document["intent"]["test"]
    assert test["accuracy"]["value"] == 1.0
    assert test["accuracy"]["n"] == 200
    assert test["labels"] == ["no", "yes"]
    assert test["ece"]["value"] == pytest.approx(0.25)
    assert document["intent"]["train"] == {"accuracy": {"value": 0.99}}
    assert document["intent"]["train_val_gap"]["value"] == pytest.approx(0.09)
    assert document["environment"] == {"python": "3.11"}
    assert document["rows_per_s"] > 0
    assert msgspec.json.decode(bench.out.read_bytes()) == document
    assert [path.name for path in bench.out.parent.iterdir()] == ["eval.json"]


def test_only_test_rows_are_shown_to_the_model(bench: Bench) -> None:
    """E3: nothing is selected here, and training rows are not predicted."""
    bench.evaluate()
    (model,) = bench.loaded
    assert model.seen == [row.text for row in SOURCE.test]
    assert bench.told == [BATCH / 200, 1.0]


def test_it_is_recorded_with_its_ledger_entry(bench: Bench) -> None:
    found = bench.evaluate()
    assert bench.records.get(Evaluation, found.digest) == found
    chain = bench.records.scan(LedgerEntry)
    assert chain[-1].kind == "evaluation"
    assert chain[-1].body["evaluation"] == found.digest
    assert not ledger.problems(chain)


def test_a_wrong_order_of_labels_shows(tmp_path: Path) -> None:
    found = Bench(tmp_path, "yes no").evaluate().document
    assert found["intent"]["test"]["accuracy"]["value"] == 0.0


def test_a_label_that_the_data_does_not_know_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="predicted label 'maybe'"):
        Bench(tmp_path, "no maybe").evaluate()


def test_the_image_is_named_or_its_absence_explained(bench: Bench) -> None:
    document = bench.evaluate().document
    assert document["image_digest"] == "none"
    assert "GREENLIGHT_IMAGE_DIGEST" in document["image_digest_reason"]
    named = bench.evaluate(environment={"image_digest": "sha256:i"}).document
    assert named["image_digest"] == "sha256:i"
    assert "image_digest_reason" not in named


def test_a_gap_that_nobody_measured_passes_no_gate(bench: Bench) -> None:
    """E6, T7: without training accuracies there is no number for the gate to pass."""
    document = bench.evaluate(training_report={"train_accuracy": 0.99}).document
    assert "value" not in document["intent"]["train_val_gap"]
    (result,) = gates.check(document, {"train_val_gap": GateRule(warn=0.03)})
    assert result.outcome == "fail"


@pytest.mark.parametrize("part", ["bundle", "dataset"])
def test_a_changed_file_is_refused_before_anything_runs(bench: Bench, part: str) -> None:
    if part == "bundle":
        Path(bench.bundles.path(bench.bundle), "rule").write_text("yes no", encoding="utf-8")
    else:
        path = Path(bench.processed.path(bench.dataset.digest), "test.jsonl")
        path.write_bytes(path.read_bytes().replace(b"test 7", b"test 8"))
    with pytest.raises(Tampered):
        bench.evaluate()
    assert not bench.loaded
    assert not bench.records.scan(Evaluation)


def test_what_does_not_belong_together_is_refused(bench: Bench) -> None:
    with pytest.raises(NotFound, match="curate it first"):
        bench.evaluate(dataset_digest="sha256:" + "0" * 64)
    with pytest.raises(BadInput, match="version belongs to task 'intent', not to 'other'"):
        bench.evaluate(task="other")
    with pytest.raises(BadInput, match="dataset belongs to task"):
        bench.evaluate(task="x", version=msgspec.structs.replace(bench.version, task="x"))
