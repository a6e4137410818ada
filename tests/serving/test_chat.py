"""Chat completions through the gateway, asked by the real `openai` package (S1, S3, S5)."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from aiohttp import web

from greenlight.core import ids
from greenlight.core.records import MILLISECOND, SECOND
from greenlight.core.states import Status, Variant
from greenlight.models.chat import ChatModel
from greenlight.serving.routing import Capture, Plan, Segment
from tests.serving.harness import V1, V2, World, asynchronous, eventually, serving
from tests.serving.provider import (
    USAGE,
    breaking,
    failing,
    saying,
    silent,
)
from tests.serving.scene import BODY, CHAT, HELLO, MODEL, scene


@asynchronous
async def test_the_real_client_asks_and_is_told_nothing_of_versions(tmp_path: Path) -> None:
    async with scene(tmp_path, weight=1.0) as on, on.sdk as sdk:
        made = await sdk.chat.completions.create(
            model=MODEL, messages=HELLO, user="ana", temperature=0.5, logprobs=True
        )
        assert made.choices[0].message.content == "green: hello there"
        assert (made.model, made.system_fingerprint) == (MODEL, None)
        assert made.usage is not None and made.usage.total_tokens == 10
        record = await on.record()
        assert made.id == record.id and ids.time_of(made.id)
        assert (record.variant, record.version, record.served_version) == (
            Variant.CANDIDATE,
            V2,
            V2,
        )
        assert (record.unit, record.unit_source, record.status) == ("ana", "body", Status.OK)
        assert msgspec.json.decode(record.input) == HELLO
        assert record.output == "green: hello there"
        assert (record.input_tokens, record.output_tokens) == (7, 3)
        assert record.cost == pytest.approx((7 + 30) / 1e6)
        [asked] = on.green.requests
        assert (asked["model"], asked["temperature"], asked["logprobs"]) == ("green", 0.5, True)
        said = await sdk.post(
            "/feedback", body={"inference_id": made.id, "value": "GOOD"}, cast_to=object
        )
        assert said["status"] == "stored"  # type: ignore[index]
        assert [model.id async for model in sdk.models.list()] == [MODEL]
        _, counted = await on.client.get("/metrics")
        label = 'task="intent",version="v2"'
        assert f'greenlight_tokens_total{{direction="input",{label}}} 7.0' in counted
        assert f'greenlight_tokens_total{{direction="output",{label}}} 3.0' in counted
        assert f"greenlight_cost_total{{{label}}} 3.7e-05" in counted


@asynchronous
async def test_the_synchronous_client_and_tools(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:

        def ask() -> Any:
            url = f"{on.client.url}/v1"
            with openai.OpenAI(base_url=url, api_key="any", max_retries=0) as sdk:
                return sdk.chat.completions.create(
                    model=MODEL,
                    messages=HELLO,
                    tools=[{"type": "function", "function": {"name": "look", "parameters": {}}}],
                )

        made = await asyncio.to_thread(ask)
        assert made.choices[0].message.tool_calls[0].function.name == "look"
        record = await on.record()
        assert msgspec.json.decode(record.output)[0]["function"]["name"] == "look"
        assert record.unit_source == "request"


@pytest.mark.parametrize("wants_usage", [False, True])
@asynchronous
async def test_a_stream_comes_bit_by_bit(tmp_path: Path, wants_usage: bool) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if wants_usage else {}
    async with scene(tmp_path, weight=1.0) as on, on.sdk as sdk:
        stream = await sdk.chat.completions.create(
            model=MODEL, messages=HELLO, safety_identifier="eve", user="x", stream=True, **options
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == (
            "green: hello there"
        )
        assert [chunk.usage for chunk in chunks if chunk.usage] == (
            [openai.types.CompletionUsage(**USAGE)] if wants_usage else []
        )
        record = await on.record()
        assert {(chunk.id, chunk.model) for chunk in chunks} == {(record.id, MODEL)}
        assert (record.output, record.unit) == ("green: hello there", "eve")
        assert (record.input_tokens, record.output_tokens) == (7, 3)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (failing(500), Status.ERROR),
        (failing(401), Status.ERROR),
        (failing(400, {"error": {"message": "green cannot"}}), Status.ERROR),
        (saying(b"<html>"), Status.ERROR),
        (saying(b'{"choices": []}'), Status.ERROR),
        (silent, Status.TIMEOUT),
        (breaking, Status.ERROR),
    ],
)
@asynchronous
async def test_control_answers_for_a_candidate_that_fails(
    tmp_path: Path, streamed: bool, fault: Any, status: Status
) -> None:
    """S5: in the same call, before the first byte; and it counts against the candidate."""
    async with scene(tmp_path, weight=1.0, timeout=600 * MILLISECOND) as on:
        on.green.fault = fault
        if streamed:
            text = (await on.stream()).decode()
            assert "blue" in text and text.endswith("data: [DONE]\n\n")
        else:
            code, answer, headers = await on.ask()
            assert (code, answer["choices"][0]["message"]["content"]) == (200, "blue: hello there")
            assert not any(name.lower().endswith("variant") for name in headers)
        record = await on.record()
        assert (record.status, record.variant, record.version) == (status, Variant.CANDIDATE, V2)
        assert (record.served_version, record.fallback_from) == (V1, V2)


@asynchronous
async def test_what_every_version_refuses_is_the_clients_fault(tmp_path: Path) -> None:
    """S4: 4xx counts apart; what the provider says is told without naming its model."""
    async with scene(tmp_path, weight=1.0) as on:
        fault = {"error": {"message": "green: too long", "param": "messages"}}
        on.green.fault = on.blue.fault = failing(400, fault)
        status, answer, _ = await on.ask()
        assert (status, answer["error"]["code"]) == (400, "refused_by_model")
        assert answer["error"]["param"] == "messages" and "too long" in answer["error"]["message"]
        assert (await on.record()).status is Status.REFUSED


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b'{"error": {"message": "\xff"}}'])
@asynchronous
async def test_a_refusal_without_readable_words_is_one(tmp_path: Path, body: bytes) -> None:
    async def fault(request: Any) -> web.Response:
        return web.Response(status=400, body=body)

    async with scene(tmp_path, weight=1.0) as on:
        on.green.fault = on.blue.fault = fault
        status, answer, _ = await on.ask()
        assert (status, answer["error"]["code"]) == (400, "refused_by_model")
        assert "no reason given" in answer["error"]["message"]


@asynchronous
async def test_an_overloaded_provider_is_told_on_and_asked_again_in_time(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        on.blue.fault = failing(429, headers={"retry-after": "60"})
        status, answer, headers = await on.ask()
        assert (status, answer["error"]["code"]) == (429, "too_many_requests")
        assert headers["Retry-After"] == "60"
        assert len(on.blue.requests) == 1
        failures = [failing(503), failing(429, headers={"retry-after": "0"})]

        async def recovering(request: Any) -> Any:
            fault = failures.pop(0)
            on.blue.fault = recovering if failures else None
            return await fault(request)

        on.blue.fault = recovering
        status, answer, _ = await on.ask()
        assert (status, len(on.blue.requests)) == (200, 4)


@asynchronous
async def test_nobody_answers(tmp_path: Path) -> None:
    async with scene(tmp_path, weight=1.0) as on:
        on.green.fault = on.blue.fault = failing(500)
        for body in ({}, {"stream": True}):
            status, answer, headers = await on.ask(**body)
            assert (status, answer["error"]["code"]) == (503, "no_answer")
            assert "x-greenlight-inference-id" in headers
        await eventually(lambda: len(on.world.inferences()) == 2)
        assert {r.served_version for r in on.world.inferences().values()} == {""}


@asynchronous
async def test_a_stream_that_breaks_off_is_told_and_counted(tmp_path: Path) -> None:
    async with scene(tmp_path, weight=1.0) as on, on.sdk as sdk:
        on.green.dies_after = 2
        stream = await sdk.chat.completions.create(
            model=MODEL, messages=HELLO, user="ana", stream=True
        )
        with pytest.raises(openai.APIError, match="broke off"):
            async for _ in stream:
                pass
        record = await on.record()
        assert (record.status, record.output) == (Status.ERROR, "green: h")
        assert record.served_version == V2


@asynchronous
async def test_a_client_that_leaves_ends_what_it_asked_for(tmp_path: Path) -> None:
    async with scene(tmp_path, weight=1.0) as on, on.sdk as sdk:
        on.green.gate = asyncio.Event()
        stream = await sdk.chat.completions.create(
            model=MODEL, messages=HELLO, user="ana", stream=True
        )
        async for chunk in stream:
            assert chunk.choices[0].delta.content == "gree"
            break
        await stream.close()
        await asyncio.wait_for(on.green.left.wait(), 5)
        record = await on.record()
        assert (record.status, record.output) == (Status.CANCELLED, "gree")


@asynchronous
async def test_instructions_are_part_of_the_version(tmp_path: Path) -> None:
    """S1: the gateway renders them; a request that lacks what they need goes to control."""
    made = ChatModel(model="green", system="Speak {language}.", defaults={"temperature": 0.25})
    async with scene(tmp_path, weight=1.0, model=made) as on:
        await on.ask(metadata={"language": "Welsh"})
        [asked] = on.green.requests
        assert asked["messages"] == [{"role": "system", "content": "Speak Welsh."}, *HELLO]
        assert asked["temperature"] == 0.25
        _, answer, _ = await on.ask(temperature=1)
        assert answer["choices"][0]["message"]["content"].startswith("blue")
        await on.ask(metadata={"language": "Welsh"}, temperature=1)
        assert on.green.requests[-1]["temperature"] == 1


@asynchronous
async def test_a_classifier_may_be_asked_in_the_same_way(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.epoch(1)
    async with serving(world.gateway()) as client:
        status, answer, _ = await client.post(CHAT, BODY)
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "v1")
        async with client.session.post(CHAT, json=BODY | {"stream": True}) as response:
            text = await response.text()
        assert '"content":"v1"' in text and text.endswith("data: [DONE]\n\n")
    for record in world.inferences().values():
        assert (record.input, record.output, record.score) == ("hello there", "v1", 0.75) or (
            record.score is None
        )


@asynchronous
async def test_a_chat_is_no_classifier(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        status, answer, _ = await on.client.predict("ana")
        assert (status, answer["error"]["code"]) == (422, "not_usable")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": HELLO}, "model"),
        (BODY | {"model": "gpt-4"}, "model"),
        (BODY | {"model": "greenlight/"}, "model"),
        ({"model": MODEL}, "messages"),
        (BODY | {"messages": []}, "messages"),
        (BODY | {"messages": "hello"}, "messages"),
        (BODY | {"messages": [{"content": "x"}]}, "messages"),
        (BODY | {"user": 7}, "user"),
        (BODY | {"user": ""}, "user"),
        (BODY | {"stream": "yes"}, "stream"),
        (BODY | {"metadata": []}, "metadata"),
    ],
)
@asynchronous
async def test_a_malformed_chat_is_told_which_field(tmp_path: Path, body: Any, param: str) -> None:
    async with scene(tmp_path) as on:
        status, answer, _ = await on.client.post(CHAT, body)
        assert (status, answer["error"]["param"]) == (400, param), answer
        status, answer, _ = await on.client.post(CHAT, BODY | {"model": "greenlight/other"})
        assert status == 404 and "there are: intent" in answer["error"]["message"]


@asynchronous
async def test_segments_steer_and_are_kept_out_of_chance(tmp_path: Path) -> None:
    """S2: the record says that nothing was left to chance: π is 0 or 1."""
    plan = Plan(
        segments=(
            Segment(when={"country": "DE", "tier": "gold"}, weight=1.0),
            Segment(when={"country": "DE"}, weight=0.0),
        )
    )
    async with scene(tmp_path, weight=0.5, plan=plan) as on:
        for user in range(8):
            await on.ask(user=f"g{user}", metadata={"country": "DE", "tier": "gold"})
            await on.ask(user=f"d{user}", metadata={"country": "DE"})
            await on.ask(user=f"o{user}", metadata={"country": "FR"})
        await eventually(lambda: len(on.world.inferences()) == 24)
        kept = on.world.inferences().values()
        assert {(r.unit[0], r.weight) for r in kept} == {("g", 1.0), ("d", 0.0), ("o", 0.5)}
        assert {r.variant for r in kept if r.unit[0] == "g"} == {Variant.CANDIDATE}
        assert {r.variant for r in kept if r.unit[0] == "d"} == {Variant.CONTROL}
        assert len({r.variant for r in kept if r.unit[0] == "o"}) == 2


@asynchronous
async def test_what_is_kept_of_texts(tmp_path: Path) -> None:
    """S3: masked by field and by rule; what is not kept says with what probability it was."""
    capture = Capture(share=0.5, mask=lambda text: text.replace("hello", "…"), output=False)
    async with scene(tmp_path, plan=Plan(capture=capture)) as on:
        draws = [0.49, 0.51]
        on.world.luck = lambda: draws.pop(0)
        await on.ask()
        await on.ask()
        await eventually(lambda: len(on.world.inferences()) == 2)
        kept = sorted(on.world.inferences().values(), key=lambda record: record.id)
        assert [record.capture for record in kept] == [0.5, 0.5]
        assert [record.output for record in kept] == ["", ""]
        assert "… there" in kept[0].input and kept[1].input == ""


@asynchronous
async def test_whenever_a_client_leaves_nothing_is_held_any_longer(tmp_path: Path) -> None:
    """Versions must be retired and evidence must go on, also if the first byte was never read."""
    async with scene(tmp_path, weight=1.0) as on:
        gateway = on.world.gateway(replica="gateway-2")
        await gateway.start()
        route = gateway.table.route("intent")
        body = msgspec.json.encode(BODY | {"stream": True})
        scope = {"type": "http", "method": "POST", "path": CHAT, "headers": []}
        for broken_at in range(4):
            sent = 0

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": body, "more_body": False}

            async def send(message: Any, at: int = broken_at) -> None:
                nonlocal sent
                if sent == at:
                    raise ConnectionResetError("gone")
                sent += 1

            with pytest.raises(ConnectionResetError):
                await gateway(scope, receive, send)
            assert gateway._arrivals.complete_until() >= on.world.clock.now() - SECOND
        for served in route.served():
            await asyncio.wait_for(served.retire(), 5)
        await gateway.stop()
    assert len(on.world.inferences()) == 4


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@asynchronous
async def test_curl_reads_a_stream(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        body = msgspec.json.encode(BODY | {"stream": True}).decode()
        asked = await asyncio.create_subprocess_exec(
            *("curl", "-sN", "--max-time", "20", f"{on.client.url}{CHAT}", "-d", body),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await asked.communicate()
    lines = said.decode().split("\n\n")
    assert asked.returncode == 0 and lines[-2:] == ["data: [DONE]", ""]
    bits = [msgspec.json.decode(line.removeprefix("data: ")) for line in lines[:-2]]
    words = "".join(bit["choices"][0]["delta"]["content"] for bit in bits)
    assert words == "blue: hello there"
