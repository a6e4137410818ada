"""People who ask a gateway and say what they think: `python -m examples.NAME.traffic`.

They ask by the `openai` package, as applications do, and give feedback over HTTP. Each of them is a
unit. Nothing here knows a version: an answer and its id are all that is seen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections import Counter
from contextlib import suppress

import aiohttp
import numpy as np
import openai

from examples.worlds import Visit, Word, World

USERS, REVIEWERS = 8_000, 16
AT_ONCE = 32
"""Requests under way together."""
UNRECORDED = "unrecorded"
"""The id of an answer that nothing can be said of."""


class Crowd:
    """Asks at a steady rate, and speaks after a while."""

    def __init__(
        self,
        world: World,
        sdk: openai.AsyncOpenAI,
        http: aiohttp.ClientSession,
        *,
        season: int,
        seed: int,
    ) -> None:
        self._world, self._sdk, self._http, self._season = world, sdk, http, season
        self._seed = seed
        self._coming = np.random.default_rng([seed, 0])
        self._under_way: set[asyncio.Task[None]] = set()
        self.seen: Counter[str] = Counter()

    async def come(self, rate: float, most: int | None, stop: asyncio.Event) -> None:
        """Ask `rate` times a second until `most` have asked or somebody stops it; then let what is
        under way end."""
        free = asyncio.Semaphore(AT_ONCE)
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not stop.is_set() and (most is None or self.seen["asked"] < most):
            due = began + self.seen["asked"] / rate - loop.time()
            if due > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), due)
                    break
            await free.acquire()
            self.seen["asked"] += 1
            user = f"user-{int(self._coming.integers(USERS)):04d}"
            visit = self._world.visit(self._season, self._coming)
            # Each has luck of their own, for answers come in any order.
            luck = np.random.default_rng([self._seed, self.seen["asked"]])
            self._begin(self._ask(user, visit, luck, free))
        while self._under_way:
            await asyncio.gather(*self._under_way)

    def _begin(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _ask(
        self, user: str, visit: Visit, luck: np.random.Generator, free: asyncio.Semaphore
    ) -> None:
        try:
            made = await self._sdk.chat.completions.create(
                model=f"greenlight/{self._world.task}",
                messages=[{"role": "user", "content": visit.text}],
                user=user,
            )
        except openai.OpenAIError:
            self.seen["failed"] += 1
            return
        finally:
            free.release()
        if made.id == UNRECORDED:
            return
        answer = made.choices[0].message.content or ""
        for word in self._world.hear(visit, answer, luck):
            reviewer = f"reviewer-{int(luck.integers(REVIEWERS)):02d}"
            self._begin(self._say(made.id, word, reviewer))

    async def _say(self, inference: str, word: Word, reviewer: str) -> None:
        await asyncio.sleep(word.delay)
        details = {
            "reason_code": word.reason_code,
            "comment": word.comment,
            "correction": word.correction,
            "reviewer": reviewer if word.metric == "quality" else None,
        }
        body = {"inference_id": inference, "metric": word.metric, "value": word.value}
        body |= {name: value for name, value in details.items() if value is not None}
        async with self._http.post("/v1/feedback", json=body) as response:
            kept = response.status < 300
        self.seen[str(word.value) if word.metric == "quality" else word.metric] += kept
        self.seen["not kept"] += not kept


async def crowd(
    world: World, gateway: str, *, season: int, rate: float, most: int | None, seed: int
) -> dict[str, int]:
    """People come until enough have asked, or until SIGTERM; what they saw, counted."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    # The gateway of an example is open to all; the package wants a key all the same.
    async with (
        openai.AsyncOpenAI(base_url=f"{gateway}/v1", api_key="none", max_retries=0) as sdk,
        aiohttp.ClientSession(gateway) as http,
    ):
        found = Crowd(world, sdk, http, season=season, seed=seed)
        await found.come(rate, most, stop)
    return dict(found.seen)


def main(world: World) -> None:
    """Read the command line; the counts go to standard output as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", required=True, help="base address")
    parser.add_argument("--season", type=int, choices=(1, 2), default=1)
    parser.add_argument("--rate", type=float, default=40.0, help="requests a second")
    parser.add_argument("--requests", type=int, help="how many; without it, until SIGTERM")
    parser.add_argument("--seed", type=int, default=2025)
    given = parser.parse_args()
    coming = crowd(
        world,
        given.gateway.rstrip("/"),
        season=given.season,
        rate=given.rate,
        most=given.requests,
        seed=given.seed,
    )
    json.dump(asyncio.run(coming), sys.stdout)
    print()
