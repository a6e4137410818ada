"""Memory and pace of the stages that stream: how much to hold, and what to report afterwards."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from greenlight.core import chunks
from greenlight.core.records import SECOND
from greenlight.ports import Progress

FLOOR, START, CEILING = 50, 1000, 5000
"""Rows of a chunk: never fewer, at first, never more."""

log = logging.getLogger(__name__)


class Watch:
    """Says how many rows to hold at a time, and gives way when memory gets scarce."""

    def __init__(self, memory: Callable[[], int], limit: int) -> None:
        """Watch what `memory` reads, in bytes; from `limit` on there is a warning."""
        self._memory = memory
        self._limit = limit
        self._rows = START
        self._warned = False
        self.peak = 0
        self.warnings = 0

    def __call__(self) -> int:
        """The size of the next chunk, in rows."""
        used = self._memory()
        self.peak = max(self.peak, used)
        if used > self._limit:
            self.warnings += 1
            self._warn(used)
        self._rows = chunks.next_size(self._rows, used, self._limit, FLOOR, CEILING)
        return self._rows

    def start_over(self) -> None:
        """Forget peak and warnings: another stage begins."""
        self.peak = self.warnings = 0

    def _warn(self, used: int) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "%d MiB in use, above worker.memory = %d MiB: going on with smaller chunks",
                used // 2**20,
                self._limit // 2**20,
            )


class Meter:
    """The pace of one stage: counts rows, tells of progress, and sums up in the end."""

    def __init__(self, size: Callable[[], int], now: Callable[[], int], progress: Progress) -> None:
        """Begin to measure.

        Args:
            size: how many rows to hold at a time; of a `Watch` the memory is reported too.
            now: microseconds since 1970-01-01 UTC.
            progress: told of every chunk; what it raises ends the stage.
        """
        self.size = size
        self.rows = 0
        self._now = now
        self._progress = progress
        self._began = now()
        self._told = 0.0, ""
        if isinstance(size, Watch):
            size.start_over()

    def tell(self, share: float, words: str) -> None:
        """Say how far the stage is."""
        self._told = share, words
        self._progress(share, words)

    def pulse(self) -> None:
        """Say it again, so that a stage can be ended in a long piece of work."""
        self._progress(*self._told)

    def report(self) -> dict[str, Any]:
        """Rows, seconds, rows per second; the most memory in use (bytes) and how many chunks began
        above the limit."""
        seconds = (self._now() - self._began) / SECOND
        found: dict[str, Any] = {"rows": self.rows, "seconds": round(seconds, 3)}
        if seconds > 0:
            found["rows_per_s"] = round(self.rows / seconds)
        if isinstance(self.size, Watch):
            found |= {"peak_memory": self.size.peak, "memory_warnings": self.size.warnings}
        return found


def silent(_share: float, _words: str) -> None:
    """Tells nobody."""


def steady() -> int:
    """Chunks of the size that a watch begins with, however much memory there is."""
    return START
