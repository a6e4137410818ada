"""Flags over OFREP, asked by OpenFeature's own client over real HTTP (S2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from greenlight.core.assignment import bucket, variant
from greenlight.core.errors import GreenlightError
from greenlight.core.states import Variant
from greenlight.serving.asking import UNIT_HEADER
from greenlight.serving.assigning import assign
from greenlight.serving.flags import PREFIX, Flags, refusal
from greenlight.serving.http import (
    MethodNotAllowed,
    Receive,
    Response,
    Scope,
    Send,
    header,
    read_body,
    send_response,
)
from greenlight.serving.routing import Closed, Plan, Route, RoutingTable, Segment, Served
from tests.serving.harness import SALT, V1, V2, Client, Echo, World, asynchronous, serving

LIMIT = 1 << 16
UNITS = [f"user-{number}" for number in range(100)]
OLD, NEW = "intent@1", "intent@2"


def route(
    weight: float = 0.0, candidate: bool = True, epoch: int = 2, task: str = "intent"
) -> Route:
    return Route(
        task=task,
        epoch=epoch,
        rollout="r1" if candidate else None,
        salt=SALT,
        weight=weight,
        control=Served(V1, OLD, Echo("v1")),
        candidate=Served(V2, NEW, Echo("v2")) if candidate else None,
    )


def routing(*entries: Route | Closed) -> RoutingTable:
    table = RoutingTable()
    for entry in entries:
        table.apply(entry, now=0)
    return table


def expected(unit: str, weight: float) -> tuple[str, str]:
    """Value and variant of the flag `intent`, from the core alone."""
    arm = variant(bucket(SALT, unit), weight)
    return (NEW if arm is Variant.CANDIDATE else OLD), arm.value


class App:
    """Nothing but flags, as an ASGI application."""

    def __init__(self, table: RoutingTable) -> None:
        self._flags = Flags(table)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for word in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{word}.complete"})
            return
        rest = scope["path"].removeprefix(PREFIX)
        try:
            response = await self._answer(rest, scope, receive)
        except GreenlightError as error:
            response = refusal(rest, error)
        await send_response(send, response)

    async def _answer(self, rest: str, scope: Scope, receive: Receive) -> Response:
        if scope["method"] != "POST":
            raise MethodNotAllowed(scope["method"], "POST")
        body = await read_body(scope, receive, LIMIT)
        unit = header(scope, UNIT_HEADER)
        return self._flags.answer(rest, body, unit, header(scope, b"if-none-match"))


@asynccontextmanager
async def openfeature(client: Client) -> AsyncIterator[OpenFeatureClient]:
    """OpenFeature's client for the server that is tested; it blocks, so call it in a thread."""
    async with client.session.post(PREFIX, data=b"{}") as response:
        provider = OFREPProvider(str(response.url.origin()))
    api.set_provider_and_wait(provider, domain="greenlight")
    try:
        yield api.get_client("greenlight")
    finally:
        api.shutdown()
        provider.session.close()


def of(unit: str) -> EvaluationContext:
    return EvaluationContext(targeting_key=unit, attributes={"plan": "pro", "seats": [1, 2.5]})


@asynchronous
async def test_a_flag_is_sticky_and_as_the_core_assigns() -> None:
    """S2: whose version it is follows from the salt and the weight alone."""
    async with serving(App(routing(route(0.25)))) as client, openfeature(client) as flags:
        for unit in UNITS * 2:
            found = await asyncio.to_thread(flags.get_string_details, "intent", "none", of(unit))
            assert (found.value, found.variant) == expected(unit, 0.25)
            assert (found.reason, found.error_code) == (Reason.SPLIT, None)
            assert found.flag_metadata == {"epoch": 2, "rollout": "r1"}
    assert 10 < sum(expected(unit, 0.25)[0] == NEW for unit in UNITS) < 40


