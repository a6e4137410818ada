"""Predictions over HTTP: split, fallback, records, and every refusal (S1, S2, S3, S5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight.core import ids
from greenlight.core.assignment import bucket
from greenlight.core.errors import ModelFailed
from greenlight.core.states import Status, Variant
from greenlight.serving.settings import SpoolSettings
from tests.serving.harness import QUICK, SALT, V1, V2, World, asynchronous, serving

PREDICT = "/v1/tasks/intent/predict"


@asynchronous
async def test_the_split_is_sticky_and_by_the_weight(tmp_path: Path) -> None:
    """S2, S3: who gets the candidate follows from the salt alone, and all of it is recorded."""
    world = World(tmp_path)
    world.epoch(1)
    world.epoch(2, candidate=V2, weight=0.25)
    units = [f"user-{number}" for number in range(150)]
    async with serving(world.gateway()) as client:
        first = {unit: await client.ask(unit) for unit in units}
        again = {unit: await client.ask(unit) for unit in units}
    places = {unit: bucket(SALT, unit) for unit in units}
    expected = {unit: "v2" if places[unit] < 0.25 else "v1" for unit in units}
    assert {unit: label for unit, (_, label) in first.items()} == expected
    assert {unit: label for unit, (_, label) in again.items()} == expected
    assert 0.15 < sum(label == "v2" for label in expected.values()) / len(units) < 0.35
    kept = world.inferences()
    assert len(kept) == 2 * len(units)
    for unit, (id, label) in first.items():
        record = kept[id]
        assert (record.unit, record.unit_source, record.bucket) == (unit, "body", places[unit])
        assert (record.epoch, record.weight, record.rollout) == (2, 0.25, "r1")
        assert record.variant is (Variant.CANDIDATE if label == "v2" else Variant.CONTROL)
        assert record.version == record.served_version == (V2 if label == "v2" else V1)
        assert (record.input, record.output, record.score, record.oos) == (
            "hello",
            label,
            0.75,
            False,
        )
        assert (record.status, record.fallback_from) == (Status.OK, None)
        assert record.config_digest == "sha256:config"
        assert ids.time_of(id) == record.at // 1000 * 1000
        assert 0 < record.latency_ms < 1000


@asynchronous
async def test_clients_stay_blind(tmp_path: Path) -> None:
    """Neither headers nor body of any answer say which version or variant it was."""
    world = World(tmp_path)
    world.epoch(1, candidate=V2, weight=1.0)
    world.models[V2].name = world.models[V1].name = "a label"
    async with serving(world.gateway()) as client:
        status, answer, headers = await client.predict("user-1")
        world.models[V2].failure = world.models[V1].failure = ModelFailed(f"{V2} died")
        failed = await client.predict("user-1")
    assert status == 200
    assert set(answer) == {"id", "task", "output"}
    assert answer["output"] == {
        "label": "a label",
        "score": 0.75,
        "oos": False,
        "oos_score": -1.5,
    }
    assert headers["x-greenlight-inference-id"] == answer["id"]
    assert 0 < float(headers["x-greenlight-overhead-ms"]) < 1000
    assert failed[0] == 503
    for told in (answer, headers, failed[1], failed[2]):
        text = str(told).lower()
        assert not any(word in text for word in ("v2", "v1", V2[7:], "candidate", "variant"))


@pytest.mark.parametrize(
    ("header", "body", "unit", "source"),
    [
        ("from-header", "from-body", "from-header", "header"),
        (None, "from-body", "from-body", "body"),
        ("from-header", None, "from-header", "header"),
        (None, None, None, "request"),
    ],
)
@asynchronous
async def test_where_the_unit_comes_from(
    tmp_path: Path, header: str | None, body: str | None, unit: str | None, source: str
) -> None:
    world = World(tmp_path)
    world.epoch(1)
    request = {"input": "hello", "metadata": {"plan": "pro"}} | ({"unit": body} if body else {})
    headers = {"x-greenlight-unit": header} if header else {}
    async with serving(world.gateway()) as client:
        made = [(await client.post(PREDICT, request, headers))[1]["id"] for _ in range(2)]
    one, other = (world.inferences()[id] for id in made)
    assert one.unit_source == other.unit_source == source
    if unit is None:
        assert one.unit != other.unit
    else:
        assert one.unit == other.unit == unit


@asynchronous
async def test_a_batch_is_one_call_of_one_unit(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.epoch(1)
    texts = [f"text {number}" for number in range(256)]
    async with serving(world.gateway()) as client:
        status, answer, headers = await client.post(PREDICT, {"inputs": texts})
    assert status == 200
    assert world.models[V1].calls == 1
    assert "x-greenlight-inference-id" not in headers
    kept = world.inferences()
    assert [kept[result["id"]].input for result in answer["results"]] == texts
    assert len({record.unit for record in kept.values()}) == 1


@pytest.mark.parametrize(
    ("failure", "answers", "status"),
    [
        (ModelFailed("boom"), 1, Status.ERROR),
        (ModelFailed("slow", "timeout"), 1, Status.TIMEOUT),
        (ModelFailed("open", "short_circuit"), 1, Status.SHORT_CIRCUIT),
        (RuntimeError("a bug in the model"), 1, Status.ERROR),
        (None, 2, Status.ERROR),
    ],
)
@asynchronous
async def test_control_answers_for_a_failed_candidate(
    tmp_path: Path, failure: Exception | None, answers: int, status: Status
) -> None:
    """S5: in the same call; the inference stays the candidate's (intention to treat)."""
    world = World(tmp_path)
    world.epoch(1, candidate=V2, weight=1.0)
    world.models[V2].failure = failure
    world.models[V2].answers = answers
    async with serving(world.gateway()) as client:
        id, label = await client.ask("user-1")
        metrics = (await client.get("/metrics"))[1]
    assert label == "v1"
    record = world.inferences()[id]
    assert (record.variant, record.version) == (Variant.CANDIDATE, V2)
    assert (record.served_version, record.fallback_from) == (V1, V2)
    assert (record.status, record.output) == (status, "v1")
    labels = f'outcome="{status}",task="intent",variant="candidate",version="v2"'
    assert f"greenlight_requests_total{{{labels}}} 1.0" in metrics


