"""Collect: rows as they came, in a sealed folder that never changes."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from greenlight.core import jsonl
from greenlight.core.curation import Row
from greenlight.core.errors import MissingData
from greenlight.core.records import StageResult
from greenlight.ports import Blobs, Records
from greenlight.recording import Step, finish_dataset

FORMAT = "greenlight.dataset.raw/1"


class Source(Protocol):
    """Where rows come from. It hands them over in chunks and never holds them all."""

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
    def own_split(self) -> bool:
        """Whether the rows come as train and test; otherwise curation splits them by unit."""
        ...

    @property
    def details(self) -> Mapping[str, Any]:
        """How the rows were chosen (window, filter), for the manifest."""
        ...

    @property
    def exclusions(self) -> Mapping[str, int]:
        """Reason → rows that were not handed over; complete after the last chunk."""
        ...

    @property
    def queries(self) -> int:
        """How often the store was asked; complete after the last chunk."""
        ...

    def chunks(self, size: Callable[[], int]) -> Iterator[tuple[str, Sequence[Row]]]:
        """Split (`train`, `test`, or `rows`) and rows, at most `size()` at a time.

        Raises:
            BadInput: a row that cannot be read; the message names it.
        """
        ...


def collect(
    records: Records,
    raw: Blobs,
    source: Source,
    *,
    step: Step,
    size: Callable[[], int],
    now: Callable[[], int],
    workdir: str | Path,
) -> StageResult:
    """Seal a source's rows, untouched, and record them; the same rows again change nothing.

    Raises:
        MissingData: a split of the source is empty.
        BadInput: a row that cannot be read.
    """
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="dataset-", dir=workdir) as folder:
        for split, rows in source.chunks(size):
            counts[split] += len(rows)
            with Path(folder, f"{split}.jsonl").open("ab") as file:
                file.write(jsonl.encode(rows))
        for split in ("train", "test") if source.own_split else ("rows",):
            if not counts[split]:
                raise MissingData(f"data set {source.name}: {split} has no rows; check its source")
        body = {
            "format": FORMAT,
            "name": source.name,
            "task": step.task,
            "origin": source.origin,
            "licence": source.licence,
            "citation": source.citation,
            "counts": dict(counts),
            **source.details,
        }
        report = {"exclusions": dict(source.exclusions), "queries": source.queries}
        return finish_dataset(records, raw, folder, body, step=step, report=report, now=now())
