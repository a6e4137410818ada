"""Live pages over HTTP: what a stream tells, how many there may be, and how they end (P2)."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn

from greenlight import wiring
from greenlight.dashboard.live import MOST
from greenlight.entrypoints import gateway as process
from greenlight.entrypoints.gateway import listen, serve
from scripts.shop import TASK, opened
from tests.cli.project import Project
from tests.dashboard.shops import begun, rollouts, shown, told
from tests.serving.harness import Client, asynchronous, eventually, serving

WITHIN_S = 10


async def next_digest(answer: aiohttp.ClientResponse) -> str:
    """What the next event of a stream says."""
    async with asyncio.timeout(WITHIN_S):
        async for line in answer.content:
            if line.startswith(b"data: "):
                return line[6:].decode().strip()
    raise AssertionError("the stream has ended")


async def digest_of(client: Client, path: str) -> str:
    """The digest on a page."""
    found = re.search(r'data-digest="([^"]+)"', (await client.get(path))[1])
    assert found is not None
    return found[1]


@asynchronous
async def test_a_stream_tells_when_the_pages_show_something_else(tmp_path: Path) -> None:
    """P2: first what is shown now; then, when the controller has decided, that it is another."""
    with opened(tmp_path / "shop") as shop:
        begun(shop)
        page = f"/rollouts/{rollouts(shop)[0].id}"
        async with (
            shown(shop) as client,
            client.session.get(f"/live?topic={TASK}") as stream,
        ):
            assert stream.content_type == "text/event-stream"
            assert stream.headers["Cache-Control"] == "no-store"
            first = await next_digest(stream)
            assert first == await digest_of(client, page)
            await asyncio.to_thread(shop.live, 2)
            second = await next_digest(stream)
            while second != (now := await digest_of(client, page)):
                second = await next_digest(stream)
            assert now != first


@asynchronous
async def test_another_task_is_no_news() -> None:
    """A page follows its own task."""
    async with shown(told("begun")) as client:
        overview, one = await digest_of(client, "/"), await digest_of(client, f"/tasks/{TASK}")
        assert len({overview, one, await digest_of(client, "/tasks/reply")}) == 3


@asynchronous
async def test_there_are_so_many_streams_and_no_more() -> None:
    """One more is told to come again; those that leave make room."""
    async with shown(told("begun")) as client:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(client.url, connector=connector) as session:
            streams = [await session.get("/live") for _ in range(MOST)]
            assert {stream.status for stream in streams} == {200}
            async with session.get("/live") as refused:
                assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
            streams[0].close()

            async def let_in() -> bool:
                async with session.get("/live") as again:
                    return again.status == 200

            await eventually(let_in)
            for stream in streams:
                stream.close()


@pytest.mark.timeout(60)
def test_streams_end_when_the_gateway_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM waits for answers under way; for a stream that would be for ever."""
    shop = told("begun")
    built = wiring.build_gateway(shop.app, replica="gateway-1", pages=True)
    ended: list[str] = []

    async def follow(url: str) -> None:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/live") as stream:
            ended.append(await next_digest(stream))
            servers[0].should_exit = True
            async with asyncio.timeout(3):
                await stream.content.read()
            ended.append("over")

    servers, following = _watched(monkeypatch), []

    def ready(url: str) -> None:
        following.append(asyncio.get_running_loop().create_task(follow(url)))

    serve(built, "127.0.0.1", listen("127.0.0.1", 0), ready=ready, leaving=built.leave)
    assert ended[1:] == ["over"]


def _watched(monkeypatch: pytest.MonkeyPatch) -> list[uvicorn.Server]:
    """The servers that are made."""
    made: list[uvicorn.Server] = []
    begin = uvicorn.Server.startup

    async def startup(self: uvicorn.Server, sockets: object = None) -> None:
        made.append(self)
        await begin(self, sockets)  # type: ignore[arg-type]

    monkeypatch.setattr(uvicorn.Server, "startup", startup)
    return made


@asynchronous
async def test_a_gateway_alone_shows_no_pages() -> None:
    """The data plane by itself: `greenlight gateway` answers as ever."""
    gateway = wiring.build_gateway(told("begun").app, replica="gateway-1")
    async with serving(gateway) as client:
        for path in ("/", "/live", "/approvals"):
            status, said = await client.get(path)
            assert status == 404 and said.startswith('{"error"')


@pytest.mark.parametrize(("command", "shows"), [("up", True), ("gateway", False)])
def test_which_command_shows_the_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, shows: bool
) -> None:
    """`greenlight up` is a complete system; a gateway is the data plane alone. Both end at once."""
    begun: list[Any] = []

    def serve(app: Any, *_: object, leaving: object, **__: object) -> None:
        begun.append(app)
        assert leaving == app.leave

    monkeypatch.setattr(process, "serve", serve)
    Project(tmp_path).ok(command)
    assert (begun[0]._pages is not None) == shows
