"""A gateway over two versions that talk, for tests of chat completions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import openai

from greenlight.adapters.runtimes.openai_proxy import OpenAIProxyRuntime
from greenlight.core.records import MILLISECOND, SECOND, Inference
from greenlight.core.usage import Prices
from greenlight.models.chat import ChatModel
from greenlight.serving.routing import Plan
from tests.serving.harness import V1, V2, Client, World, eventually, serving
from tests.serving.provider import Provider, providing

MODEL = "greenlight/intent"
HELLO: list[Any] = [{"role": "user", "content": "hello there"}]
BODY = {"model": MODEL, "messages": HELLO, "user": "ana"}
CHAT = "/v1/chat/completions"


class Scene:
    """A gateway over two versions that talk; everybody meets the candidate, if there is one."""

    def __init__(self, world: World, blue: Provider, green: Provider, client: Client) -> None:
        self.world, self.blue, self.green, self.client = world, blue, green, client

    @property
    def sdk(self) -> openai.AsyncOpenAI:
        url = f"{self.client.url}/v1"
        return openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0)

    async def ask(self, **more: Any) -> tuple[int, Any, dict[str, str]]:
        return await self.client.post(CHAT, BODY | more)

    async def stream(self, **more: Any) -> bytes:
        body = msgspec.json.encode(BODY | {"stream": True} | more)
        async with self.client.session.post(CHAT, data=body) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            return await response.read()

    async def record(self) -> Inference:
        """The one inference, once it is in the store."""
        await eventually(lambda: self.world.inferences())
        [record] = self.world.inferences().values()
        return record


@asynccontextmanager
async def scene(
    folder: Path,
    *,
    weight: float | None = None,
    model: ChatModel | None = None,
    plan: Plan | None = None,
    timeout: int = 5 * SECOND,
) -> AsyncIterator[Scene]:
    world = World(folder)
    async with providing("blue", "green") as (blue, green):
        for digest, provider in ((V1, blue), (V2, green)):
            made = model if model is not None and digest == V2 else ChatModel(model=provider.name)
            world.models[digest] = OpenAIProxyRuntime(
                provider.url,
                made,
                clock=world.clock,
                key="sk-secret",
                prices=Prices(1.0, 10.0),
                timeout=timeout,
                reset=50 * MILLISECOND,
            )
        world.epoch(1, candidate=None if weight is None else V2, weight=weight or 0.0)
        gateway = world.gateway(plan=lambda task: plan or Plan(budget=timeout / SECOND))
        async with serving(gateway) as client:
            yield Scene(world, blue, green, client)
