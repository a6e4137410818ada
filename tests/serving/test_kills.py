"""A gateway under every kind of traffic, killed again and again, and stopped (promise 5)."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from greenlight.core.records import Inference, Replica
from greenlight.core.states import Status
from greenlight.lookup import everything
from tests.serving.harness import Client, asynchronous, eventually
from tests.serving.provider import Provider, providing
from tests.serving.sites import Site
from tests.serving.test_processes import process
from tests.serving.traffic import KINDS, Book, Crowd, Users, more, settle

LINGER_MS = ("1", "60000", "20")
"""Killed while batches move, before any has, and in between."""


@asynccontextmanager
async def installation(folder: Path) -> AsyncIterator[tuple[Site, list[Provider]]]:
    """A store with two tasks, both split, and the providers of the one that chats."""
    world = Site(folder)
    world.split(0.5)
    async with providing("blue", "green") as providers:
        yield world, providers
    world.store.close()


@contextmanager
def gateway(
    world: Site, provider: Provider, linger: str = "1"
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The gateway in a process of its own."""
    base = provider.url.removesuffix(f"/{provider.name}/v1")
    module, folder = "tests.serving.gateway_process", str(world.path.parent)
    with process(module, folder, linger, base) as running:
        yield running


def nothing_waits(world: Site) -> bool:
    """Whether the spool's folder is empty, and the gateway has signed off."""
    replica = world.store.get(Replica, "gateway-1")
    return not list(world.folder.iterdir()) and replica is not None and replica.at == 0


@pytest.mark.parametrize(
    "kills", [3, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(400)])]
)
@asynchronous
async def test_killed_again_and_again(tmp_path: Path, kills: int) -> None:
    """S3, S7: SIGKILL under predictions, chats, streams and judgements. Who gets no receipt sends a
    judgement again, to the next process."""
    luck = random.Random(2025)
    book = Book()
    async with installation(tmp_path) as (world, [provider, _]):
        for number in range(kills):
            users = Users(book)
            linger = LINGER_MS[number % len(LINGER_MS)]
            with gateway(world, provider, linger) as (running, url):
                session = aiohttp.ClientSession(url)
                async with session, Crowd(users, Client(session)):
                    await more(book, luck.randrange(30, 120))
                    running.kill()
        with gateway(world, provider) as (running, url):
            async with aiohttp.ClientSession(url) as session:
                await users.judge_again(Client(session))
            running.send_signal(signal.SIGTERM)
            assert running.wait(20) == 0
        assert book.due == {}
        assert set(book.outcomes) == {(kind, "ok") for kind in (*KINDS, "feedback")}
        settle(world.store, book)
        assert nothing_waits(world)


def refuses(url: str) -> bool:
    """Whether nobody can connect any more."""
    place = urlsplit(url)
    try:
        socket.create_connection((place.hostname or "", place.port or 0), 1).close()
    except ConnectionError:
        return True
    return False


@pytest.mark.parametrize("within_grace", [True, pytest.param(False, marks=pytest.mark.slow)])
@asynchronous
async def test_stopped_while_streams_are_running(tmp_path: Path, within_grace: bool) -> None:
    """SIGTERM: nothing new is taken, what runs may come to its end for 15 s and is then cut off;
    either way it is on record and the exit code is 0."""
    users = Users()
    async with installation(tmp_path) as (world, providers):
        gate = asyncio.Event()
        for provider in providers:
            provider.gate = gate
        with gateway(world, providers[0]) as (running, url):
            async with aiohttp.ClientSession(url) as session:
                client = Client(session)
                await users.ask(client, "predict", "user-0")
                streams = [
                    asyncio.create_task(users.ask(client, "stream", f"user-{n}")) for n in range(20)
                ]
                asked = [provider.requests for provider in providers]
                await eventually(lambda: sum(map(len, asked)) == 20)
                running.send_signal(signal.SIGTERM)
                await eventually(lambda: refuses(url))
                assert running.poll() is None
                if within_grace:
                    gate.set()
                ended = await asyncio.gather(*streams, return_exceptions=True)
                assert await asyncio.to_thread(running.wait, 20) == 0
        settle(world.store, users.book)
        assert nothing_waits(world)
        records = list(everything(world.store, Inference, {"task": "support"}))
        assert {record.status for record in records} == {
            Status.OK if within_grace else Status.CANCELLED
        }
        assert len(records) == 20
        assert all(isinstance(end, str) is within_grace for end in ended)
