"""How long a purge takes, and how long those wait who write meanwhile.

    python -m benchmarks.purge [folder]

Seeded: 100,000 answers of 9,000 units with feedback on every second one, and a journal of all
their exposures. Another connection stores an answer twenty times a second while one unit is
erased, and then while everybody is. Prints the figures and writes benchmarks/results/purge.json.
"""

from __future__ import annotations

import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.harness import provenance, save
from benchmarks.stores import FOREVER, ROLLOUT, batches, entries, feedback, inference
from greenlight.adapters.blobs import FolderBlobs
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.retention import Order
from greenlight.stages.purge import purge

ANSWERS, UNITS = 100_000, 9_000
TESTS = ("exposure", "fast", "presence")
PAUSE = 0.05


def fill(path: Path) -> None:
    """A store with a rollout's worth of events, all of them judged."""
    rng = random.Random(1)
    store = SqlStore(f"sqlite:///{path}")
    made = [inference(n, rng.randrange(UNITS), UNITS, 1 + n // 50_000, rng) for n in range(ANSWERS)]
    for batch in batches(made):
        store.ingest(batch, [feedback(answer, rng) for answer in batch[::2]])
    seq = 1
    for test in TESTS:
        for some in batches(store.exposures(ROLLOUT, lacking=test, until=FOREVER, limit=ANSWERS)):
            store.commit(append=entries(some, test, seq))
            seq += len(some)
    store.close()


@contextmanager
def traffic(path: Path, waits: list[float]) -> Iterator[None]:
    """Store an answer again and again, and note how long each took."""
    over = threading.Event()

    def gateway() -> None:
        store, rng = SqlStore(f"sqlite:///{path}"), random.Random(2)
        for n in range(10**9):
            answer = inference(n, 0, UNITS, 1, rng)
            late = msgspec.structs.replace(answer, rollout=None, unit="late", at=FOREVER + n)
            began = time.perf_counter()
            store.ingest([late], [])
            waits.append(time.perf_counter() - began)
            if over.wait(PAUSE):
                break
        store.close()

    thread = threading.Thread(target=gateway)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def measure(filled: Path, unit: str | None) -> dict[str, Any]:
    """Erase a unit, or everybody, from a copy of the store."""
    folder = filled.with_name(f"of {unit or 'everybody'}")
    folder.mkdir()
    path = Path(shutil.copy(filled, folder))
    store = SqlStore(f"sqlite:///{path}")
    began = time.perf_counter()
    anew: list[float] = []

    def progress(_share: float, words: str) -> None:
        if words == "writing the store anew":
            anew.append(time.perf_counter())

    waits: list[float] = []
    with traffic(path, waits):
        done = purge(
            store,
            [FolderBlobs(folder / "raw")],
            Order(task="intent", unit=unit, before=FOREVER, initiator="benchmark"),
            places=[],
            drills=folder / "drills",
            now=lambda: FOREVER,
            random=random.Random(3).randbytes,
            progress=progress,
        )
        ended = time.perf_counter()
    store.close()
    return {
        "rows": done.found.rows,
        "seconds": round(ended - began, 2),
        "of_which_store_anew": round(ended - anew[0], 2),
        "writers_waited_ms_median": round(statistics.median(waits) * 1000, 1),
        "writers_waited_ms_most": round(max(waits) * 1000),
        "megabytes_before": round(filled.stat().st_size / 1e6),
        "megabytes_after": round(path.stat().st_size / 1e6),
    }


def main() -> None:
    """Fill a store once, and erase from two copies of it."""
    came = provenance()
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as folder:
        filled = Path(folder) / "store.db"
        fill(filled)
        found = {"one_unit": measure(filled, "user-7"), "everybody": measure(filled, None)}
    for name, figures in found.items():
        print(name, figures)
    save("purge", came, found)


if __name__ == "__main__":
    main()
