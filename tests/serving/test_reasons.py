"""A classifier that says why: what clients get of it, and what is kept (S1, S3, D4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web

from greenlight.adapters.runtimes.http import HttpRuntime
from greenlight.core.records import Inference
from greenlight.serving.routing import Capture, Plan
from tests.serving.harness import V1, V2, World, asynchronous, eventually, serving

PATH = "/v1/tasks/intent/predict"
ASKED: list[Any] = [{"role": "user", "content": "What is the capital of France, and of Peru?"}]
WHY = "two ideas on one card"


def world_of(folder: Path, reason: str | None = WHY, **epoch: Any) -> World:
    world = World(folder)
    world.models[V1].reason = reason
    world.epoch(1, **epoch)
    return world


async def recorded(world: World) -> Inference:
    await eventually(lambda: world.inferences())
    [record] = world.inferences().values()
    return record


@pytest.mark.parametrize("reason", [WHY, None])
@asynchronous
async def test_a_prediction_comes_with_its_reason_and_so_it_is_kept(
    tmp_path: Path, reason: str | None
) -> None:
    world = world_of(tmp_path, reason)
    async with serving(world.gateway()) as client:
        _, answer, _ = await client.predict("ana")
        assert answer["output"].get("reason", "none") == (reason or "none")
        record = await recorded(world)
        assert (record.output, record.reason) == ("v1", reason)


@pytest.mark.parametrize(("reason", "said"), [(WHY, f"v1: {WHY}"), (None, "v1")])
@pytest.mark.parametrize("streamed", [False, True])
@asynchronous
async def test_in_a_chat_label_and_reason_are_one_answer(
    tmp_path: Path, streamed: bool, reason: str | None, said: str
) -> None:
    """With the real client; on record they are two, whichever way it was asked."""
    world = world_of(tmp_path, reason)
    async with serving(world.gateway()) as client:
        url = f"{client.url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as sdk:
            asking = sdk.chat.completions
            model = "greenlight/intent"
            if streamed:
                stream = await asking.create(model=model, messages=ASKED, stream=True)
                bits = [chunk.choices[0].delta.content or "" async for chunk in stream]
                assert "".join(bits) == said
            else:
                made = await asking.create(model=model, messages=ASKED)
                assert made.choices[0].message.content == said
        record = await recorded(world)
        assert (record.output, record.reason, record.score) == ("v1", reason, 0.75)


@pytest.mark.parametrize(
    ("capture", "kept"),
    [
        (Capture(mask=lambda text: text.replace("two ideas", "…")), "… on one card"),
        (Capture(output=False), None),
        (Capture(share=0.5), None),
    ],
)
@asynchronous
async def test_a_reason_is_kept_as_far_as_its_answer(
    tmp_path: Path, capture: Capture, kept: str | None
) -> None:
    """D11: masked like the output, and not kept where the lot fell otherwise."""
    world = world_of(tmp_path)
    world.luck = lambda: 0.9
    async with serving(world.gateway(plan=lambda task: Plan(capture=capture))) as client:
        _, answer, _ = await client.predict("ana")
        assert answer["output"]["reason"] == WHY
        assert (await recorded(world)).reason == kept


@asynchronous
async def test_the_same_judgement_in_other_words_agrees(tmp_path: Path) -> None:
    """S6: a copy is compared by its label."""
    world = world_of(tmp_path, candidate=V2)
    world.models[V2].name, world.models[V2].reason = "v1", "a card has one idea"
    async with serving(world.gateway()) as client:
        await client.predict("ana")
        await eventually(lambda: world.shadows())
        [shadow] = world.shadows().values()
        assert (shadow.output, shadow.agreed) == ("v1", True)


@asynchronous
async def test_a_model_elsewhere_cannot_say_more_than_is_kept(tmp_path: Path) -> None:
    async def predict(request: web.Request) -> web.Response:
        said = {"label": "v1", "score": None, "reason": "so\x00 " + "long " * 1000}
        return web.json_response({"predictions": [said]})

    app = web.Application()
    app.router.add_post("/predict", predict)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        world = world_of(tmp_path)
        host, port = runner.addresses[0][:2]
        world.models[V1] = HttpRuntime(f"http://{host}:{port}", clock=world.clock)
        async with serving(world.gateway()) as client:
            _, answer, _ = await client.predict("ana")
            assert answer["output"]["reason"] == "so " + ("long " * 100)[:497].rstrip()
    finally:
        await runner.cleanup()