@asynchronous
async def test_a_flag_says_what_a_prediction_meets_and_records_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.epoch(1, candidate=V2, weight=0.5)
    gateway = world.gateway()
    flags = Flags(gateway.table)
    async with serving(gateway) as client:
        for unit in UNITS[:30]:
            body = msgspec.json.encode({"context": {"targetingKey": unit}})
            told = msgspec.json.decode(flags.answer("/intent", body, None, None).body)
            assert told["value"] == (await client.ask(unit))[1]
    assert len(world.inferences()) == 30
    assert sum(model.calls for model in world.models.values()) == 30


@asynchronous
async def test_segments_steer_flags_as_they_steer_predictions() -> None:
    """S2: the context is the metadata; who is steered need not be named."""
    to_new = Segment(when={"plan": "pro"}, weight=1.0)
    to_old = Segment(when={"plan": "free", "area": "eu"}, weight=0.0)
    entry = msgspec.structs.replace(route(0.5), plan=Plan(segments=(to_new, to_old)))
    steered = [({"plan": "pro"}, NEW), ({"plan": "free", "area": "eu"}, OLD)]
    async with serving(App(routing(entry))) as client, openfeature(client) as flags:
        for unit in (None, *UNITS[:10]):
            for attributes, value in steered:
                context = EvaluationContext(unit, attributes)
                found = await asyncio.to_thread(flags.get_string_details, "intent", "", context)
                assert (found.value, found.reason) == (value, Reason.TARGETING_MATCH)
        for unit in UNITS[:10]:
            context = EvaluationContext(unit, {"plan": "free", "seats": 3})
            found = await asyncio.to_thread(flags.get_string_details, "intent", "", context)
            assert (found.value, found.reason) == (expected(unit, 0.5)[0], Reason.SPLIT)


@pytest.mark.parametrize(
    ("entry", "value", "arm"),
    [
        (route(candidate=False), OLD, "control"),
        (route(0.0), OLD, "control"),
        (route(1.0), NEW, "candidate"),
    ],
)
@asynchronous
async def test_where_nothing_is_split_nobody_need_be_named(
    entry: Route, value: str, arm: str
) -> None:
    async with serving(App(routing(entry))) as client, openfeature(client) as flags:
        for context in (None, EvaluationContext(), of("user-1")):
            found = await asyncio.to_thread(flags.get_string_details, "intent", "none", context)
            assert (found.value, found.variant, found.reason) == (value, arm, Reason.STATIC)
    assert found.flag_metadata == {"epoch": 2} | ({"rollout": "r1"} if entry.rollout else {})


@pytest.mark.parametrize(
    ("key", "context", "code", "words"),
    [
        ("other", of("user-1"), ErrorCode.FLAG_NOT_FOUND, "there are: intent"),
        ("", of("user-1"), ErrorCode.FLAG_NOT_FOUND, "there are: intent"),
        ("intent/more", of("user-1"), ErrorCode.FLAG_NOT_FOUND, "there are: intent"),
        ("intent", None, ErrorCode.TARGETING_KEY_MISSING, "context.targetingKey"),
        ("intent", of(""), ErrorCode.TARGETING_KEY_MISSING, "context.targetingKey"),
        ("intent", of("u" * 257), ErrorCode.INVALID_CONTEXT, "1 to 256 characters"),
        ("intent", of("\0"), ErrorCode.INVALID_CONTEXT, "NUL"),
    ],
)
@asynchronous
async def test_the_default_where_a_flag_cannot_be_evaluated(
    key: str, context: EvaluationContext | None, code: ErrorCode, words: str
) -> None:
    async with serving(App(routing(route(0.5)))) as client, openfeature(client) as flags:
        found = await asyncio.to_thread(flags.get_string_details, key, "mine", context)
    assert (found.value, found.reason, found.error_code) == ("mine", Reason.ERROR, code)
    assert words in found.error_message


@asynchronous
async def test_a_closed_task_is_disabled_and_names_no_version() -> None:
    """The application goes by its own default, and that is no error."""
    closed = Closed(task="intent", epoch=3, reason="its version may not serve")
    async with serving(App(routing(closed))) as client, openfeature(client) as flags:
        found = await asyncio.to_thread(flags.get_string_details, "intent", "mine", of("user-1"))
        assert (found.value, found.reason, found.error_code) == ("mine", Reason.DISABLED, None)
        assert found.variant == "disabled"
        assert found.flag_metadata == {"epoch": 3, "closed": "its version may not serve"}
        _, answer, _ = await client.post(f"{PREFIX}/intent", {})
    assert set(answer) == {"key", "reason", "variant", "metadata"}


