"""A gateway in front of a classifier and a chat, for tests that send it whatever they like."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import web

from greenlight.adapters.runtimes.openai_proxy import OpenAIProxyRuntime
from greenlight.core.records import SECOND
from greenlight.models.chat import ChatModel
from greenlight.serving.routing import Plan, Segment
from greenlight.serving.settings import MIB
from tests.serving.harness import V2, V3, Client, World, serving
from tests.serving.provider import Provider

CLASSIFIER, CHAT = "intent", "support"


class Careful(Provider):
    """Refuses what it cannot read, as real providers do."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        try:
            return await super().answer(request)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
            return web.json_response({"error": {"message": "malformed"}}, status=400)


@asynccontextmanager
async def open_world(
    folder: Path, world: World | None = None
) -> AsyncIterator[tuple[World, Client]]:
    """A classifier that is being split, and a chat."""
    world = world or World(folder)
    async with _providing(Careful("blue")) as url:
        world.models[V3] = OpenAIProxyRuntime(
            url,
            ChatModel(model="blue", system="Be brief."),
            clock=world.clock,
            timeout=5 * SECOND,
        )
        world.epoch(1, candidate=V2, weight=0.5, task=CLASSIFIER)
        world.epoch(1, control=V3, task=CHAT)
        plan = Plan(segments=(Segment(when={"country": "DE"}, weight=0.0),))
        async with serving(world.gateway(plan=lambda task: plan)) as client:
            yield world, client


@asynccontextmanager
async def _providing(provider: Provider) -> AsyncIterator[str]:
    app = web.Application(client_max_size=4 * MIB)
    app.router.add_post("/chat/completions", provider.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
