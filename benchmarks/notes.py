"""What a killed evaluation of a model at a provider pays for twice, with notes and without.

    python -m benchmarks.notes

The pattern is the documented one (docs/evaluation.md, "What is remembered"): a run asks its new
version and the live one the test rows once each. Here every run is killed at an answer that a
seeded generator draws, and goes on from the beginning: what its first life paid for is read again,
and found or asked for. The provider is a class that counts: what it says makes no difference, and
what time it takes is told by `make bench-pipeline`. Writes benchmarks/results/notes.json.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import provenance, save
from benchmarks.pages import table
from greenlight import artifacts
from greenlight.adapters.blobs import FolderBlobs
from greenlight.adapters.caches.memory import MemoryCache
from greenlight.core.chat import Tokens
from greenlight.core.records import Version
from greenlight.core.states import VersionStatus
from greenlight.ports import Prediction
from greenlight.remembering import Notes, Predictor

RUNS = 50
ROWS = 3080
"""As in BANKING77's test set."""


class Killed(BaseException):
    """As by `kill -9`: nobody catches it."""


class Counting:
    """A model at a provider that counts what is paid for, and dies at an answer."""

    labels: Sequence[str] = ("card", "mail")

    def __init__(self) -> None:
        self.paid = 0
        self.dies_at = -1

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Answers, until it dies: those that were under way are paid for."""
        self.paid += len(texts)
        if 0 <= self.dies_at < self.paid:
            self.dies_at = -1
            raise Killed
        return [Prediction("card", 0.5, tokens=Tokens(100, 5), took=20.0) for _ in texts]


def run(folder: Path, rows: int, dies_at: int, *, noted: bool) -> tuple[int, int]:
    """Answers that one run had paid for when it was killed, and in the end."""
    bundles = FolderBlobs(folder / "bundles")
    model = Counting()
    asker = Predictor(
        bundles,
        lambda _: model,
        MemoryCache(1),
        code="c",
        packages="p",
        elsewhere=frozenset({"prompt"}),
    )
    versions = [_version(folder, bundles, label) for label in ("judge@1", "judge@2")]
    texts = [f"text {number}" for number in range(rows)]
    notes = Notes(folder / "answers") if noted else None
    model.dies_at, before = dies_at, 0
    for _ in range(2):
        try:
            for version in versions:
                asker.predict(version, texts, lambda *_: None, notes)
            break
        except Killed:
            before = model.paid
    return before, model.paid


def _version(folder: Path, bundles: FolderBlobs, label: str) -> Version:
    made = folder / "made"
    made.mkdir(exist_ok=True)
    artifacts.seal(made, {"format": 1, "kind": "prompt", "model": label})
    bundle = bundles.add(str(made))
    return Version(
        digest=f"sha256:{label}",
        task="judge",
        label=label,
        bundle=bundle,
        runtime={"kind": "openai"},
        lineage={},
        initiator="ana",
        status=VersionStatus.REGISTERED,
        at=0,
    )


def measured(runs: int, rows: int) -> list[dict[str, Any]]:
    """What is paid for with notes and without, over the same kills."""
    found = []
    for noted in (True, False):
        rng = random.Random(2025)
        twice, read, seconds = [], 0, []
        for _ in range(runs):
            dies_at = rng.randrange(2 * rows)
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter()
                before, paid = run(Path(folder), rows, dies_at, noted=noted)
                seconds.append(time.perf_counter() - began)
            twice.append(paid - 2 * rows)
            read += before
        found.append(
            {
                "notes": noted,
                "needed": 2 * rows,
                "twice_mean": statistics.mean(twice),
                "twice_most": max(twice),
                "hit_ratio": round(1 - sum(twice) / read, 4),
                "ms_per_run": round(1000 * statistics.median(seconds), 1),
            }
        )
    return found


def summary(found: dict[str, Any]) -> str:
    """What stands of it on the page of all benchmarks."""
    rows = [
        (
            "noted in the run's folder" if way["notes"] else "not noted",
            f"{way['needed']:,}",
            f"{way['twice_mean']:,.0f}",
            f"{way['twice_most']:,}",
            f"{way['hit_ratio']:.1%}",
        )
        for way in found["ways"]
    ]
    text = (
        f"{found['runs']} evaluations of a model at a provider beside a live one there, "
        f"{found['rows']:,} rows each; every one is killed at an answer drawn at random, and goes "
        "on.\n\n"
    )
    head = (
        "answers are",
        "needed",
        "paid for twice, mean",
        "at most",
        "found again after the kill",
    )
    return text + table(head, rows)


def main() -> None:
    """Measure both ways."""
    began = provenance()
    found = measured(RUNS, ROWS)
    for one in found:
        print(one)
    save("notes", began, {"runs": RUNS, "rows": ROWS, "ways": found})


if __name__ == "__main__":
    main()
