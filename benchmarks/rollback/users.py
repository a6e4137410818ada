"""Sticky users, as a process: they ask every gateway in turn and say GOOD or BAD by the true label.

    python -m benchmarks.rollback.users PLAN BOOK

PLAN is a `Plan` as JSON. Every round visits each user once, in a new order, at a steady rate that
waits for nobody. Nothing is asked twice: whatever is not a good answer was an error for that user.
What came of each request is written to BOOK, a line of JSON each (`Seen`), as it comes. SIGTERM
ends it. No version and no variant is known here.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TextIO

import aiohttp
import msgspec
import numpy as np

from benchmarks.rollback.model import truth_in
from greenlight.adapters.clock import SystemClock

PATIENCE_S = 10.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to ask, and how these users behave."""

    gateways: list[str]
    task: str
    rows: str
    """A file of JSON lines {"text", "label"}."""
    seed: int
    rate: float = 50.0
    """Requests per second, over all gateways."""
    users: int = 5000
    feedback_rate: float = 0.6
    """Share of the answers that is judged."""
    mean_delay: float = 0.7
    """Seconds until then."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a request: `status` is 0 where there was no answer."""

    kind: str
    at: int
    """When it was sent, in microseconds since 1970-01-01 UTC."""
    status: int
    ms: float

    @property
    def failed(self) -> bool:
        """Whether the user saw an error."""
        return not 200 <= self.status < 300


class Users:
    """All of them."""

    def __init__(self, session: aiohttp.ClientSession, plan: Plan, book: TextIO) -> None:
        self._session = session
        self._plan = plan
        self._book = book
        self._rng = np.random.default_rng(plan.seed)
        self._rows = list(truth_in(Path(plan.rows)).items())
        self._clock = SystemClock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Ask until told to stop, then let what is under way end."""
        stopped = asyncio.ensure_future(stop.wait())
        start = time.monotonic()
        for count, user in enumerate(self._visits()):
            due = start + count / self._plan.rate - time.monotonic()
            if due > 0:
                await asyncio.wait([stopped], timeout=due)
            if stop.is_set():
                break
            self._spawn(self._ask(count, f"user-{user:05d}"))
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def _visits(self) -> Iterator[int]:
        while True:
            yield from self._rng.permutation(self._plan.users)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, count: int, user: str) -> None:
        gateway = self._plan.gateways[count % len(self._plan.gateways)]
        text, truth = self._rows[int(self._rng.integers(len(self._rows)))]
        judged = self._rng.random() < self._plan.feedback_rate
        delay = float(self._rng.exponential(self._plan.mean_delay))
        place = f"{gateway}/v1/tasks/{self._plan.task}/predict"
        answer = await self._post("predict", place, {"input": text, "unit": user})
        if judged and answer is not None and answer["id"] is not None:
            value = "GOOD" if answer["output"]["label"] == truth else "BAD"
            said = {"inference_id": answer["id"], "metric": "quality", "value": value}
            await asyncio.sleep(delay)
            await self._post("feedback", f"{gateway}/v1/feedback", said)

    async def _post(self, kind: str, url: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The answer, or None; what came of it is noted."""
        at, began = self._clock.now(), time.monotonic()
        status, answer = 0, None
        try:
            async with self._session.post(url, json=body) as response:
                answer = await response.json()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError):
            pass  # nobody there, gone in the middle of the answer, or no answer worth the name
        seen = Seen(kind=kind, at=at, status=status, ms=(time.monotonic() - began) * 1000)
        self._book.write(msgspec.json.encode(seen).decode() + "\n")
        return None if seen.failed else answer


async def _use(plan: Plan, book: TextIO) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    # A connection per request, as those of many users are, so that every process gets its share.
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    patience = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with aiohttp.ClientSession(connector=connector, timeout=patience) as session:
        await Users(session, plan, book).run(stop)


def read(book: Path) -> list[Seen]:
    """What was seen so far; a line that is being written is left for later."""
    text = book.read_bytes()
    lines = text[: text.rfind(b"\n") + 1].splitlines()
    return [msgspec.json.decode(line, type=Seen) for line in lines]


def main() -> None:
    """Carry out the plan."""
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    # Line by line, so that whoever reads along misses nothing.
    with Path(sys.argv[2]).open("a", buffering=1, encoding="utf-8") as book:
        asyncio.run(_use(plan, book))


if __name__ == "__main__":
    main()
