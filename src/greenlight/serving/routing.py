"""Where a task's requests go: an immutable route per task, replaced as a whole.

What the kill switch says goes before any route, however new (`core.routing` says how).

A version in use is counted (`Served.hold`), so that one taken out of traffic is closed after the
last request that had begun with it, not under its feet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from greenlight.core.errors import NotFound, Refused
from greenlight.core.percentile import Percentile
from greenlight.core.records import SECOND
from greenlight.core.routing import NEVER, Place, Standing, barred, newer
from greenlight.ports import Runtime
from greenlight.ports.chat import Chat
from greenlight.serving.http import NotReady


class Served:
    """A version that can answer: its digest, its label and its open runtime."""

    def __init__(self, version: str, label: str, runtime: Runtime | Chat) -> None:
        self.version = version
        self.label = label
        self.runtime = runtime
        self.p95 = Percentile(0.95)
        """Of the latest answers, in milliseconds."""
        self._chat = runtime if isinstance(runtime, Chat) else None
        self._model = None if isinstance(runtime, Chat) else runtime
        self._held = 0
        self._free = asyncio.Event()
        self._free.set()

    @property
    def chat(self) -> Chat | None:
        """The version as one that talks; None if it is a classifier."""
        return self._chat

    @property
    def model(self) -> Runtime | None:
        """The version as a classifier; None if it talks."""
        return self._model

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


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """Requests whose metadata has all of these values meet one arm whatever the split."""

    when: dict[str, str]
    weight: float
    """0 for control, 1 for the candidate."""


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of the texts of requests and answers."""

    share: float = 1.0
    """The probability with which those of a request are kept at all."""
    mask: Callable[[str], str] | None = None
    """Takes out what must not be kept."""
    input: bool = True
    output: bool = True

    def kept_input(self, text: str) -> str:
        """What is kept of a request's text."""
        return self._masked(text) if self.input else ""

    def kept_output(self, text: str) -> str:
        """What is kept of an answer's text."""
        return self._masked(text) if self.output else ""

    def _masked(self, text: str) -> str:
        return text if self.mask is None else self.mask(text)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a task is served, whichever versions do it."""

    budget: float | None = None
    """Patience with a request in seconds; None: the runtimes' own."""
    capture: Capture = Capture()
    segments: tuple[Segment, ...] = ()
    tags: bool = False
    """Whether an answer tags the words of its text (`core.tagging`)."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """How one task's requests are split during one epoch.

    `weight` is the candidate's share of units; 0 without a candidate, or with one in the shadow.
    """

    task: str
    epoch: int
    rollout: str | None
    salt: str
    weight: float
    control: Served
    candidate: Served | None
    plan: Plan = Plan()
    kill: int = 0
    """The generation of the kill switch that it is routed under."""

    def alone(self) -> Route:
        """The route with control alone, outside of any rollout."""
        return msgspec.structs.replace(self, rollout=None, salt="", weight=0.0, candidate=None)

    @property
    def in_shadow(self) -> bool:
        """Whether the candidate gets copies, and no traffic."""
        return self.candidate is not None and self.weight == 0

    def served(self) -> tuple[Served, ...]:
        """The versions that this route may call."""
        return (self.control,) if self.candidate is None else (self.control, self.candidate)

    def hold(self) -> None:
        """Keep both versions open; to be released."""
        for served in self.served():
            served.hold()

    def release(self) -> None:
        """A request is through."""
        for served in self.served():
            served.release()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep both versions open while a request runs."""
        self.hold()
        try:
            yield
        finally:
            self.release()


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """A task that cannot be answered in this epoch, and why."""

    task: str
    epoch: int
    reason: str
    kill: int = 0
    """The generation of the kill switch that it is closed under."""


class RoutingTable:
    """The routes by task. Never goes back to an older place, nor past the kill switch."""

    def __init__(self) -> None:
        self._entries: dict[str, Route | Closed] = {}
        self._applied_at: dict[str, int] = {}
        self._standings: dict[str, Standing] = {}

    def apply(self, entry: Route | Closed, now: int) -> None:
        """Route a task by this entry from now on, as far as the kill switch allows.

        Raises:
            Refused: the entry is older than the one in force.
        """
        current = self._entries.get(entry.task)
        if current is not None and not self.admits(entry.task, (entry.kill, entry.epoch)):
            under = "" if entry.kill == current.kill else f" under kill {current.kill}"
            raise Refused(
                f"{entry.task}: epoch {entry.epoch} is older than {current.epoch}, now in "
                f"force{under}"
            )
        self._entries[entry.task] = _under(self.standing(entry.task), entry)
        if current is None or entry.epoch != current.epoch:
            self._applied_at[entry.task] = now

    def admits(self, task: str, place: Place) -> bool:
        """Whether a routing at this place goes before the one in force, or is the same epoch."""
        current = self._entries.get(task)
        if current is None or place[1] == current.epoch:
            return True
        return newer(place, (current.kill, current.epoch))

    def obey(self, task: str, standing: Standing) -> None:
        """Route a task as the kill switch says from now on: what it bars leaves at once."""
        self._standings[task] = standing
        current = self._entries.get(task)
        if current is not None:
            self._entries[task] = _under(standing, current)

    def standing(self, task: str) -> Standing:
        """What the kill switch says of a task."""
        return self._standings.get(task, NEVER)

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

    def routes(self) -> list[Route]:
        """The tasks that can be answered now, by name."""
        found = [entry for entry in self._entries.values() if isinstance(entry, Route)]
        return sorted(found, key=lambda route: route.task)

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

    def kills(self) -> dict[str, int]:
        """The generation of the kill switch that is in force, by task; where it was ever used."""
        return {task: standing.generation for task, standing in self._standings.items()}

    def applied_at(self) -> dict[str, int]:
        """Since when each task's epoch is in force, in microseconds since 1970-01-01 UTC."""
        return dict(self._applied_at)

    def __len__(self) -> int:
        return len(self._entries)


def _under(standing: Standing, entry: Route | Closed) -> Route | Closed:
    """What is left of an entry under the kill switch."""
    left = entry.alone() if isinstance(entry, Route) and barred(entry.kill, standing) else entry
    return msgspec.structs.replace(left, kill=max(entry.kill, standing.generation))


class _Model(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    created: int
    object: str = ""
    owned_by: str = ""
    versions: list[str] = []


def models(table: RoutingTable, name_versions: bool) -> dict[str, Any]:
    """The tasks as a list of models in OpenAI's format.

    Args:
        table: the routes.
        name_versions: say which versions are served, to those who may know.
    """
    found = []
    for route in table.routes():
        versions = [served.label for served in route.served()] if name_versions else []
        created = table.applied_at()[route.task] // SECOND
        found.append(_Model(f"greenlight/{route.task}", created, "model", "greenlight", versions))
    return {"object": "list", "data": found}
