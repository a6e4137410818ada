"""Rows through collect and curate: how many a second, and how much memory they take.

    python -m benchmarks.curation [folder]

Synthetic questions of some 60 characters from a seeded generator, each stage of each size in a
process of its own: one row in twenty repeats an earlier text, one in a hundred holds an address or
a telephone number. Memory is flat if the peak is the same for ten times the rows. Writes
benchmarks/results/curation.json. `benchmarks.pipeline` holds the memory against that of lists.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.asked import peak_mib
from benchmarks.harness import ROOT, provenance, save
from greenlight import artifacts, testing
from greenlight.adapters.blobs import FolderBlobs
from greenlight.adapters.clock import SystemClock
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core import curation
from greenlight.core.curation import Row
from greenlight.core.records import Dataset, StageResult
from greenlight.ports.source import NO_PROMPTS
from greenlight.stages.collect import collect
from greenlight.stages.curate import curate
from greenlight.watching import Watch
from greenlight.wiring.pipeline import resident_memory

SIZES = (100_000, 1_000_000)
LABELS = 77
UNITS = 50_000
LIMIT = 2 * 2**30

_WORDS = re.findall(
    r"\w+",
    """
    account address again app arrived balance bank before bought card cash change charge city
    closed country courier date declined deposit door email entry error exchange fee form
    foreign found friday help home hours identity key late letter limit lost machine money month
    morning moved name new office old order paid parcel payment pending phone pin please refund
    rate second shop statement stolen support swapped taken transfer travel wallet week when why
    """,
)


class Synthetic:
    """A `ports.Source` that reads rows from a file."""

    name = "synthetic"
    origin = "benchmarks.curation"
    licence = "CC0-1.0"
    citation = "Nobody"
    own_split = False
    details: Mapping[str, Any] = MappingProxyType({})
    exclusions: Mapping[str, int] = MappingProxyType({})
    queries = 0
    prompts = NO_PROMPTS

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def chunks(self, size: Callable[[], int]) -> Iterator[tuple[str, list[Row]]]:
        """See `ports.Source.chunks`."""
        rows = artifacts.iter_rows(self._folder, "made", Row)
        while some := list(islice(rows, size())):
            yield "rows", some


def text_of(number: int) -> str:
    """A question that is always the same for this number."""
    rng = random.Random(number)
    said = " ".join(rng.choices(_WORDS, k=rng.randint(5, 11))).capitalize()
    if rng.random() < 0.005:
        said += f" write to {rng.choice(_WORDS)}.{number}@mail.example"
    elif rng.random() < 0.005:
        said += f" call 07700 900{number % 1000:03}"
    elif rng.random() < 0.02:
        said += f" order {number % 10**6:06} of 12.05.2024"
    return f"{said}, {_spelt(number)}?"


def _spelt(number: int) -> str:
    """In letters: a long number would be looked at more closely."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


def row_of(number: int) -> Row:
    """The row with this number; one in twenty has the text of an earlier one."""
    rng = random.Random(f"row {number}")
    about = rng.randrange(number) if number and rng.random() < 0.05 else number
    unit = hashlib.sha256(str(rng.randrange(UNITS)).encode()).hexdigest()
    return Row(text_of(about), f"label {about % LABELS}", f"sha256:{unit}")


def make(folder: Path, rows: int) -> None:
    """Write the rows."""
    with artifacts.RowFiles(folder) as files:
        for start in range(0, rows, 1000):
            files.write("made", curation.encode([row_of(n) for n in range(start, start + 1000)]))


def stage(folder: Path, name: str) -> dict[str, Any]:
    """Carry out a stage and say what it took."""
    clock, watch = SystemClock(), Watch(resident_memory, LIMIT)
    store = SqlStore(f"sqlite:///{folder / 'store.db'}")
    raw, processed = FolderBlobs(folder / "raw"), FolderBlobs(folder / "processed")
    common: dict[str, Any] = {
        "step": testing.step(name),
        "now": clock.now,
        "workdir": folder,
        "size": watch,
    }
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    if name == "collect":
        done = collect(store, raw, Synthetic(folder), **common)
    else:
        (parent,) = store.scan(StageResult)
        digest = parent.output["dataset"]
        done = curate(store, raw, processed, digest, seed=2025, **common)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    made = store.get(Dataset, done.output["dataset"])
    assert made is not None
    store.close()
    return {
        "seconds": round(took, 1),
        "cpu_seconds": round(cpu, 1),
        "rows_per_s": round(done.report["rows"] / took),
        "peak_mb": round(peak_mib()),
        "dataset": made.digest,
        "counts": made.manifest["counts"],
        "exclusions": made.manifest["exclusions"],
        "pii": made.manifest["pii"],
        "memory_warnings": done.report["memory_warnings"],
    }


def measure(rows: int, parent: str | None) -> dict[str, Any]:
    """Both stages on this many rows, each in its own process."""
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        _child("make", folder, str(rows))
        found = {name: json.loads(_child(name, folder)) for name in ("collect", "curate")}
    seconds = sum(part["seconds"] for part in found.values())
    both = {"rows": rows, "rows_per_s": round(rows / seconds), **found}
    for name, part in found.items():
        print(
            f"{rows:>9,} rows  {name:8}{part['rows_per_s']:>8,} rows/s"
            f"{part['cpu_seconds']:>8.1f} s CPU{part['peak_mb']:>6} MB"
        )
    print(f"{rows:>9,} rows  both    {both['rows_per_s']:>8,} rows/s")
    return both


def _child(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks.curation", "--child", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def main() -> None:
    """Measure every size, or be one of the processes that do."""
    if sys.argv[1:2] == ["--child"]:
        what, folder = sys.argv[2], Path(sys.argv[3])
        if what == "make":
            make(folder, int(sys.argv[4]))
        else:
            print(json.dumps(stage(folder, what)))
        return
    began = provenance()
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    runs = [measure(rows, parent) for rows in SIZES]
    peaks = {
        name: round(runs[-1][name]["peak_mb"] / runs[0][name]["peak_mb"], 2)
        for name in ("collect", "curate")
    }
    print(f"peak memory, {SIZES[-1]:,} rows to {SIZES[0]:,}: {peaks}")
    save("curation", began, {"runs": runs, "peak_ratio": peaks})


if __name__ == "__main__":
    main()
