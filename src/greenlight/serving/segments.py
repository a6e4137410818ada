"""Append-only files of events, one JSON object per line, and who may touch them.

A writer holds a lock (flock) on `<writer>.lock` as long as it lives, and writes
`<writer>-00000001.jsonl` and so on. Whoever gets the lock of a writer knows it to be dead, and may
move its segments to the store.
"""

from __future__ import annotations

import fcntl
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec

from greenlight.core.records import Feedback, Inference, Shadow

Event = Inference | Feedback | Shadow

_MARK = 64 * 1024
_CHUNK = 512 * 1024
_ENCODER = msgspec.json.Encoder()
_NAMES = {Inference: b"inference", Feedback: b"feedback", Shadow: b"shadow"}


class Line(msgspec.Struct, frozen=True):
    """One line of a segment."""

    inference: Inference | None = None
    feedback: Feedback | None = None
    shadow: Shadow | None = None


def encode(event: Event) -> bytes:
    """The line of an event, with its end."""
    return b'{"%b":%b}\n' % (_NAMES[type(event)], _ENCODER.encode(event))


class Segment:
    """One file: what is written, how far it has been moved to the store, and when what is left
    was received.

    Receive times are kept per stretch of the file (a mark: where it ends, its earliest time), so
    that their number does not grow with the events.
    """

    def __init__(self, path: Path, fd: int, size: int, *, live: bool) -> None:
        self.path = path
        self.live = live
        self.size = size
        self.done = 0
        self._fd: int | None = fd
        self._marks: deque[list[int]] = deque()
        self._sealed = True
        if size:
            self._marks.append([size, 0])

    @classmethod
    def create(cls, path: Path) -> Segment:
        """Begin a new file; its name survives a power cut from now on."""
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return cls(path, fd, 0, live=True)

    @classmethod
    def adopt(cls, path: Path) -> Segment:
        """Take over the file of a dead writer; its events' times are unknown until they are read,
        so they count as received at the beginning of time."""
        fd = os.open(path, os.O_RDONLY)
        return cls(path, fd, os.fstat(fd).st_size, live=False)

    def append(self, data: bytes, at: int) -> None:
        """Add whole lines received at `at`, with one write(2); nothing is added if it fails.

        Raises:
            OSError: the disk is full or broken.
        """
        fd = self._descriptor()
        written = os.write(fd, data)
        if written < len(data):
            os.ftruncate(fd, self.size)
            raise OSError(f"{self.path}: only {written} of {len(data)} bytes could be written")
        self.size += written
        if self._sealed or self.size - self.done > _MARK * len(self._marks):
            self._marks.append([self.size, at])
            self._sealed = False
        else:
            mark = self._marks[-1]
            mark[0] = self.size
            mark[1] = min(mark[1], at)

    def has_room(self, count: int) -> bool:
        """Whether the disk takes so many bytes more, asked with blanks that go at once."""
        fd = self._descriptor()
        try:
            return os.write(fd, b" " * count) == count
        except OSError:
            return False
        finally:
            os.ftruncate(fd, self.size)

    def seal(self) -> int:
        """Begin a new mark with the next append; returns the current size."""
        self._sealed = True
        return self.size

    def read(self, end: int) -> bytes:
        """The next lines after what is done, up to `end`, a bounded number at a time.

        They are whole but for the last line of a dead writer, which a kill may have cut short.
        """
        wanted = _CHUNK
        while True:
            data = os.pread(self._descriptor(), min(wanted, end - self.done), self.done)
            if self.done + len(data) >= end:
                return data
            cut = data.rfind(b"\n") + 1
            if cut:
                return data[:cut]
            wanted *= 2

    def advance(self, count: int) -> None:
        """The next `count` bytes are in the store."""
        self.done += count
        while self._marks and self._marks[0][0] <= self.done:
            self._marks.popleft()
        if not self._marks:
            self._sealed = True

    def empty(self) -> None:
        """Take what is in the store out of the file; nothing may be left that is not."""
        if self.size and self.left == 0:
            os.ftruncate(self._descriptor(), 0)
            self.size = self.done = 0

    @property
    def left(self) -> int:
        """Bytes that are not in the store yet."""
        return self.size - self.done

    def oldest(self) -> int | None:
        """A receive time that nothing left precedes; None if nothing is left."""
        return min((at for _, at in self._marks), default=None)

    def duplicate(self) -> int | None:
        """A descriptor of one's own to sync; None once the file is gone (and all in the store)."""
        return None if self._fd is None else os.dup(self._fd)

    def close(self) -> None:
        """Release the file, and remove it if all of it is in the store."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            if self.left == 0:
                self.path.unlink(missing_ok=True)

    def _descriptor(self) -> int:
        if self._fd is None:
            raise ValueError(f"{self.path} is closed")
        return self._fd


class WriterLock:
    """The sign that a writer lives."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd

    @classmethod
    def create(cls, folder: Path, writer: str) -> WriterLock:
        """The lock of a new writer, held from the moment at which it can be seen."""
        hidden, path = folder / f".{writer}.lock", folder / f"{writer}.lock"
        fd = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        hidden.rename(path)
        return cls(path, fd)

    @classmethod
    def take(cls, folder: Path, writer: str) -> WriterLock | None:
        """The lock of a dead writer, or None: it lives, or somebody else was first."""
        path = folder / f"{writer}.lock"
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        if os.fstat(fd).st_nlink == 0:
            os.close(fd)
            return None
        return cls(path, fd)

    def release(self, *, remove: bool) -> None:
        """Let go; `remove` once none of the writer's segments is left."""
        if remove:
            self._path.unlink(missing_ok=True)
        os.close(self._fd)


def orphans(folder: Path) -> Iterator[tuple[WriterLock, list[Path]]]:
    """Every dead writer's lock, now ours, with its segments in order."""
    by_writer: dict[str, list[Path]] = {path.stem: [] for path in folder.glob("[!.]*.lock")}
    for path in sorted(folder.glob("*-????????.jsonl")):
        by_writer.setdefault(path.name[: -len("-00000001.jsonl")], []).append(path)
    for writer, paths in by_writer.items():
        lock = WriterLock.take(folder, writer)
        if lock is None:
            continue
        left = [path for path in paths if path.exists()]
        if left:
            yield lock, left
        else:
            lock.release(remove=True)
