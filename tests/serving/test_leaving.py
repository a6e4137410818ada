"""Clients that leave in the middle of an answer leave nothing behind (S1, S3, promise 5)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from greenlight.core.records import Inference, Replica
from greenlight.core.states import Status
from greenlight.lookup import everything
from tests.serving.harness import Client, asynchronous, eventually
from tests.serving.sites import C1, C2, C3, Scene, Talker, scene
from tests.serving.traffic import chat_body

MANY = 50


async def first_bit(client: Client, unit: str) -> aiohttp.ClientResponse:
    """A stream of which the first bit has been read."""
    body = chat_body(unit, stream=True)
    response = await client.session.post("/v1/chat/completions", json=body)
    assert (await response.content.readline()).startswith(b"data: ")
    return response


def records(on: Scene) -> list[Inference]:
    """Everything in the store."""
    return list(everything(on.world.store, Inference))


async def retired(on: Scene) -> None:
    """New versions take over, and the old ones are closed: no request holds them any more."""
    old = [on.world.models[digest] for digest in (C1, C2)]
    on.world.epoch(2, C3, task="support")
    await eventually(lambda: all(isinstance(made, Talker) and made.closed for made in old))


async def flushed(on: Scene) -> None:
    """Evidence may rest on everything up to now."""
    now = on.world.clock.now()
    await eventually(lambda: on.world.store.get(Replica, "gateway-1").flushed_through > now)


def others(before: set[asyncio.Task[Any]]) -> set[str]:
    """What runs that did not run before, but for connections that are kept."""
    now = asyncio.all_tasks() - before
    return {repr(task.get_coro()) for task in now if "RequestHandler" not in repr(task)}


@asynchronous
async def test_fifty_leave_in_the_middle_of_their_streams(tmp_path: Path) -> None:
    """S3: each is on record with what was sent; the calls to the provider end; no version, no task
    and no moment that evidence waits for is held."""
    async with scene(tmp_path) as on:
        before = asyncio.all_tasks()
        providers = [on.providers[name] for name in ("blue", "green")]
        for provider in providers:
            provider.gate = asyncio.Event()
        async with aiohttp.ClientSession(
            on.client.url, connector=aiohttp.TCPConnector(limit=0)
        ) as session:
            client = Client(session, on.client.url)
            units = [f"user-{number}" for number in range(MANY)]
            streams = await asyncio.gather(*(first_bit(client, unit) for unit in units))
            for stream in streams:
                stream.close()
        await eventually(lambda: len(records(on)) == MANY)
        assert {(r.status, r.output[:4]) for r in records(on)} == {
            (Status.CANCELLED, "blue"),
            (Status.CANCELLED, "gree"),
        }
        assert sorted(record.unit for record in records(on)) == sorted(units)
        await eventually(lambda: others(before) == set())
        await retired(on)
        await flushed(on)


@asynchronous
async def test_who_leaves_before_the_first_bit(tmp_path: Path) -> None:
    """The same for those who did not wait for it, whoever is asked when it comes."""
    async with scene(tmp_path) as on:
        before = asyncio.all_tasks()
        coming = asyncio.Event()

        async def late(request: web.Request) -> web.StreamResponse:
            await coming.wait()
            provider = on.providers[request.path.split("/")[1]]
            provider.fault = None
            return await provider.answer(request)

        on.providers["blue"].fault = on.providers["green"].fault = late
        asked = on.providers["blue"].requests, on.providers["green"].requests
        async with aiohttp.ClientSession(
            on.client.url, connector=aiohttp.TCPConnector(limit=0)
        ) as session:
            client = Client(session, on.client.url)
            waiting = [asyncio.create_task(first_bit(client, f"user-{n}")) for n in range(MANY)]
            await eventually(lambda: sum(map(len, asked)) == MANY)
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
        coming.set()
        await eventually(lambda: len(records(on)) == MANY)
        await eventually(lambda: others(before) == set())
        await retired(on)
        await flushed(on)


class Server:
    """An ASGI server with one request, whose client takes nothing; it gives up when it stops."""

    def __init__(self, on: Scene) -> None:
        self._on = on
        self._body = msgspec.json.encode(chat_body("user-1", stream=True))
        self.sending = asyncio.Event()

    async def serve(self) -> None:
        """Serve until given up."""
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
        await self._on.gateway(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if self._body:
            body, self._body = self._body, b""
            return {"type": "http.request", "body": body}
        await asyncio.Event().wait()
        return {}

    async def _send(self, message: Any) -> None:
        self.sending.set()
        await asyncio.Event().wait()


async def nothing_yet(request: web.Request) -> web.StreamResponse:
    """A stream whose first event has no choices, as Azure's has, and which does not go on."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b'data: {"choices":[],"prompt_filter_results":[]}\n\n')
    await asyncio.Event().wait()
    return response


@pytest.mark.parametrize("stream", [None, nothing_yet])
@asynchronous
async def test_a_stream_whose_head_nobody_takes(tmp_path: Path, stream: Any) -> None:
    """A client that does not read holds back even the beginning; when the server stops, the stream
    is on record and lets go of its versions."""
    async with scene(tmp_path) as on:
        on.providers["blue"].fault = on.providers["green"].fault = stream
        server = Server(on)
        serving = asyncio.create_task(server.serve())
        await asyncio.wait_for(server.sending.wait(), 5)
        serving.cancel()
        await asyncio.wait([serving])
        assert serving.cancelled()
        await eventually(lambda: len(records(on)) == 1)
        assert records(on)[0].status is Status.CANCELLED
        await retired(on)
        await flushed(on)
