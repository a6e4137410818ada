"""Answers with feedback into a dataset: how many queries, against one row at a time.

    python -m benchmarks.collecting [folder]

Seeded: 200,000 answers in the store, every second one judged. Collected in pages of 1,000 as
`greenlight run` does, and, for comparison, 2,000 of them by asking for each answer and for its
feedback. Queries are counted in the driver. Writes benchmarks/results/collecting.json.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from benchmarks.harness import provenance, save
from benchmarks.stores import FOREVER, START, batches, feedback, inference
from greenlight import testing
from greenlight.adapters.blobs import FolderBlobs
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.labelling import LabelPolicy
from greenlight.core.records import Feedback, Inference
from greenlight.sources.feedback import PAGE, FeedbackSource, Window
from greenlight.sources.rows import Bounds
from greenlight.stages.collect import collect

ANSWERS, UNITS = 200_000, 9_000
ONE_BY_ONE = 2_000


def fill(store: SqlStore) -> list[str]:
    """Store the answers; returns the ids of those that were judged."""
    rng = random.Random(1)
    judged = []
    for some in batches(range(ANSWERS)):
        made = [inference(n, rng.randrange(UNITS), UNITS, 1, rng) for n in some]
        store.ingest(made, [feedback(answer, rng) for answer in made[::2]])
        judged += [answer.id for answer in made[::2]]
    return judged


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


def paged(store: SqlStore, folder: Path) -> dict[str, Any]:
    """Collect all of them."""
    source = FeedbackSource(
        events=store,
        task="intent",
        window=Window(since=START, until=FOREVER),
        policy=LabelPolicy(),
        bounds=Bounds(),
        licence="CC0-1.0",
        citation="Nobody",
        progress=lambda *_: None,
    )
    with counting() as queries:
        began = time.perf_counter()
        done = collect(
            store,
            FolderBlobs(folder / "raw"),
            source,
            step=testing.step("collect"),
            now=lambda: FOREVER,
            workdir=folder,
            size=lambda: PAGE,
        )
        seconds = time.perf_counter() - began
    rows = done.report["rows"]
    return {
        "rows": rows,
        "exclusions": done.report["exclusions"],
        "queries": len(queries),
        "queries_stated": done.report["queries"],
        "seconds": round(seconds, 2),
        "rows_per_s": round(rows / seconds),
    }


def one_by_one(store: SqlStore, judged: list[str]) -> dict[str, Any]:
    """What somebody would write first."""
    with counting() as queries:
        began = time.perf_counter()
        for name in judged[:ONE_BY_ONE]:
            store.get(Inference, name)
            store.scan(Feedback, {"inference_id": name})
        seconds = time.perf_counter() - began
    return {
        "rows": ONE_BY_ONE,
        "queries": len(queries),
        "seconds": round(seconds, 2),
        "rows_per_s": round(ONE_BY_ONE / seconds),
    }


def main() -> None:
    """Measure both."""
    began = provenance()
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        folder = Path(name)
        store = SqlStore(f"sqlite:///{folder / 'store.db'}")
        judged = fill(store)
        found: dict[str, Any] = {
            "answers": ANSWERS,
            "judged": len(judged),
            "paged": paged(store, folder),
            "one_by_one": one_by_one(store, judged),
        }
        store.close()
    per_row = [found[way]["queries"] / found[way]["rows"] for way in ("paged", "one_by_one")]
    found["fewer_queries"] = round(1 - per_row[0] / per_row[1], 4)
    print(found)
    save("collecting", began, found)


if __name__ == "__main__":
    main()
