"""`/openapi.json`: it is a document, it says all there is, and the gateway keeps to it (S1, S8)."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter, defaultdict
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from greenlight import __version__
from greenlight.core import chat, ids, keys
from greenlight.core.errors import ModelFailed, Refused
from greenlight.core.records import ApiKey
from greenlight.serving import app, flags, http, openapi, routing
from greenlight.serving.settings import MIB
from greenlight.stages import keys as issued
from tests.serving.harness import V1, V2, World, asynchronous, serving
from tests.serving.open_world import CHAT, CLASSIFIER, open_world

DOCUMENT = openapi.document()
KEPT_TO = (
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
)


def operations() -> dict[str, dict[str, Any]]:
    """Every operation by `METHOD PATH`."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }


def codes(response: dict[str, Any]) -> set[str]:
    """The codes of an error, as its schema has them."""
    [_, narrowed] = response["content"]["application/json"]["schema"]["allOf"]
    return set(narrowed["properties"]["error"]["properties"]["code"]["enum"])


def test_it_is_an_openapi_document() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []
    assert DOCUMENT["openapi"].startswith("3.1") and DOCUMENT["info"]["version"] == __version__


def test_every_endpoint_is_in_it() -> None:
    found = {app._endpoint(path) for path in DOCUMENT["paths"]}
    assert found == {"predict", "flags", *app._FIXED.values()}
    for name, operation in operations().items():
        told = name.replace("{task}", "TASK").removesuffix("/{key}").split()
        assert told[1] in app._PLACES.split(told[0])[1], name
        assert bool(operation["security"]) is ("401" in operation["responses"]), name
        [*needed] = operation["security"]
        assert all(set(one.get("key", ())) <= set(keys.SCOPES) for one in needed)


def test_every_status_and_code_is_in_it() -> None:
    """S4: what is the client's fault and what is ours; `refused` is a word of `/api` alone."""
    found = set()
    for name, operation in operations().items():
        for status, response in operation["responses"].items():
            if int(status) >= 400 and not name.startswith(f"POST {flags.PREFIX}"):
                found |= {(int(status), code) for code in codes(response)}
    kinds = [row for row in http.STATUS if row[0] is not Refused]
    assert found == {(status, code) for _, status, code in kinds} | {(500, "internal")}
    assert openapi.WHEN.keys() == {kind for kind, _, _ in kinds}
    successes = {s for one in operations().values() for s in one["responses"] if int(s) < 400}
    assert successes == {"200", "202", "304"}


def test_what_has_no_type_of_its_own_is_as_it_is_written() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    model = schemas["Models"]["properties"]["data"]["items"]["properties"]
    assert set(model) == set(routing._Model.__struct_fields__)
    made = chat.completion_of(b'{"choices":[{"message":{"content":"hi"}}],"usage":{}}')
    answer = msgspec.json.decode(chat.completion_body("1", "greenlight/x", made))
    assert set(answer) == set(schemas["ChatCompletion"]["properties"])
    assert set(schemas["ChatRequest"]["properties"]) == set(chat.Head.__struct_fields__)


@asynchronous
async def test_it_is_served_to_everybody(tmp_path: Path) -> None:
    async with serving(World(tmp_path).gateway()) as client:
        status, text = await client.get("/openapi.json")
        assert (status, msgspec.json.decode(text)) == (200, DOCUMENT)


