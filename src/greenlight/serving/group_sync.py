"""Group commit: many requests wait for one fsync."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable

from greenlight.serving.segments import Segment


class GroupSync:
    """Syncs segments; who comes while a sync is under way shares the next one.

    So a request waits for at most two syncs, and a busy disk makes the groups larger instead of
    the queue longer.
    """

    def __init__(self) -> None:
        self._dirty: set[Segment] = set()
        self._current: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def wait(self, segment: Segment) -> None:
        """Return once everything appended to the segment so far has reached the disk.

        Raises:
            OSError: it could not be made sure.
        """
        self._dirty.add(segment)
        if self._next is None:
            self._next = asyncio.create_task(self._sync(self._current))
        await asyncio.shield(self._next)

    async def _sync(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._current, self._next = self._next, None
        dirty, self._dirty = self._dirty, set()
        found = (segment.duplicate() for segment in dirty)
        await asyncio.to_thread(_sync_all, [fd for fd in found if fd is not None])


def _sync_all(descriptors: Iterable[int]) -> None:
    failure: OSError | None = None
    for fd in descriptors:
        try:
            os.fdatasync(fd)
        except OSError as error:
            failure = error
        finally:
            os.close(fd)
    if failure is not None:
        raise failure