@pytest.mark.parametrize(("weight", "tried"), [(0.0, [V1]), (1.0, [V2, V1])])
@asynchronous
async def test_no_answer_at_all_is_503_and_recorded(
    tmp_path: Path, weight: float, tried: list[str]
) -> None:
    world = World(tmp_path)
    world.epoch(1, candidate=V2 if weight else None, weight=weight)
    for model in world.models.values():
        model.failure = ModelFailed("slow", "timeout")
    async with serving(world.gateway()) as client:
        status, answer, headers = await client.predict("user-1")
    assert (status, answer["error"]["code"]) == (503, "no_answer")
    assert headers["Retry-After"] == "1"
    record = world.inferences()[headers["x-greenlight-inference-id"]]
    assert (record.version, record.served_version, record.output) == (tried[0], "", "")
    assert (record.status, record.score, record.fallback_from) == (Status.TIMEOUT, None, None)
    assert [d for d, model in world.models.items() if model.calls] == sorted(tried)


@asynchronous
async def test_a_full_spool_stops_exposure_but_not_answers(tmp_path: Path) -> None:
    """What cannot be recorded exposes nobody to the candidate, and has no id to judge it by."""
    world = World(tmp_path)
    world.epoch(1, candidate=V2, weight=1.0)
    full = msgspec.structs.replace(QUICK, spool=SpoolSettings(bound=10))
    async with serving(world.gateway(full)) as client:
        status, answer, headers = await client.predict("user-1")
        metrics = (await client.get("/metrics"))[1]
        judged = {"inference_id": ids.uuid7(world.clock.now(), bytes(10)), "value": "GOOD"}
        refused = await client.post("/v1/feedback", judged)
    assert (status, answer["id"], answer["output"]["label"]) == (200, None, "v1")
    assert "x-greenlight-inference-id" not in headers
    assert "greenlight_unrecorded_total 1.0" in metrics
    assert (refused[0], refused[1]["error"]["code"]) == (503, "not_ready")
    assert world.inferences() == {} == world.feedback()


