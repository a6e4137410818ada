"""Append-only files of events, one JSON object per line, and who may touch them.

The file that is written to has its final size from the start, all of its blocks are the file's
already, and it is mapped into memory (docs/adr/0017): an event is copied there without a system
call, lies in the page cache like one that was written with write(2), and finds room for certain.
What follows the last line is zeros, which are in no JSON. A copy that a kill interrupts may leave
zeros within its line, for it need not run from front to back.

A writer holds a lock (flock) on `<writer>.lock` as long as it lives, and writes
`<writer>-00000001.jsonl` and so on. Whoever gets the lock of a writer knows it to be dead, and may
move its segments to the store.
"""

from __future__ import annotations

import fcntl
import mmap
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

    def __init__(self, path: Path, fd: int, size: int, memory: mmap.mmap | None = None) -> None:
        self.path = path
        self.size = size
        self.done = 0
        self._fd: int | None = fd
        self._memory = memory
        self._marks: deque[list[int]] = deque()
        self._sealed = True
        if size:
            self._marks.append([size, 0])

    @classmethod
    def create(cls, path: Path, room: int) -> Segment:
        """Begin a new file for so many bytes; its name survives a power cut from now on.

        Raises:
            OSError: there is no room for it, or the disk is broken; no file is left.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # Without blocks of its own a mapped page would end the process where the disk is full.
            os.posix_fallocate(fd, 0, room)
            memory = mmap.mmap(fd, room)
            _sync_names(path.parent)
        except OSError:
            os.close(fd)
            path.unlink()
            raise
        return cls(path, fd, 0, memory)

    @classmethod
    def adopt(cls, path: Path) -> Segment:
        """Take over the file of a dead writer; its events' times are unknown until they are read,
        so they count as received at the beginning of time."""
        fd = os.open(path, os.O_RDONLY)
        return cls(path, fd, _written(fd))

    @property
    def live(self) -> bool:
        """Whether it is written to."""
        return self._memory is not None

    @property
    def room(self) -> int:
        """How many bytes more it takes."""
        return 0 if self._memory is None else len(self._memory) - self.size

    def append(self, data: bytes, at: int) -> None:
        """Add whole lines received at `at`, for which there must be room."""
        if self._memory is None:
            raise ValueError(f"{self.path} is no longer written to")
        end = self.size + len(data)
        self._memory[self.size : end] = data
        self.size = end
        if self._sealed or end - self.done > _MARK * len(self._marks):
            self._marks.append([end, at])
            self._sealed = False
        else:
            mark = self._marks[-1]
            mark[0] = end
            mark[1] = min(mark[1], at)

    def finish(self) -> None:
        """Write to it no more; what room is left goes back to the disk."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None
            os.ftruncate(self._descriptor(), self.size)

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
        if self._memory is not None and self.left == 0:
            self._memory[: self.size] = bytes(self.size)
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
            self.finish()
            os.close(self._fd)
            self._fd = None
            if self.left == 0:
                self.path.unlink(missing_ok=True)

    def _descriptor(self) -> int:
        if self._fd is None:
            raise ValueError(f"{self.path} is closed")
        return self._fd


def _sync_names(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _written(fd: int) -> int:
    """Where the zeros begin that a file ends with."""
    end = os.fstat(fd).st_size
    while end:
        begin = max(0, end - _CHUNK)
        found = len(os.pread(fd, end - begin, begin).rstrip(b"\0"))
        if found:
            return begin + found
        end = begin
    return 0


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
