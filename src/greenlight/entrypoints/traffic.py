"""Replayed users: a client process that asks the gateway and says GOOD or BAD by the true labels.

    python -m greenlight.entrypoints.traffic --gateway URL --task NAME --queries test.jsonl

Users are sticky and come back: every round visits each of them once, in a new order, and one visit
in four asks twice. A share of the answers is judged, after a delay. Only ids, outputs and true
labels are known here: no version, no variant. SIGTERM ends it; what was seen goes to standard
output as one JSON line.

With --patience these users ask again for so many seconds when nobody answers them, and a judgement
carries an Idempotency-Key, so that it counts once however often it is sent. --acknowledged FILE is
their own book of what the gateway owes them: a line {"inference"} for each answer and a line
{"feedback", "inference", "value"} for each judgement that was accepted, written as it comes.

A gateway with keys is shown the one in GREENLIGHT_API_KEY.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import aiohttp
import msgspec
import numpy as np

TIMEOUT_S = 10.0
CONCURRENCY = 64
ASKS_TWICE = 0.25
ASKS_AGAIN_AFTER_S = 0.1
UNAVAILABLE = 503


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """How the users behave. `rate` is requests per second, `mean_delay` is in seconds."""

    users: int
    rate: float
    feedback_rate: float
    mean_delay: float
    patience: float = 0.0
    """For how many seconds to ask again when nobody answers."""


class Client:
    """Sends requests at a steady rate and feedback after a delay."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base: str,
        task: str,
        queries: list[tuple[str, str]],
        habits: Habits,
        rng: np.random.Generator,
        book: TextIO | None = None,
    ) -> None:
        """Set up; nothing is sent yet. What is acknowledged is written to `book`."""
        self._session = session
        self._predict = f"{base}/v1/tasks/{task}/predict"
        self._feedback = f"{base}/v1/feedback"
        self._queries = queries
        self._habits = habits
        self._rng = rng
        self._book = book
        self._latencies: list[float] = []
        names = ("requests", "failed", "good", "bad", "feedback_failed", "again")
        self._counts = dict.fromkeys(names, 0)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Ask until told to stop, then let what is under way end."""
        free = asyncio.Semaphore(CONCURRENCY)
        stopped = asyncio.ensure_future(stop.wait())
        start = time.monotonic()
        for count, user in enumerate(self._visits()):
            due = start + count / self._habits.rate - time.monotonic()
            if due > 0:
                await asyncio.wait([stopped], timeout=due)
            if stop.is_set():
                break
            await free.acquire()
            self._spawn(self._ask(f"user-{user:05d}", free))
        stopped.cancel()
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def report(self) -> dict[str, Any]:
        """Counts, and latencies in milliseconds."""
        report: dict[str, Any] = dict(self._counts)
        if self._latencies:
            p50, p95 = np.quantile(self._latencies, [0.5, 0.95])
            report |= {"p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2)}
        return report

    def _visits(self) -> Iterator[int]:
        while True:
            for user in self._rng.permutation(self._habits.users):
                yield int(user)
                if self._rng.random() < ASKS_TWICE:
                    yield int(user)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, user: str, free: asyncio.Semaphore) -> None:
        text, truth = self._queries[int(self._rng.integers(len(self._queries)))]
        judged = self._rng.random() < self._habits.feedback_rate
        delay = float(self._rng.exponential(self._habits.mean_delay))
        began = time.monotonic()
        try:
            answer = await self._post(self._predict, {"input": text, "unit": user})
        finally:
            free.release()
        self._counts["requests"] += 1
        if answer is None:
            self._counts["failed"] += 1
            return
        self._latencies.append((time.monotonic() - began) * 1000)
        if answer["id"] is None:  # answered, but not recorded: there is nothing to judge
            return
        self._note({"inference": answer["id"]})
        if judged:
            self._spawn(self._judge(answer, truth, delay))

    async def _judge(self, answer: dict[str, Any], truth: str, delay: float) -> None:
        await asyncio.sleep(delay)
        value = "GOOD" if answer["output"]["label"] == truth else "BAD"
        body = {"inference_id": answer["id"], "metric": "quality", "value": value}
        key = {"Idempotency-Key": answer["id"]} if self._habits.patience else None
        stored = await self._post(self._feedback, body, key)
        self._counts["feedback_failed" if stored is None else value.lower()] += 1
        if stored is not None:
            self._note({"feedback": stored["id"], "inference": answer["id"], "value": value})

    def _note(self, line: dict[str, Any]) -> None:
        if self._book is not None:
            self._book.write(json.dumps(line) + "\n")

    async def _post(
        self, url: str, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> dict[str, Any] | None:
        """The answer, or None if there was none worth the name for as long as there is patience."""
        until = time.monotonic() + self._habits.patience
        while True:
            try:
                async with self._session.post(url, json=body, headers=headers) as response:
                    if response.status < 300:
                        answer: dict[str, Any] = await response.json()
                        return answer
                    if response.status != UNAVAILABLE:
                        return None
            except (aiohttp.ClientError, TimeoutError):
                pass  # nobody there, or gone in the middle of the answer
            if time.monotonic() >= until:
                return None
            self._counts["again"] += 1
            await asyncio.sleep(ASKS_AGAIN_AFTER_S)


async def replay(
    base: str,
    task: str,
    queries: list[tuple[str, str]],
    habits: Habits,
    seed: int,
    book: TextIO | None = None,
) -> dict[str, Any]:
    """Replay until SIGTERM or SIGINT; returns what was seen."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    key = os.environ.get("GREENLIGHT_API_KEY", "").strip()
    headers = {"Authorization": f"Bearer {key}"} if key else None
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        client = Client(session, base, task, queries, habits, np.random.default_rng(seed), book)
        await client.run(stop)
    return client.report()


def main() -> None:
    """Parse the command line and replay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", required=True, help="base URL")
    parser.add_argument("--task", required=True)
    parser.add_argument("--queries", required=True, help='JSON lines {"text", "label"}')
    parser.add_argument("--users", type=int, default=9000)
    parser.add_argument("--rate", type=float, default=150.0, help="requests per second")
    parser.add_argument("--feedback-rate", type=float, default=0.6, help="share that is judged")
    parser.add_argument("--mean-delay", type=float, default=0.7, help="seconds to the judgement")
    parser.add_argument("--patience", type=float, default=0.0, help="seconds to ask again for")
    parser.add_argument("--acknowledged", type=Path, help="file to note what was acknowledged in")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    lines = Path(given.queries).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    habits = Habits(
        users=given.users,
        rate=given.rate,
        feedback_rate=given.feedback_rate,
        mean_delay=given.mean_delay,
        patience=given.patience,
    )
    queries = [(row["text"], row["label"]) for row in rows]
    with ExitStack() as open_files:
        book = None
        if given.acknowledged is not None:
            # Line by line, so that whoever reads along, or kills this process, misses nothing.
            book = open_files.enter_context(given.acknowledged.open("a", buffering=1))
        seen = asyncio.run(replay(given.gateway, given.task, queries, habits, given.seed, book))
    json.dump(seen, sys.stdout)
    print()


if __name__ == "__main__":
    main()
