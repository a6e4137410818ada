"""Answers with feedback into a dataset: how many queries, against one row at a time.

    python -m benchmarks.collecting [folder]

Seeded: 200,000 answers in the store, every second one judged. Collected in pages of 1,000 as
`greenlight run` does, and, for comparison, 2,000 of them by asking for each answer and for its
feedback; both ways must give the same rows. Queries are counted in the driver. Writes
benchmarks/results/collecting.json; `benchmarks.pipeline` measures the same beside its other
figures.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import event
from sqlalchemy.engine import Engine

from benchmarks.harness import provenance, save
from benchmarks.stores import FOREVER, START, batches, feedback, inference
from greenlight import artifacts, testing
from greenlight.adapters.blobs import FolderBlobs
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core import labelling
from greenlight.core.curation import Row
from greenlight.core.labelling import LabelPolicy
from greenlight.core.records import Feedback, Inference
from greenlight.sources.feedback import PAGE, DataCollector, Window
from greenlight.sources.rows import Bounds
from greenlight.stages.collect import collect

ANSWERS, UNITS = 200_000, 9_000
ONE_BY_ONE = 2_000


def fill(
    store: SqlStore, answers: int, *, every: int = 2, text: Callable[[int], str] | None = None
) -> list[str]:
    """Store answers; returns the ids of those that were judged.

    Args:
        store: takes them.
        answers: how many.
        every: each answer of so many is judged.
        text: the number of an answer → what was asked; without it, always the same.
    """
    rng = random.Random(1)
    judged = []
    for some in batches(range(answers)):
        made = [inference(n, rng.randrange(UNITS), UNITS, 1, rng) for n in some]
        if text is not None:
            pairs = zip(some, made, strict=True)
            made = [msgspec.structs.replace(answer, input=text(n)) for n, answer in pairs]
        store.ingest(made, [feedback(answer, rng) for answer in made[::every]])
        judged += [answer.id for answer in made[::every]]
    return judged


def collector(store: SqlStore) -> DataCollector:
    """What hands over every answer of the store that was judged."""
    return DataCollector(
        events=store,
        task="intent",
        window=Window(since=START, until=FOREVER),
        policy=LabelPolicy(),
        bounds=Bounds(),
        licence="CC0-1.0",
        citation="Nobody",
        progress=lambda *_: None,
    )


@contextmanager
def counting() -> Iterator[list[str]]:
    """Every statement that reaches the database meanwhile."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def paged(store: SqlStore, folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Collect all of them; returns the figures, and the label of every answer that has one."""
    raw = FolderBlobs(folder / "raw")
    with counting() as queries:
        began = time.perf_counter()
        done = collect(
            store,
            raw,
            collector(store),
            step=testing.step("collect"),
            now=lambda: FOREVER,
            workdir=folder,
            size=lambda: PAGE,
        )
        seconds = time.perf_counter() - began
    rows = done.report["rows"]
    labels = {
        row.inference: row.label
        for row in artifacts.iter_rows(raw.path(done.output["dataset"]), "rows", Row)
    }
    figures = {
        "rows": rows,
        "exclusions": done.report["exclusions"],
        "queries": len(queries),
        "queries_stated": done.report["queries"],
        "seconds": round(seconds, 2),
        "rows_per_s": round(rows / seconds),
    }
    return figures, labels


def one_by_one(store: SqlStore, judged: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What somebody would write first, for some answers; returns the same as `paged`."""
    labels: dict[str, str] = {}
    with counting() as queries:
        began = time.perf_counter()
        for name in judged:
            answer = store.get(Inference, name)
            words = store.scan(Feedback, {"inference_id": name})
            assert answer is not None
            found = labelling.label(answer, words, LabelPolicy())
            if found.label is not None:
                labels[name] = found.label
        seconds = time.perf_counter() - began
    figures = {
        "rows": len(judged),
        "queries": len(queries),
        "seconds": round(seconds, 2),
        "rows_per_s": round(len(judged) / seconds),
    }
    return figures, labels


def compare(folder: Path, answers: int, some: int) -> dict[str, Any]:
    """Both ways on one store.

    Args:
        folder: where the store and the rows are made.
        answers: how many are in the store; every second one is judged.
        some: how many of those that are judged are asked for one at a time.

    Raises:
        ValueError: the two ways do not give the same rows.
    """
    store = SqlStore(f"sqlite:///{folder / 'store.db'}")
    judged = fill(store, answers)
    collected, labels = paged(store, folder)
    asked, expected = one_by_one(store, judged[:some])
    store.close()
    if expected != {name: labels[name] for name in judged[:some] if name in labels}:
        raise ValueError("rows collected in pages are not those that are found one by one")
    # Of what was looked at: an answer without a label is asked for like any other.
    per_answer = [collected["queries"] / len(judged), asked["queries"] / len(judged[:some])]
    return {
        "answers": answers,
        "judged": len(judged),
        "paged": collected,
        "one_by_one": asked,
        "fewer_queries": round(1 - per_answer[0] / per_answer[1], 4),
    }


def main() -> None:
    """Measure both."""
    began = provenance()
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        found = compare(Path(name), ANSWERS, ONE_BY_ONE)
    print(found)
    save("collecting", began, found)


if __name__ == "__main__":
    main()
