"""The machine: Python, the runtime of models, disks, the clock."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from greenlight import __version__
from greenlight.core.records import MILLISECOND, SECOND, LedgerEntry, Record, Replica
from greenlight.download import cache_folder
from greenlight.lookup import everything
from greenlight.wiring.doctor.finding import Finding, Subject, fault, ok, warning

OLDEST = (3, 11)
"""The oldest Python that is supported."""

LEAST_BYTES, LITTLE_BYTES = 200 * 2**20, 2 * 2**30
"""Free space below which nothing is safe, and below which it soon will not be."""

LEAST_INODES, LITTLE_INODES = 1_000, 20_000
"""The same for files that can still be made."""

INTERVAL_S = 0.1
DRIFT = 20 * MILLISECOND
"""What two clocks may differ by over the interval; a step of one of them is more."""

SKEW = 2 * SECOND
"""How far ahead of this clock a time on record may be."""


def software() -> Iterator[Finding]:
    """Python, the operating system, and whether the runtime of models can be loaded."""
    versions = (
        f"Greenlight {__version__}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {platform.platform()}"
    )
    if sys.version_info < OLDEST:
        yield fault("software", versions, "use Python 3.11 or newer: make PYTHON=python3.11 setup")
    elif platform.system() != "Linux":
        yield warning("software", versions, "only Linux has been tried; expect surprises")
    else:
        yield ok("software", versions)
    try:
        import onnxruntime
    except Exception as error:  # a library that does not fit raises what it likes
        yield fault(
            "onnxruntime",
            f"cannot be loaded: {error}",
            "install it anew: pip install --force-reinstall onnxruntime",
        )
    else:
        yield ok("onnxruntime", f"{onnxruntime.__version__} loads")


def disks(subject: Subject) -> Iterator[Finding]:
    """Free space and inodes where the store and where downloads are kept."""
    named = {"store": subject.settings.state, "cache": cache_folder(subject.environ)}
    seen: dict[int, str] = {}
    for name, folder in named.items():
        there = nearest(folder)
        device = there.stat().st_dev
        if device not in seen:
            seen[device] = name
            yield disk(there)


def disk(
    folder: Path,
    least: tuple[int, int] = (LEAST_BYTES, LEAST_INODES),
    little: tuple[int, int] = (LITTLE_BYTES, LITTLE_INODES),
) -> Finding:
    """Free space and inodes of one file system.

    Args:
        folder: lies on it.
        least: bytes and inodes below which it is a fault.
        little: bytes and inodes below which it is a warning.
    """
    found = os.statvfs(folder)
    free, files = found.f_bavail * found.f_frsize, found.f_favail
    counted = found.f_files > 0  # some file systems make inodes as they need them
    what = f"{folder}: {free / 2**30:.1f} GiB free" + (f", {files:,} inodes" if counted else "")

    def below(bounds: tuple[int, int]) -> bool:
        return free < bounds[0] or (counted and files < bounds[1])

    if below(least):
        return fault("disk", what, "make room now: what is acknowledged must be written somewhere")
    if below(little):
        return warning("disk", what, "make room, or move the store (store.url)")
    return ok("disk", what)


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one around it that is there."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def clock(subject: Subject) -> Iterator[Finding]:
    """Whether the wall clock runs as the machine's own does, and is not behind what is on record.

    No time server is asked.
    """
    began, wall = time.monotonic(), subject.clock.now()
    time.sleep(INTERVAL_S)
    ran = round((time.monotonic() - began) * SECOND)
    apart = abs(subject.clock.now() - wall - ran)
    compared = f"over {ran / 1000:.0f} ms the wall clock and the monotonic clock differ by "
    compared += f"{apart / 1000:.1f} ms; no time server was asked"
    if apart > DRIFT:
        yield warning(
            "clock", compared, "something sets the clock; let NTP slew it (chrony, timesyncd)"
        )
    else:
        yield ok("clock", compared)
    if subject.store is not None:
        yield from _against_records(subject)


def _against_records(subject: Subject) -> Iterator[Finding]:
    assert subject.store is not None
    newest: list[Record] = [*subject.store.scan(LedgerEntry, newest_first=True, limit=1)]
    newest += everything(subject.store, Replica)
    times = [record.at for record in newest if isinstance(record, LedgerEntry | Replica)]
    if not times:
        yield ok("clock", "nothing on record yet to compare it with")
        return
    ahead = max(times) - subject.clock.now()
    if ahead > SKEW:
        yield fault(
            "clock",
            f"the newest time on record is {ahead / SECOND:.1f} s ahead of this clock",
            "set this machine's clock, or that of the gateway or controller that wrote it (NTP)",
        )
    else:
        yield ok("clock", f"not behind the newest of {len(times)} times on record")
