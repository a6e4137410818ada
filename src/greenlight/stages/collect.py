"""Collect: rows as they came, in a sealed folder that never changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from greenlight.core.errors import MissingData
from greenlight.core.records import Dataset
from greenlight.ports import Blobs, Example, Records
from greenlight.recording import record_dataset

FORMAT = "greenlight.dataset.raw/1"


class Source(Protocol):
    """Labelled texts with their own split; see `greenlight.datasets.Source`."""

    @property
    def name(self) -> str:
        """What the data set is called."""
        ...

    @property
    def origin(self) -> str:
        """Where it was published."""
        ...

    @property
    def licence(self) -> str:
        """What it may be used for."""
        ...

    @property
    def citation(self) -> str:
        """Whose work it is."""
        ...

    @property
    def train(self) -> Sequence[Example]:
        """Rows to learn from."""
        ...

    @property
    def test(self) -> Sequence[Example]:
        """Rows to judge by."""
        ...


def collect(
    records: Records, raw: Blobs, source: Source, *, task: str, now: int, workdir: str | Path
) -> Dataset:
    """Seal a source's rows, untouched, and record them; the same rows again change nothing.

    Raises:
        MissingData: a split of the source is empty.
        Conflict: somebody recorded it at the same moment; again returns what they recorded.
    """
    splits = {"train": source.train, "test": source.test}
    for split, rows in splits.items():
        if not rows:
            raise MissingData(f"data set {source.name}: {split} has no rows; check its source")
    body = {
        "format": FORMAT,
        "name": source.name,
        "task": task,
        "origin": source.origin,
        "licence": source.licence,
        "citation": source.citation,
    }
    return record_dataset(records, raw, splits, body, now=now, workdir=workdir)