def test_the_last_place_is_controls_whatever_the_weight() -> None:
    entry = route(1.0)
    assert assign(entry, 0.999) == (Variant.CANDIDATE, entry.candidate)
    assert assign(entry, 1.0) == (Variant.CONTROL, entry.control)


@asynchronous
async def test_a_flag_is_a_text() -> None:
    async with serving(App(routing(route(0.5)))) as client, openfeature(client) as flags:
        found = await asyncio.to_thread(flags.get_boolean_details, "intent", True, of("user-1"))
    assert (found.value, found.error_code) == (True, ErrorCode.TYPE_MISMATCH)


@asynchronous
async def test_the_unit_header_goes_before_the_targeting_key() -> None:
    body = {"context": {"targetingKey": "user-1"}}
    async with serving(App(routing(route(0.5)))) as client:
        for unit in UNITS[:20]:
            headers = {"x-greenlight-unit": unit}
            status, answer, _ = await client.post(f"{PREFIX}/intent", body, headers)
            assert (status, answer["value"], answer["variant"]) == (200, *expected(unit, 0.5))
        status, answer, _ = await client.post(f"{PREFIX}/intent", body, {"x-greenlight-unit": ""})
        assert (status, answer["errorCode"]) == (400, "INVALID_CONTEXT")


async def ask_all(client: Client, unit: str, known: str | None = None) -> tuple[int, bytes, str]:
    """Status, body and entity tag of all flags of a unit."""
    body = msgspec.json.encode({"context": {"targetingKey": unit}})
    headers = {} if known is None else {"if-none-match": known}
    async with client.session.post(PREFIX, data=body, headers=headers) as response:
        return response.status, await response.read(), response.headers["etag"]


@asynchronous
async def test_all_flags_at_once_and_not_again_while_nothing_changed() -> None:
    closed = Closed(task="tone", epoch=3, reason="its version may not serve")
    table = routing(route(0.5), route(candidate=False, task="area"), closed)
    unit = next(unit for unit in UNITS if expected(unit, 0.5)[0] == NEW)
    other = next(unit for unit in UNITS if expected(unit, 0.5)[0] == OLD)
    async with serving(App(table)) as client:
        status, body, tag = await ask_all(client, unit)
        assert status == 200
        area, intent, tone = msgspec.json.decode(body)["flags"]
        assert intent == {
            "key": "intent",
            "value": NEW,
            "reason": "SPLIT",
            "variant": "candidate",
            "metadata": {"epoch": 2, "rollout": "r1"},
        }
        assert (area["key"], area["value"], area["reason"]) == ("area", OLD, "STATIC")
        assert (tone["key"], tone["reason"], "value" in tone) == ("tone", "DISABLED", False)
        for known in (tag, f"W/{tag}", f'"else", {tag}', "*"):
            assert await ask_all(client, unit, known) == (304, b"", tag)
        for known in ('"else"', tag.strip('"'), "", f'"{tag}"'):
            assert await ask_all(client, unit, known) == (200, body, tag)
        assert (await ask_all(client, other, tag))[0] == 200
        table.apply(route(0.75, epoch=3), now=1)
        status, widened, moved = await ask_all(client, unit, tag)
        assert (status, moved != tag) == (200, True)
        assert msgspec.json.decode(widened)["flags"][1]["metadata"]["epoch"] == 3


@pytest.mark.parametrize("context", [None, {}, {"targetingKey": None}, {"targetingKey": ""}])
@asynchronous
async def test_all_flags_of_nobody_fail_only_where_one_is_split(context: Any) -> None:
    table = routing(route(0.5), route(candidate=False, task="area"))
    async with serving(App(table)) as client:
        status, answer, _ = await client.post(PREFIX, {"context": context})
    area, intent = answer["flags"]
    assert (status, area["value"]) == (200, OLD)
    assert set(intent) == {"key", "errorCode", "errorDetails"}
    assert (intent["key"], intent["errorCode"]) == ("intent", "TARGETING_KEY_MISSING")


