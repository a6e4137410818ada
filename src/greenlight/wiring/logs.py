"""The newest lines of this process's log, for the evidence of a rollback.

They are held in memory, bounded, and are gone with the process. What is logged of requests is left
out, and so is what an exception says: it may repeat anything.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from greenlight.core.records import SECOND

MOST, BYTES = 2000, 2**20
"""So many lines are held, and no more than so many bytes of them."""
_LONGEST = 1000
_NAME = "greenlight"
_REQUESTS, _ROUTING = "greenlight.serving.", "greenlight.serving.follow"
"""What is logged of requests is left out, but for the routing."""


class Tail(logging.Handler):
    """Holds the newest lines; a line is a moment (µs since 1970) and a text."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        super().__init__(logging.INFO)
        self.process = f"{socket.gethostname()}, process {os.getpid()}"
        self._lines: deque[tuple[int, str]] = deque()
        self._bytes = 0
        self._own = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line in, and let the oldest ones go."""
        if record.name.startswith(_REQUESTS) and record.name != _ROUTING:
            return
        try:
            said = " ".join(record.getMessage().split())[:_LONGEST]
        except Exception:
            self.handleError(record)
            return
        if record.exc_info and record.exc_info[0]:
            said += f" ({record.exc_info[0].__name__})"
        line = f"{record.levelname} {record.name}: {said}"
        with self._own:
            self._lines.append((int(record.created * SECOND), line))
            self._bytes += len(line.encode())
            while len(self._lines) > MOST or self._bytes > BYTES:
                self._bytes -= len(self._lines.popleft()[1].encode())

    def between(self, since: int, until: int) -> list[tuple[int, str]]:
        """The lines of a time, in order."""
        with self._own:
            return [line for line in self._lines if since <= line[0] <= until]


_held: list[Tail] = []
"""Those of this process, the newest last."""


@contextmanager
def held_log() -> Iterator[Tail]:
    """Hold the newest lines as long as this lasts."""
    tail = Tail()
    logger = logging.getLogger(_NAME)
    logger.addHandler(tail)
    _held.append(tail)
    try:
        yield tail
    finally:
        _held.remove(tail)
        logger.removeHandler(tail)


def newest() -> Tail | None:
    """What this process holds; None: nothing."""
    return _held[-1] if _held else None
