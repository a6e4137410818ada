"""A gateway on a real SQLite store, before one task that classifies and one that chats."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from greenlight.adapters.runtimes.openai_proxy import OpenAIProxyRuntime
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.records import MILLISECOND, SECOND, Version
from greenlight.models.chat import ChatModel
from greenlight.serving.app import Gateway
from greenlight.serving.routing import Plan
from greenlight.serving.settings import Settings
from tests.serving.harness import QUICK, V1, V2, Client, World, serving
from tests.serving.provider import Provider, providing

C1, C2, C3 = (f"sha256:{digit * 64}" for digit in "abc")


class Talker(OpenAIProxyRuntime):
    """A version at a provider, which says whether it was closed."""

    closed = False

    async def close(self) -> None:
        await super().close()
        self.closed = True


class Site(World):
    """A world in a SQLite file: the task `intent` classifies, `support` chats."""

    def __init__(self, folder: Path, store: str = "store.db") -> None:
        super().__init__(folder / "spool")
        made = self.store.scan(Version)
        for digest, label in ((C1, "blue"), (C2, "green"), (C3, "red")):
            made.append(replace(made[0], digest=digest, task="support", label=label))
        self.path = folder / store
        self.store: Any = SqlStore(f"sqlite:///{self.path}")
        self.store.commit(append=made)

    def split(self, weight: float, number: int = 1) -> None:
        """A candidate in both tasks."""
        self.epoch(number, V1, V2, weight)
        self.epoch(number, C1, C2, weight, task="support")

    def talker(self, digest: str, provider: Provider, **settings: Any) -> Talker:
        """A version that chats at a provider."""
        model = ChatModel(model=provider.name)
        made = self.models[digest] = Talker(provider.url, model, clock=self.clock, **settings)
        return made


class Scene:
    """A gateway at work, and what is around it."""

    def __init__(
        self, world: Site, gateway: Gateway, client: Client, providers: dict[str, Provider]
    ) -> None:
        self.world, self.gateway, self.client = world, gateway, client
        self.providers = providers

    async def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        _, text = await self.client.get("/metrics")
        lines = [line for line in text.splitlines() if line.startswith(f"greenlight_{name}")]
        return sum(float(line.split()[-1]) for line in lines)


@asynccontextmanager
async def scene(
    folder: Path,
    settings: Settings = QUICK,
    *,
    weight: float = 0.5,
    timeout: int = 5 * SECOND,
    reset: int = 50 * MILLISECOND,
) -> AsyncIterator[Scene]:
    """A gateway with a candidate in both tasks; leaving stops it as SIGTERM would."""
    (folder / "store").mkdir()
    world = Site(folder, "store/store.db")
    async with providing("blue", "green", "red") as providers:
        for digest, provider in zip((C1, C2, C3), providers, strict=True):
            world.talker(digest, provider, timeout=timeout, reset=reset)
        world.split(weight)
        gateway = world.gateway(settings, plan=lambda task: Plan(budget=timeout / SECOND))
        async with serving(gateway) as client:
            yield Scene(world, gateway, client, {made.name: made for made in providers})
    world.store.close()


class Witness:
    """Looks again and again, through a connection of its own, what evidence may rest on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._seen: dict[int, int] = {}
        """flushed_through → how many events up to then were in the store."""

    def look(self) -> None:
        """Remember what a gateway has promised, and what is there."""
        row = self._connection.execute("SELECT flushed_through FROM replicas").fetchone()
        if row is not None:
            self._seen.setdefault(row[0], self._count(row[0]))

    def check(self) -> int:
        """Whatever was promised was kept; says how many promises covered something."""
        for promised, there in self._seen.items():
            assert self._count(promised) == there, f"events up to {promised} came later"
        return sum(there > 0 for there in self._seen.values())

    def _count(self, until: int) -> int:
        query = "SELECT count(*) FROM {} WHERE at <= ?"
        return sum(
            self._connection.execute(query.format(table), (until,)).fetchone()[0]
            for table in ("inferences", "feedback")
        )


@asynccontextmanager
async def watching(path: Path) -> AsyncIterator[Witness]:
    """A witness that looks all the time."""
    witness = Witness(path)

    async def watch() -> None:
        while True:
            witness.look()
            await asyncio.sleep(0.01)

    task = asyncio.create_task(watch())
    yield witness
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled(), "it could not look"