PREDICT, TALK, FEEDBACK = "/v1/tasks/{task}/predict", "/v1/chat/completions", "/v1/feedback"
FLAG, FLAGS = f"{flags.PREFIX}/{{key}}", flags.PREFIX
HELLO = {"model": "greenlight/support", "messages": [{"role": "user", "content": "hello"}]}
TO_INTENT = HELLO | {"model": "greenlight/intent"}
OLD = ids.uuid7(1, bytes(10))
REFUSALS: list[tuple[int, str, str, Any, dict[str, str]]] = [
    (400, "POST", PREDICT, {"input": 5}, {}),
    (401, "POST", PREDICT, {"input": "hi"}, {"Authorization": "Bearer x"}),
    (404, "POST", PREDICT.replace("{task}", "other"), {"input": "hi"}, {}),
    (405, "GET", PREDICT, None, {}),
    (413, "POST", PREDICT, {"input": "x" * MIB}, {}),
    (422, "POST", PREDICT, {"input": " "}, {}),
    (503, "POST", PREDICT, {"input": "hi"}, {}),
    (400, "POST", TALK, {}, {}),
    (400, "POST", TALK, HELLO | {"tools": [{}]}, {}),
    (404, "POST", TALK, HELLO | {"model": "greenlight/other"}, {}),
    (422, "POST", TALK, {**HELLO, "messages": [{"role": "user", "content": "\x00"}]}, {}),
    (503, "POST", TALK, TO_INTENT, {}),
    (202, "POST", FEEDBACK, {"inference_id": "young", "value": "GOOD"}, {"Idempotency-Key": "k"}),
    (409, "POST", FEEDBACK, {"inference_id": "young", "value": "BAD"}, {"Idempotency-Key": "k"}),
    (202, "POST", FEEDBACK, {"feedback": [{"inference_id": "young", "value": "GOOD"}]}, {}),
    (404, "POST", FEEDBACK, {"inference_id": OLD, "value": "GOOD"}, {}),
    (422, "POST", FEEDBACK, {"inference_id": OLD, "value": "BAD", "comment": "\x00"}, {}),
    (304, "POST", FLAGS, {"context": {"targetingKey": "ana"}}, {"If-None-Match": "*"}),
    (400, "POST", FLAGS, {"context": 5}, {}),
    (401, "POST", FLAGS, {}, {"Authorization": ""}),
    (404, "POST", FLAG.replace("{key}", "other"), {}, {}),
    (405, "GET", FLAG, None, {}),
    (413, "POST", FLAGS, {"x": "x" * MIB}, {}),
    (401, "GET", "/v1/models", None, {"Authorization": "Basic x"}),
    *((405, "POST", path, {}, {}) for path in ("/v1/models", "/healthz", "/readyz", "/metrics")),
]


def made(world: World, *scopes: str, rate: float | None = None) -> dict[str, str]:
    """The header that shows a new key."""
    number = len(world.store.scan(ApiKey))
    _, secret = issued.create(
        world.store,
        name=f"key-{number}",
        scopes=scopes,
        rate=rate,
        burst=None if rate is None else 1,
        expires_at=None,
        by="ana",
        now=world.clock.now(),
        random=Random(number).randbytes,
    )
    return {"Authorization": f"Bearer {secret}"}


@asynchronous
async def test_what_is_refused_is_refused_as_it_says(tmp_path: Path) -> None:
    """S4, S8: statuses, headers and bodies, of a gateway with keys and models that fail."""
    world = World(tmp_path)
    young = ids.uuid7(world.clock.now(), bytes(10))
    every = made(world, "predict", "feedback", "flags")
    poor, told = made(world, "admin"), made(world, "predict", "admin")
    slow = made(world, "predict", rate=0.01)

    def ask(url: str) -> None:
        schema = schemathesis.openapi.from_dict(DOCUMENT, config=schemathesis.Config())
        rows = [(*row[:4], {**every, **row[4]}) for row in REFUSALS]
        rows += [(403, "POST", path, {}, poor) for path in (PREDICT, FEEDBACK, FLAG)]
        rows += [(code, "GET", "/v1/models", None, slow) for code in (200, 429)]
        rows += [(200, "GET", "/v1/models", None, told), (503, "POST", TALK, TO_INTENT, told)]
        for status, method, path, body, headers in rows:
            data = msgspec.json.encode(body).replace(b"young", young.encode())
            target = path.replace("{task}", CLASSIFIER).replace("{key}", CLASSIFIER)
            response = requests.request(method, url + target, data=data, headers=headers, timeout=9)
            assert response.status_code == status, (path, body, response.text)
            place = path.replace("other", "{key}" if "flags" in path else "{task}")
            for operation in (found.ok() for found in schema.get_all_operations()):
                if operation.path == place:
                    case = operation.Case(path_parameters={"task": "x", "key": "x"})
                    case.validate_response(response, checks=list(KEPT_TO))

    async with open_world(tmp_path, world) as (_, client):
        for model in (V1, V2):
            world.models[model].failure = ModelFailed("down")
        await asyncio.to_thread(ask, client.url)
    seen = {status for status, *_ in REFUSALS} | {403, 429}
    documented = {int(s) for one in operations().values() for s in one["responses"]}
    assert documented - seen == {200, 500}


