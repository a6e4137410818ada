"""How fast the SQLite store takes events and answers what the controller asks every second.

    python -m benchmarks.stores [folder]

Seeded; one rollout with two epochs, in batches of 500 as the gateway sends them. Prints one line
per figure and writes benchmarks/results/stores.json. Every commit waits for the disk (see
`adapters/stores/sqlite.py`), so the folder's disk matters.
"""

from __future__ import annotations

import gc
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.harness import provenance, save
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.answers import Exposure
from greenlight.core.ids import uuid7
from greenlight.core.records import SECOND, Feedback, Inference, JournalEntry, LedgerEntry
from greenlight.core.states import Status, Variant

ROLLOUT = "r1"
BATCH = 500
START = 1_700_000_000 * SECOND
FOREVER = START + 10**15
INFERENCES = 50_000
UNITS = 9_000
EXPOSURES = 100_000

T = TypeVar("T")


def inference(n: int, unit: int, units: int, epoch: int, rng: random.Random) -> Inference:
    """A request, a millisecond after the one before."""
    at = START + n * 1_000
    candidate = unit < units // 10
    return Inference(
        id=uuid7(at, rng.randbytes(10)),
        task="intent",
        version="sha256:" + "1" * 64,
        served_version="sha256:" + "1" * 64,
        variant=Variant.CANDIDATE if candidate else Variant.CONTROL,
        rollout=ROLLOUT,
        epoch=epoch,
        weight=0.1,
        bucket=unit / units,
        unit=f"user-{unit}",
        unit_source="header",
        input="How do I get my card back? The machine has swallowed it.",
        output="card_swallowed",
        score=0.9,
        oos=None,
        latency_ms=12.5,
        status=Status.ERROR if rng.random() < 0.02 else Status.OK,
        fallback_from=None,
        config_digest="sha256:" + "0" * 64,
        at=at,
    )


def feedback(on: Inference, rng: random.Random) -> Feedback:
    """GOOD nine times of ten, three seconds later."""
    at = on.at + 3 * SECOND
    return Feedback(
        id=uuid7(at, rng.randbytes(10)),
        inference_id=on.id,
        metric="quality",
        value=float(rng.random() < 0.9),
        at=at,
    )


def entries(exposures: Sequence[Exposure], test: str, first: int) -> list[JournalEntry]:
    """Evidence of a test for exposures, numbered from `first`."""
    return [
        JournalEntry(
            rollout=ROLLOUT,
            seq=seq,
            test=test,
            unit=exposure.unit,
            epoch=exposure.epoch,
            arm=exposure.variant,
            pi=0.1,
            y=1.0,
            minute=1,
            at=exposure.at,
        )
        for seq, exposure in enumerate(exposures, first)
    ]


def batches(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """In the order given, `BATCH` at a time."""
    for start in range(0, len(values), BATCH):
        yield values[start : start + BATCH]


FIGURES: dict[str, dict[str, float]] = {}
"""What was measured → its figures."""


def show(what: str, seconds: Sequence[float], rows: int | None = None) -> None:
    """Note the median and the slowest of some calls, and the rows per second of all of them."""
    figures = {"median_ms": 1000 * statistics.median(seconds), "max_ms": 1000 * max(seconds)}
    if rows is not None:
        figures["rows_per_s"] = rows / sum(seconds)
    note(what, figures)


def note(what: str, figures: dict[str, float]) -> None:
    """Keep and print figures."""
    FIGURES[what] = {name: round(value, 2) for name, value in figures.items()}
    print(f"{what:48}", *(f"{name} {value:12,.2f}" for name, value in figures.items()))


def timed(calls: Sequence[Callable[[], object]]) -> list[float]:
    """How long each call takes, in seconds."""
    gc.collect()
    gc.freeze()
    taken = []
    for call in calls:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return taken


def arrival(store: SqlStore) -> None:
    """Ingest, and the questions of one controller pass."""
    rng = random.Random(1)
    made = [
        inference(n, rng.randrange(UNITS), UNITS, 1 + 2 * n // INFERENCES, rng)
        for n in range(INFERENCES)
    ]
    words = [feedback(on, rng) for on in made if rng.random() < 0.6]
    show(
        f"ingest {BATCH} inferences",
        timed([partial(store.ingest, b, []) for b in batches(made)]),
        len(made),
    )
    show(
        f"ingest {BATCH} feedback",
        timed([partial(store.ingest, [], b) for b in batches(words)]),
        len(words),
    )
    show("summarise 50,000 inferences", timed([lambda: store.summarise(ROLLOUT)] * 20))
    page = store.exposures(ROLLOUT, lacking="fast", until=FOREVER)
    ask = [lambda: store.exposures(ROLLOUT, lacking="fast", until=FOREVER)]
    show(f"exposures, {len(page):,} in the answer", timed(ask * 5))
    said = [lambda: store.feedback_on(ROLLOUT, "quality", page, FOREVER)]
    show(f"feedback on {len(page):,} exposures", timed(said * 5))
    show("past of their units", timed([lambda: store.past(ROLLOUT, [e.unit for e in page])] * 5))
    links = [LedgerEntry(seq=n, prev="", digest="", kind="k", body={}, at=n) for n in range(200)]
    show("commit of one record", timed([partial(store.commit, append=[x]) for x in links]))


def age(store: SqlStore) -> None:
    """The same question, young and old: 100,000 exposures of which 99,000 are journaled."""
    rng = random.Random(2)
    made = [inference(n, n, EXPOSURES, 1, rng) for n in range(EXPOSURES)]
    show(
        f"ingest {BATCH} inferences, each a new unit",
        timed([partial(store.ingest, b, []) for b in batches(made)]),
        len(made),
    )
    written = 0
    seconds = []
    while written < EXPOSURES - 1_000:
        limit = min(9_000, EXPOSURES - 1_000 - written)
        page = store.exposures(ROLLOUT, lacking="fast", until=FOREVER, limit=limit)
        rows = entries(page, "fast", written)
        seconds += timed([partial(store.commit, append=rows)])
        written += len(page)
    show("commit of 9,000 journal entries", seconds, written)
    ask = [lambda: store.exposures(ROLLOUT, lacking="fast", until=FOREVER)]
    show("exposures, 1,000 left of 100,000", timed(ask * 20))
    some = [lambda: store.exposures(ROLLOUT, lacking="fast", until=START)]
    show("exposures, none of them due", timed(some * 20))


def main() -> None:
    """Run both on fresh files."""
    began = provenance()
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    for work in (arrival, age):
        with tempfile.TemporaryDirectory(dir=parent) as folder:
            path = Path(folder, "store.db")
            store = SqlStore(f"sqlite:///{path}")
            work(store)
            store.close()
            note(f"size of the file ({work.__name__})", {"mb": path.stat().st_size / 1e6})
    save("stores", began, {"figures": FIGURES})


if __name__ == "__main__":
    main()
