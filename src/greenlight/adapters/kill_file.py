"""The kill switch as a file: read by gateways and the controller, written by people.

    {"entries": {TASK: {"task", "generation", "state", "by", "why", "since", "at", "signature"}}}

It is replaced as a whole, never changed in place, so that a reader finds one version or another. A
reader looks at it again when its inode, size or time of change is another one. Writers take turns
by a lock on a file beside it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from greenlight.core import fingerprint
from greenlight.core.errors import StoreError
from greenlight.core.killing import Judge, KillEntry, merge

PATIENCE_S = 5.0
"""How long a writer waits for its turn."""

_MOST = 2**20
"""A file with more bytes is none: thousands of tasks have room in it."""


class KillFile:
    """Implements `ports.KillSwitch` over a file that others write."""

    def __init__(self, path: Path, judge: Judge) -> None:
        """Nothing is read yet.

        Args:
            path: the file; it, or its folder, need not be there.
            judge: knows whose word counts.
        """
        self._path = path
        self._judge = judge
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] | None = None
        self._known: Mapping[str, KillEntry] = {}
        self._faults: tuple[str, ...] = ()

    def entries(self) -> Mapping[str, KillEntry]:
        """See `ports.KillSwitch.entries`."""
        return self._known

    def look(self) -> tuple[str, ...]:
        """See `ports.KillSwitch.look`."""
        with self._lock:
            try:
                self._look()
            except (OSError, ValueError) as error:
                # It may be on its way: whatever it was like is no reason not to look again.
                self._seen = None
                told = f"{self._path}: {error}; what was read before stays in force"
                self._faults = (told,)
            return self._faults

    def _look(self) -> None:
        mark = _mark(self._path)
        if mark == self._seen and mark is not None:
            return
        offered, faults = ({}, []) if mark is None else _read(self._path)
        known, refused = merge(self._known, offered, self._judge)
        self._known = known
        self._faults = (*faults, *refused)
        self._seen = mark


def write(path: Path, next_word: Callable[[Mapping[str, KillEntry]], KillEntry]) -> KillEntry:
    """Put one more word into the file, durably; what it says of other tasks stays in it.

    Args:
        path: the file, made where it is missing, but not its folder: that may be another machine's
            which is not mounted. One that holds what cannot be read is copied first, to a name
            that ends in `.broken`.
        next_word: given what is in the file, gives the signed word to put there.

    Raises:
        StoreError: another writer has held the file for longer than a writer waits.
        OSError: it cannot be written.
    """
    with _turn(path):
        try:
            there, faults = _read(path)
        except FileNotFoundError:
            there, faults = {}, []
        except ValueError as error:
            there, faults = {}, [str(error)]
        if faults:
            shutil.copyfile(path, path.with_name(path.name + ".broken"))
        entry = next_word(there)
        _replace(path, {**there, entry.task: entry})
    return entry


def _mark(path: Path) -> tuple[int, ...] | None:
    """What changes whenever the file does; None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(path: Path) -> tuple[dict[str, KillEntry], list[str]]:
    """The entries that are well formed, by task, and what is wrong with the others.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no kill file.
    """
    with path.open("rb") as file:
        data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise ValueError(f"no kill file: it has more than {_MOST} bytes")
    try:
        raw = msgspec.json.decode(data, type=dict[str, dict[str, msgspec.Raw]])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"no kill file: {error}") from error
    if raw.keys() != {"entries"}:
        raise ValueError('no kill file: it must have "entries", and nothing else')
    found: dict[str, KillEntry] = {}
    faults = []
    for task, text in raw["entries"].items():
        try:
            found[task] = msgspec.json.decode(text, type=KillEntry)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            faults.append(f"{task}: this is no entry: {error}")
    return found, faults


def _replace(path: Path, entries: Mapping[str, KillEntry]) -> None:
    """Write the file anew; nobody ever sees half of it, and a power cut does not undo it."""
    document = {"entries": entries}
    data = msgspec.json.format(fingerprint.canonical(document), indent=2) + b"\n"
    draft, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(draft, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(draft, 0o644)
            os.fsync(draft)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """This writer's turn; a writer that dies gives its turn away."""
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise StoreError(
                        f"{path}.lock: another process has been writing {path.name} for "
                        f"{PATIENCE_S:g} seconds; end it (see: fuser {path}.lock), and try again"
                    ) from None
            time.sleep(0.01)
        yield
    finally:
        os.close(lock)