def furnished(known: list[str]) -> dict[str, Any]:
    """The document as somebody reads it who knows the tasks and some inferences."""
    document = copy.deepcopy(DOCUMENT)
    schemas = document["components"]["schemas"]
    models = [chat.PREFIX + task for task in (CLASSIFIER, CHAT)]
    schemas["ChatRequest"]["properties"]["model"]["enum"] = models
    schemas["FeedbackItem"]["properties"]["inference_id"]["enum"] = known
    for path in (PREDICT, FLAG):
        [name, *_] = document["paths"][path]["post"]["parameters"]
        name["schema"]["enum"] = [CLASSIFIER, CHAT]
    return document


def sensible(document: dict[str, Any]) -> dict[str, Any]:
    """With messages that any model can answer."""
    message = document["components"]["schemas"]["Message"]
    message["properties"] |= {"role": {"enum": ["user"]}, "content": {"type": "string"}}
    message["required"] = ["role", "content"]
    return document


def fuzz(url: str, known: list[str], examples: int) -> dict[str, Counter[int]]:
    """Ask what the document allows and what it does not; the statuses of what it allows.

    Raises:
        AssertionError: an answer that the document does not tell of, or a server's error.
    """
    seen: dict[str, Counter[int]] = defaultdict(Counter)
    with requests.Session() as session:

        def check(case: schemathesis.Case) -> None:
            response = case.call(base_url=url, session=session, timeout=10)
            assert response.status_code < 500, (case.as_curl_command(), response.text)
            rules = list(KEPT_TO)
            if not any(name.startswith("x-greenlight") for name in case.headers):
                # Of several units only the one that goes before the others is looked at.
                rules.append(checks.negative_data_rejection)
            case.validate_response(response, checks=rules)
            if case.meta.generation.mode is GenerationMode.POSITIVE:
                seen[case.operation.label][response.status_code] += 1

        for mode, document in (
            (GenerationMode.POSITIVE, sensible(furnished(known))),
            (GenerationMode.NEGATIVE, furnished(known)),
        ):
            schema = schemathesis.openapi.from_dict(document, config=schemathesis.Config())
            for found in schema.get_all_operations():
                operation = found.ok()
                if mode is GenerationMode.POSITIVE or operation.body:
                    strategy = operation.as_strategy(generation_mode=mode)
                    run = settings(max_examples=examples, suppress_health_check=list(HealthCheck))
                    run(given(strategy)(check))()
    return seen


async def kept_to(folder: Path, examples: int) -> None:
    async with open_world(folder) as (_, client):
        known = [(await client.ask(unit))[0] for unit in ("ana", "ben", "eve")]
        seen = await asyncio.to_thread(fuzz, client.url, known, examples)
    assert set(seen) == set(operations())
    assert all(statuses[200] for statuses in seen.values()), seen


@asynchronous
async def test_the_gateway_keeps_to_it(tmp_path: Path) -> None:
    """S1, S4: asked by schemathesis what the document allows and what it does not."""
    await kept_to(tmp_path, 25)


@pytest.mark.slow
@pytest.mark.timeout(900)
@asynchronous
async def test_the_gateway_keeps_to_it_for_long(tmp_path: Path) -> None:
    """S1, S4: the same with many more requests."""
    await kept_to(tmp_path, 600)
