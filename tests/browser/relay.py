"""A page and its relay at one origin, before a gateway with keys. Both are the examples of
docs/http.md, run as they stand there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
from aiohttp import web

from greenlight.stages import keys
from tests.serving import sites
from tests.serving.harness import eventually
from tests.serving.provider import Provider

DOCUMENT = Path(__file__).parents[2] / "docs/http.md"
PAGE = Path(__file__).with_name("chat.html")


def examples() -> dict[str, str]:
    """Language → the example that docs/http.md gives of it for browsers."""
    text = DOCUMENT.read_text(encoding="utf-8")
    section = text.partition("**From a browser.**")[2].partition("\n## ")[0]
    found = re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL)
    assert [language for language, _ in found] == ["python", "js"]
    return dict(found)


class Place:
    """Where the page is, and what is behind it; everybody meets the candidate, which is green."""

    def __init__(self, scene: sites.Scene, key: str) -> None:
        self.scene = scene
        self.key = key
        """The id of the relay's key."""
        self.url = ""
        self.asked: list[web.Request] = []
        """What the page asked its relay."""

    @property
    def green(self) -> Provider:
        return self.scene.providers["green"]


@asynccontextmanager
async def place(folder: Path) -> AsyncIterator[Place]:
    """A gateway that takes requests with a key only, a relay that has one, and the page."""
    async with sites.scene(folder, weight=1.0) as scene, aiohttp.ClientSession() as session:
        key, secret = keys.create(
            scene.world.store,
            name="relay",
            scopes=("predict",),
            expires_at=None,
            by="ana",
            now=scene.world.clock.now(),
            random=Random(7).randbytes,
        )
        await eventually(lambda: _closed(scene))
        made = Place(scene, key.id)
        found = examples()
        names: dict[str, Any] = {
            "web": web,
            "session": session,
            "GATEWAY": scene.client.url,
            "KEY": secret,
            "user_of": lambda request: "ana",
        }
        exec(found["python"], names)
        html = PAGE.read_text(encoding="utf-8").replace("/* EXAMPLE */", found["js"])

        async def page(request: web.Request) -> web.Response:
            return web.Response(text=html, content_type="text/html")

        async def ask(request: web.Request) -> web.StreamResponse:
            made.asked.append(request)
            response: web.StreamResponse = await names["relay"](request)
            return response

        app = web.Application()
        app.add_routes([web.get("/", page), web.get("/ask", ask), web.post("/ask", ask)])
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        try:
            yield made
        finally:
            await runner.cleanup()


async def _closed(scene: sites.Scene) -> bool:
    """Whether the gateway has learnt by now that a key is needed."""
    status, _ = await scene.client.get("/v1/models")
    return status == 401