TASK404 = "no task 'other'; there are: intent"


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "words"),
    [
        (PREDICT, b"{", 400, None, "no JSON"),
        (PREDICT, b"", 400, None, "no JSON"),
        (PREDICT, b'{"input": "\xff"}', 400, None, "no JSON"),
        (PREDICT, [], 400, None, "Expected `object`"),
        (PREDICT, {}, 400, "input", "either `input`"),
        (PREDICT, {"input": "a", "inputs": ["b"]}, 400, "input", "either `input`"),
        (PREDICT, {"input": 7}, 400, "input", "Expected `str"),
        (PREDICT, {"inputs": ["a", 7]}, 400, "inputs[1]", "Expected `str`"),
        (PREDICT, {"inputs": []}, 400, "inputs", "1 to 256"),
        (PREDICT, {"inputs": ["a"] * 257}, 400, "inputs", "1 to 256"),
        (PREDICT, {"input": "a", "untis": "u"}, 400, "untis", "unknown field"),
        (PREDICT, {"input": "a", "unit": ""}, 400, "unit", "1 to 256 characters"),
        (PREDICT, {"input": "a", "unit": "u" * 257}, 400, "unit", "1 to 256 characters"),
        (PREDICT, {"input": "a", "metadata": []}, 400, "metadata", "Expected `object`"),
        (PREDICT, {"input": " \n"}, 422, "input", "empty"),
        (PREDICT, {"inputs": ["a", "b\0"]}, 422, "inputs[1]", "NUL"),
        (PREDICT, {"input": "a" * (1 << 20)}, 413, None, "1048576"),
        ("/v1/tasks/other/predict", {"input": "a"}, 404, None, TASK404),
        ("/v1/nothing", {}, 404, None, "POST /v1/tasks/TASK/predict"),
        ("/healthz", {}, 405, None, "use GET"),
    ],
)
@asynchronous
async def test_refusals(
    tmp_path: Path, path: str, body: Any, status: int, param: str | None, words: str
) -> None:
    """Every error has one shape, names the field and what would be right, and is no inference."""
    world = World(tmp_path)
    world.epoch(1)
    async with serving(world.gateway()) as client:
        found, answer, _ = await client.post(path, body)
    assert found == status
    assert set(answer) == {"error"}
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["param"] == param
    assert words in answer["error"]["message"]
    assert world.inferences() == {}


@asynchronous
async def test_a_body_in_many_pieces_is_read_and_bounded(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.epoch(1)

    async def pieces(count: int) -> Any:
        yield b'{"input": "'
        for _ in range(count):
            yield b"a" * 50_000
        yield b'"}'

    async with serving(world.gateway()) as client:
        async with client.session.post(PREDICT, data=pieces(4)) as response:
            assert response.status == 200
        async with client.session.post(PREDICT, data=pieces(30)) as response:
            assert response.status == 413
    assert [len(record.input) for record in world.inferences().values()] == [200_000]


@asynchronous
async def test_a_fault_of_ours_is_500_without_its_trace(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.epoch(1)

    def broken(count: int) -> bytes:
        raise RuntimeError("no random bytes in /dev/secret-place")

    async with serving(world.gateway()) as client:
        await client.ask("user-1")
        world.random = broken
        status, answer, _ = await client.predict("user-1")
    assert (status, answer["error"]["code"]) == (500, "internal")
    assert "secret-place" not in answer["error"]["message"]


@asynchronous
async def test_get_is_no_way_to_predict(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.epoch(1)
    async with serving(world.gateway()) as client, client.session.get(PREDICT) as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")


@asynchronous
async def test_calls_are_marked_while_the_other_arms_breaker_is_open(tmp_path: Path) -> None:
    """EVIDENCE, open breaker: what one arm alone can show is no event for either."""
    world = World(tmp_path)
    world.epoch(1, candidate=V2, weight=0.5)
    units = [f"user-{number}" for number in range(20)]
    async with serving(world.gateway()) as client:
        for shut in (V1, V2, None):
            world.models[V1].open_since = 1 if shut == V1 else None
            world.models[V2].open_since = 1 if shut == V2 else None
            for unit in units:
                await client.ask(f"{unit} {shut}")
    shut_off = {Variant.CANDIDATE: V1, Variant.CONTROL: V2}
    kept = world.inferences().values()
    assert len(kept) == 60
    for record in kept:
        assert record.alone is record.unit.endswith(shut_off[record.variant])
