"""Collect, curate and export: rows per second and memory, streamed and as whole lists.

    python -m benchmarks.pipeline.rows WHAT FOLDER ROWS

does one thing and prints what it took as JSON; the parent holds the results against each other.
Memory is the peak of a process above that of one that is `idle`: it has imported the same modules
and opened the same store.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks import curation
from benchmarks.asked import peak_mib
from benchmarks.collecting import collector, fill
from benchmarks.harness import ROOT
from benchmarks.pages import Found
from benchmarks.pipeline import whole
from greenlight import artifacts
from greenlight.adapters.blobs import FolderBlobs
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.curation import SPLITS
from greenlight.core.exporting import SUFFIXES
from greenlight.stages.export import export
from greenlight.wiring.data import CHUNK

FORMATS = tuple(SUFFIXES)
COMPARED = FORMATS[0]
"""The format that is exported from a whole list, too."""
STORE = "store.db"
"""As the stages of `benchmarks.curation` call it."""
WHOLE = "-whole"
"""Ends the name of what is done with whole lists."""


def _idle(folder: Path, _rows: int) -> Found:
    _store(folder).close()
    return {"rows": 0, "digests": {}}


def _make(folder: Path, rows: int) -> Found:
    _store(folder).close()  # whoever makes a store needs more memory than all who open it later
    curation.make(folder, rows)
    return {"rows": rows, "digests": {}}


def _fill(folder: Path, rows: int) -> Found:
    store = _store(folder)
    fill(store, rows, every=1, text=curation.text_of)
    store.close()
    return {"rows": rows, "digests": {}}


def _stage(name: str, folder: Path, rows: int) -> Found:
    made = curation.stage(folder, name)
    kept = "raw" if name == "collect" else "processed"
    place = Path(FolderBlobs(folder / kept).path(made["dataset"]))
    return {"rows": rows, "digests": _digests(place)}


def _collect(folder: Path, _rows: int) -> Found:
    _store(folder).close()
    target = folder / "raw-whole"
    return {"rows": whole.collect(folder, target), "digests": _digests(target)}


def _curate(folder: Path, _rows: int) -> Found:
    _store(folder).close()
    target = folder / "processed-whole"
    return {"rows": whole.curate(folder / "raw-whole", target), "digests": _digests(target)}


def _export(form: str, folder: Path, _rows: int) -> Found:
    store = _store(folder)
    chunks = (rows for _, rows in collector(store).chunks(lambda: CHUNK))
    written = export(chunks, form, folder / form)
    store.close()
    return {"rows": written.rows, "digests": {form: written.digest}}


def _export_whole(form: str, folder: Path, _rows: int) -> Found:
    store, target = _store(folder), folder / f"{form}{WHOLE}"
    rows = whole.export(store, form, target)
    store.close()
    return {"rows": rows, "digests": {form: artifacts.file_digest(target)}}


def _store(folder: Path) -> SqlStore:
    return SqlStore(f"sqlite:///{folder / STORE}")


def _digests(folder: Path) -> dict[str, str]:
    """The digest of every file of rows."""
    files = [folder / f"{name}.jsonl" for name in (*SPLITS, "rows")]
    return {file.name: artifacts.file_digest(file) for file in files if file.exists()}


WORK: dict[str, Callable[[Path, int], Found]] = {
    "idle": _idle,
    "make": _make,
    "collect": partial(_stage, "collect"),
    f"collect{WHOLE}": _collect,
    "curate": partial(_stage, "curate"),
    f"curate{WHOLE}": _curate,
    "fill": _fill,
    **{f"export-{form}": partial(_export, form) for form in FORMATS},
    f"export-{COMPARED}{WHOLE}": partial(_export_whole, COMPARED),
}
"""What a process can be asked to do in a folder, and with how many rows."""


def do(what: str, folder: Path, rows: int) -> Found:
    """Do it here; returns rows, seconds, the peak of this process in MiB, and digests of files."""
    began, spent = time.perf_counter(), time.process_time()
    made = WORK[what](folder, rows)
    seconds, spent = time.perf_counter() - began, time.process_time() - spent
    return {
        **made,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(spent, 2),
        "rows_per_s": round(made["rows"] / seconds),
        "peak_mib": round(peak_mib(), 1),
    }


def elsewhere(what: str, folder: Path, rows: int) -> Found:
    """Do it in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.pipeline.rows", what, str(folder), str(rows)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found: Found = json.loads(done.stdout)
    print(
        f"{rows:>9,} rows  {what:26}{found['rows_per_s']:>9,} rows/s{found['peak_mib']:>9,.1f} MiB",
        flush=True,
    )
    return found


def stages(sizes: Sequence[int], parent: str | None) -> list[Found]:
    """Collect and curate, of each size."""
    return [_pairs(rows, "make", ("collect", "curate"), (), parent) for rows in sizes]


def exports(sizes: Sequence[int], parent: str | None) -> list[Found]:
    """The exports, of each size; every answer was judged."""
    names = [f"export-{form}" for form in FORMATS]
    return [_pairs(rows, "fill", names[:1], names[1:], parent) for rows in sizes]


def _pairs(
    rows: int, first: str, compared: Iterable[str], alone: Iterable[str], parent: str | None
) -> Found:
    """One size: what comes first, then everything else, streamed and, if compared, as a list."""
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        elsewhere(first, folder, rows)
        idle = elsewhere("idle", folder, rows)
        work: dict[str, Found] = {}
        for what in compared:
            streamed, listed = (elsewhere(f"{what}{way}", folder, rows) for way in ("", WHOLE))
            work[what] = compare(idle, streamed, listed)
        for what in alone:
            work[what] = {"streamed": above(idle, elsewhere(what, folder, rows))}
        store_mib = round((folder / STORE).stat().st_size / 2**20, 1)
    return {"rows": rows, "idle_mib": idle["peak_mib"], "store_mib": store_mib, "work": work}


def compare(idle: Found, streamed: Found, listed: Found) -> Found:
    """Both ways of one piece of work; `less_memory` is a share, None if the list took none.

    Raises:
        ValueError: they did not write the same bytes.
    """
    if streamed["digests"] != listed["digests"]:
        raise ValueError(f"not the same rows: {streamed['digests']}, {listed['digests']}")
    one, other = above(idle, streamed), above(idle, listed)
    most = other["above_idle_mib"]
    less = round(1 - one["above_idle_mib"] / most, 4) if most > 0 else None
    return {"streamed": one, "whole": other, "less_memory": less}


def above(idle: Found, done: Found) -> Found:
    """What one process took, and its peak above that of an idle one."""
    peak = round(done["peak_mib"] - idle["peak_mib"], 1)
    return {**_without_digests(done), "above_idle_mib": peak}


def _without_digests(done: Mapping[str, object]) -> Found:
    return {name: value for name, value in done.items() if name != "digests"}


if __name__ == "__main__":
    print(json.dumps(do(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
