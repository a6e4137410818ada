"""A place to collect and curate in, and sources made of lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from greenlight import artifacts, testing
from greenlight.adapters.blobs import FolderBlobs
from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core import fingerprint
from greenlight.core.curation import CLASSIFY, Kind, Row
from greenlight.core.records import Dataset, StageResult
from greenlight.ports.source import Source
from greenlight.recording import Step
from greenlight.stages.collect import collect
from greenlight.stages.curate import curate


class Rows(msgspec.Struct, kw_only=True):
    """A `Source` of rows in lists: `rows` to be split by unit, or `train` and `test`, and maybe
    `validation`."""

    rows: Sequence[Row] = ()
    train: Sequence[Row] = ()
    validation: Sequence[Row] = ()
    test: Sequence[Row] = ()
    name: str = "demo"
    origin: str = "https://data.example/demo"
    licence: str = "CC0-1.0"
    citation: str = "Nobody"
    details: dict[str, Any] = {}
    exclusions: dict[str, int] = {}
    queries: int = 0
    prompts: dict[str, dict[str, Any]] = {}

    @property
    def own_split(self) -> bool:
        return not self.rows

    def chunks(self, size: Callable[[], int]) -> Iterator[tuple[str, Sequence[Row]]]:
        for split in ("train", "validation", "test", "rows"):
            rows = getattr(self, split)
            start = 0
            while start < len(rows):
                some = rows[start : start + size()]
                start += len(some)
                yield split, some


class Place:
    """A store with two folders of blobs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.work = root / "work"
        self.work.mkdir(parents=True)
        self.records = MemoryStore()
        self.raw = FolderBlobs(root / "raw")
        self.processed = FolderBlobs(root / "processed")
        self.results: list[StageResult] = []

    def collect(
        self, source: Source, *, task: str = "intent", now: int = 1, **options: Any
    ) -> Dataset:
        """The dataset that collecting gave; its stage's result is the last of `results`."""
        done = collect(
            self.records,
            self.raw,
            source,
            step=self._step("collect", task),
            now=lambda: now,
            workdir=self.work,
            **options,
        )
        return self._dataset(done)

    def curate(self, digest: str, *, seed: int = 2025, now: int = 2, **options: Any) -> Dataset:
        """The dataset that curating gave; its stage's result is the last of `results`."""
        done = curate(
            self.records,
            self.raw,
            self.processed,
            digest,
            step=self._step("curate", "intent"),
            seed=seed,
            now=lambda: now,
            workdir=self.work,
            **options,
        )
        return self._dataset(done)

    def prepare(self, source: Source, *, kind: Kind = CLASSIFY, **options: Any) -> Dataset:
        """Both, one after the other."""
        return self.curate(self.collect(source, kind=kind).digest, **options)

    def rows(self, dataset: Dataset, split: str) -> list[Row]:
        """What a prepared dataset holds."""
        return artifacts.read_rows(self.processed.path(dataset.digest), split, Row)

    def nothing_is_left(self) -> bool:
        """Whether the scratch folder is empty and no blob is half there."""
        roots = [root for root in (self.root / "raw", self.root / "processed") if root.exists()]
        hidden = [path for root in roots for path in root.iterdir() if path.name.startswith(".")]
        return not list(self.work.iterdir()) and not hidden

    def _step(self, stage: str, task: str) -> Step:
        return testing.step(stage, task=task, run=f"{task}#{len(self.results) + 1}")

    def _dataset(self, done: StageResult) -> Dataset:
        self.results.append(done)
        found = self.records.get(Dataset, done.output["dataset"])
        assert found is not None
        return found


def manifest_counts(dataset: Dataset, key: str) -> Mapping[str, int]:
    """What a manifest counts under a key, without what was never seen."""
    return {name: count for name, count in dataset.manifest[key].items() if count}


def unit(name: str) -> str:
    """A pseudonym."""
    return fingerprint.digest_bytes(f"intent\n{name}".encode())
