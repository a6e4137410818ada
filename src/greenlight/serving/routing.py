"""Where a task's requests go: an immutable route per task, replaced as a whole.

A version in use is counted (`Served.hold`), so that one taken out of traffic is closed after the
last request that had begun with it, not under its feet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from greenlight.core.errors import NotFound, Refused
from greenlight.ports import Runtime
from greenlight.serving.http import NotReady


class Served:
    """A version that can answer: its digest, its label and its open runtime."""

    def __init__(self, version: str, label: str, runtime: Runtime) -> None:
        self.version = version
        self.label = label
        self.runtime = runtime
        self._held = 0
        self._free = asyncio.Event()
        self._free.set()

    def hold(self) -> None:
        """A request may call the runtime from now on."""
        self._held += 1
        self._free.clear()

    def release(self) -> None:
        """That request will not call it any more."""
        self._held -= 1
        if self._held == 0:
            self._free.set()

    async def retire(self) -> None:
        """Wait for the requests under way, then close the runtime."""
        await self._free.wait()
        await self.runtime.close()


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """How one task's requests are split during one epoch.

    `weight` is the candidate's share of units; 0 without a candidate.
    """

    task: str
    epoch: int
    rollout: str | None
    salt: str
    weight: float
    control: Served
    candidate: Served | None

    def served(self) -> tuple[Served, ...]:
        """The versions that this route may call."""
        return (self.control,) if self.candidate is None else (self.control, self.candidate)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep both versions open while a request runs."""
        parties = self.served()
        for served in parties:
            served.hold()
        try:
            yield
        finally:
            for served in parties:
                served.release()


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """A task that cannot be answered in this epoch, and why."""

    task: str
    epoch: int
    reason: str


class RoutingTable:
    """The routes by task. Never goes back to an older epoch."""

    def __init__(self) -> None:
        self._entries: dict[str, Route | Closed] = {}
        self._applied_at: dict[str, int] = {}

    def apply(self, entry: Route | Closed, now: int) -> None:
        """Route a task by this entry from now on.

        Raises:
            Refused: the entry's epoch is older than the one in force.
        """
        current = self._entries.get(entry.task)
        if current is not None and entry.epoch < current.epoch:
            raise Refused(
                f"{entry.task}: epoch {entry.epoch} is older than {current.epoch}, now in force"
            )
        self._entries[entry.task] = entry
        if current is None or entry.epoch > current.epoch:
            self._applied_at[entry.task] = now

    def get(self, task: str) -> Route | Closed | None:
        """The entry in force, or None for a task without any."""
        return self._entries.get(task)

    def route(self, task: str) -> Route:
        """The route of a task.

        Raises:
            NotFound: no such task; the message names those that exist.
            NotReady: the task cannot be answered now.
        """
        entry = self._entries.get(task)
        if isinstance(entry, Route):
            return entry
        if entry is not None:
            raise NotReady(f"task {task!r} cannot be answered now: {entry.reason}")
        names = ", ".join(sorted(self._entries)) or "none yet"
        raise NotFound(f"no task {task!r}; there are: {names}")

    def closed(self) -> list[Closed]:
        """The tasks that cannot be answered now."""
        return [entry for entry in self._entries.values() if isinstance(entry, Closed)]

    def in_use(self) -> set[str]:
        """Digests of every version that some route may call."""
        return {
            served.version
            for entry in self._entries.values()
            if isinstance(entry, Route)
            for served in entry.served()
        }

    def open_since(self) -> dict[str, int]:
        """The versions in use whose breaker lets no call succeed, and since when (µs)."""
        return {
            served.version: since
            for entry in self._entries.values()
            if isinstance(entry, Route)
            for served in entry.served()
            if (since := served.runtime.open_since) is not None
        }

    def epochs(self) -> dict[str, int]:
        """The epoch in force, by task."""
        return {task: entry.epoch for task, entry in self._entries.items()}

    def applied_at(self) -> dict[str, int]:
        """Since when each task's epoch is in force, in microseconds since 1970-01-01 UTC."""
        return dict(self._applied_at)

    def __len__(self) -> int:
        return len(self._entries)