@asynchronous
async def test_without_any_task_there_are_no_flags() -> None:
    async with serving(App(routing())) as client:
        assert (await client.post(PREFIX, {}))[:2] == (200, {"flags": []})
        status, answer, _ = await client.post(f"{PREFIX}/intent", {})
    assert (status, answer["errorCode"]) == (404, "FLAG_NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        (b"", 400, "PARSE_ERROR", "no JSON"),
        (b"{", 400, "PARSE_ERROR", "no JSON"),
        (b"[]", 400, "PARSE_ERROR", "Expected `object`"),
        (b'{"context": {"targetingKey": "\xff"}}', 400, "PARSE_ERROR", "no JSON"),
        (b'{"context": {"targetingKey": "\\ud800"}}', 400, "PARSE_ERROR", "no JSON"),
        (b'{"context": {"a": ' + b"[" * 50_000, 400, "PARSE_ERROR", "too deeply"),
        ({"context": []}, 400, "INVALID_CONTEXT", "$.context"),
        ({"context": {"targetingKey": 7}}, 400, "INVALID_CONTEXT", "context.targetingKey: a text"),
        (b'{"context": {"a": ' + b"9" * 5000 + b"}}", 400, "INVALID_CONTEXT", "out of range"),
        ({"context": {"targetingKey": "a" * LIMIT}}, 413, "GENERAL", "65536"),
    ],
)
@pytest.mark.parametrize("key", ["intent", None])
@asynchronous
async def test_malformed_requests(
    key: str | None, body: Any, status: int, code: str, words: str
) -> None:
    path = PREFIX if key is None else f"{PREFIX}/{key}"
    async with serving(App(routing(route(0.5)))) as client:
        found, answer, _ = await client.post(path, body)
    assert (found, answer["errorCode"]) == (status, code)
    assert words in answer["errorDetails"]
    assert set(answer) == {"errorCode", "errorDetails"} | ({"key"} if key else set())
    assert answer.get("key") == key


@asynchronous
async def test_only_post() -> None:
    async with (
        serving(App(routing(route()))) as client,
        client.session.get(f"{PREFIX}/intent") as response,
    ):
        assert (response.status, response.headers["allow"]) == (405, "POST")
        answer = await response.json()
    assert (answer["key"], answer["errorCode"]) == ("intent", "GENERAL")


def test_a_fault_of_ours_is_told_without_its_words() -> None:
    told = refusal("/intent", RuntimeError("/dev/secret-place"))
    assert told.status == 500
    assert msgspec.json.decode(told.body)["errorCode"] == "GENERAL"
    assert b"secret-place" not in told.body


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["context", "targetingKey", "plan"]), inner, max_size=3)
    ),
)
BODIES = st.binary() | JSON.map(msgspec.json.encode)
FLAGS = Flags(routing(route(0.5), route(candidate=False, task="area")))


@given(
    rest=st.sampled_from(["", "/", "/intent", "/area"]) | st.text().map("/{}".format),
    body=BODIES,
    unit=st.none() | st.text(max_size=300),
    known=st.none() | st.text(),
)
@example(rest="/intent", body=b'{"context":{"targetingKey":"\\u0000"}}', unit=None, known=None)
@example(rest="", body=b'{"context":null}', unit="\x7f", known='W/"')
def test_whatever_is_sent_gets_an_answer_of_the_right_shape(
    rest: str, body: bytes, unit: str | None, known: str | None
) -> None:
    """Nothing that a client sends is a fault of ours."""
    response = FLAGS.answer(rest, body, unit, known)
    assert response.status in (200, 304, 400, 404)
    answer = msgspec.json.decode(response.body or b"{}")
    if response.status >= 400:
        assert set(answer) == {"errorCode", "errorDetails"} | ({"key"} if rest else set())
    elif rest:
        assert set(answer) == {"key", "value", "reason", "variant", "metadata"}
