"""Collect and curate (D7, D8): sealed, named by content, recorded once, on the ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from greenlight import artifacts
from greenlight.core import ledger
from greenlight.core.curation import Row
from greenlight.core.errors import Aborted, BadInput, MissingData, NotFound, Tampered
from greenlight.core.records import Dataset, LedgerEntry
from greenlight.watching import FLOOR, Meter, Watch, silent
from tests.stages.preparing import Place, Rows, manifest_counts

TRAIN = [Row(f"{label}  text {n}", label) for label in ("b", "A?") for n in range(20)]
TEST = [Row("B text 3", "b"), Row("fresh\n", "A?")]
SOURCE = Rows(train=TRAIN, test=TEST, details={"window": {"days": 7}})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_collected_rows_are_as_they_came(place: Place) -> None:
    dataset = place.collect(SOURCE)
    folder = place.raw.path(dataset.digest)
    assert artifacts.read_rows(folder, "train", Row) == TRAIN
    assert artifacts.read_rows(folder, "test", Row) == TEST
    assert artifacts.unseal(folder, dataset.digest) == dataset.manifest
    assert dataset.manifest["counts"] == {"train": 40, "test": 2}
    assert dataset.manifest["origin"] == SOURCE.origin
    assert dataset.manifest["window"] == {"days": 7}


def test_curated_rows_and_their_manifest(place: Place) -> None:
    """D8: all that one must know of a dataset, down to the labels of each split."""
    raw = place.collect(SOURCE)
    dataset = place.curate(raw.digest)
    folder = place.processed.path(dataset.digest)
    manifest = artifacts.unseal(folder, dataset.digest)
    assert manifest == dataset.manifest
    assert manifest["labels"] == ["A?", "b"]
    assert manifest["parent"] == raw.digest
    assert manifest["source"] == SOURCE.origin
    assert (manifest["licence"], manifest["citation"]) == ("CC0-1.0", "Nobody")
    assert manifest["window"] == {"days": 7}
    assert manifest["pii"] == {"scrubbed": {}, "rows": 0, "unresolved": 0}
    assert manifest["seed"] == 2025
    assert manifest["counts"] == {"train": 35, "validation": 4, "test": 2}
    assert manifest["per_label"]["validation"] == {"A?": 2, "b": 2}
    assert manifest_counts(dataset, "exclusions") == {"in_test": 1}
    assert manifest["changed"] == {"text": 41, "label_whitespace": 0}
    assert set(manifest["files"]) == {"train.jsonl", "validation.jsonl", "test.jsonl"}
    assert place.rows(dataset, "test") == [Row("B text 3", "b"), Row("fresh", "A?")]
    held = {row.text for row in place.rows(dataset, "validation")}
    assert held.isdisjoint(row.text for row in place.rows(dataset, "train"))
    assert place.nothing_is_left()


def test_each_dataset_is_on_the_ledger_once(place: Place) -> None:
    raw = place.collect(SOURCE)
    made = place.curate(raw.digest)
    assert place.collect(SOURCE, now=8) == raw
    assert place.curate(raw.digest, now=9) == made
    chain = place.records.scan(LedgerEntry)
    bodies = [entry.body for entry in chain if entry.kind == "dataset"]
    assert [body["dataset"] for body in bodies] == [raw.digest, made.digest]
    assert bodies[1]["parent"] == raw.digest
    assert not ledger.problems(chain)


def test_same_inputs_same_digest_elsewhere(place: Place, tmp_path: Path) -> None:
    """T6"""
    other = Place(tmp_path / "elsewhere")
    first = place.prepare(SOURCE)
    assert other.curate(other.collect(SOURCE, now=77).digest, now=78).digest == first.digest
    assert place.prepare(SOURCE, seed=1).digest != first.digest
    assert place.collect(SOURCE, task="other").digest != place.collect(SOURCE).digest


def test_chunks_change_nothing(place: Place) -> None:
    """D5: how many rows are held at a time cannot be seen in what comes out."""

    def made(size: Callable[[], int]) -> Dataset:
        return place.curate(place.collect(SOURCE, size=size).digest, size=size)

    assert made(lambda: 1) == made(lambda: 7) == made(lambda: 1000)


def test_scarce_memory_means_small_chunks_and_the_same_dataset(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """T5: chunks shrink to the floor, one warning is logged, the run goes on."""
    sizes: list[int] = []

    class Noted(Watch):
        def __call__(self) -> int:
            sizes.append(super().__call__())
            return sizes[-1]

    many = Rows(train=[Row(f"text {n}", "ab"[n % 2]) for n in range(3000)], test=TEST[:1])
    plenty = place.prepare(many)
    tight = Noted(lambda: 2**31, 2**30)
    raw = place.collect(many, size=tight)
    assert place.curate(raw.digest, size=tight).digest == plenty.digest
    assert sizes[:4] == [500, 250, 125, 62]
    assert set(sizes[4:]) == {FLOOR}
    report = place.results[-1].report
    assert report["peak_memory"] == 2**31
    assert report["memory_warnings"] > 10
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "2048 MiB in use, above worker.memory = 1024 MiB" in caplog.text


def test_the_pace_is_reported(place: Place) -> None:
    """D5: rows per second are on record."""
    raw = place.collect(SOURCE)
    place.curate(raw.digest)
    counts = {"train": 35, "validation": 4, "test": 2}
    assert place.results[-1].report == {"rows": 42, "seconds": 0.0, "counts": counts}
    times = iter((0, 2_000_000))
    meter = Meter(lambda: 5, lambda: next(times), silent)
    meter.rows = 42
    assert meter.report() == {"rows": 42, "seconds": 2.0, "rows_per_s": 21}


@pytest.mark.parametrize("stage", ["collect", "curate"])
def test_a_stage_ends_when_progress_says_so(place: Place, stage: str) -> None:
    """T2: aborted in the middle, it leaves nothing behind and may be repeated."""
    raw = place.collect(SOURCE)
    shares: list[float] = []

    def enough(share: float, words: str) -> None:
        shares.append(share)
        if "20" in words:
            raise Aborted("enough")

    def again(**options: object) -> object:
        if stage == "collect":
            return place.collect(SOURCE, size=lambda: 10, **options)
        return place.curate(raw.digest, size=lambda: 10, **options)

    with pytest.raises(Aborted, match="enough"):
        again(progress=enough)
    assert len(shares) == 2
    assert place.nothing_is_left()
    again(progress=lambda share, _: shares.append(share))
    assert shares[2:] == sorted(shares[2:])
    assert 0.0 <= shares[-1] <= 1.0


def test_changed_rows_are_refused(place: Place) -> None:
    """R3 holds of data as of bundles."""
    digest = place.collect(SOURCE).digest
    path = Path(place.raw.path(digest), "train.jsonl")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"text 7", b"text 8"))
    with pytest.raises(Tampered, match=r"train\.jsonl"):
        place.curate(digest)


def test_what_cannot_be_prepared_is_said(place: Place) -> None:
    with pytest.raises(NotFound, match="collect it first"):
        place.curate("sha256:" + "0" * 64)
    with pytest.raises(MissingData, match="test has no rows"):
        place.collect(Rows(train=TRAIN))
    made = place.prepare(SOURCE)
    with pytest.raises(NotFound):
        place.curate(made.digest)
    both = Place(place.root / "both")
    both.processed = both.raw
    with pytest.raises(BadInput, match="prepared already"):
        both.curate(both.prepare(SOURCE).digest)
    assert place.nothing_is_left()
