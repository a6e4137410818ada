"""Feedback over HTTP: attribution, idempotency, refusals, and a store that is away (S7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight.core import ids
from greenlight.core.records import SECOND
from greenlight.serving.settings import SpoolSettings
from tests.serving.harness import QUICK, World, asynchronous, eventually, serving

FEEDBACK = "/v1/feedback"


def an_id(world: World, age: int) -> str:
    return ids.uuid7(world.clock.now() - age, b"0123456789")


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ({"value": "GOOD"}, 1.0),
        ({"value": "BAD", "metric": "quality"}, 0.0),
        ({"value": 3, "metric": "minutes"}, 3.0),
        ({"value": -0.5, "metric": "sentiment"}, -0.5),
    ],
)
@asynchronous
async def test_feedback_is_kept_as_said(tmp_path: Path, said: dict[str, Any], value: float) -> None:
    world = World(tmp_path)
    world.epoch(1)
    details = {
        "reason_code": "wrong_intent",
        "comment": "it was about my card",
        "correction": "card_lost",
        "reviewer": "coach-3",
    }
    async with serving(world.gateway()) as client:
        id, _ = await client.ask("user-1")
        status, answer, _ = await client.post(FEEDBACK, {"inference_id": id} | said | details)
        metrics = (await client.get("/metrics"))[1]
    assert (status, answer["status"], answer["inference_id"]) == (200, "stored", id)
    kept = world.feedback()[answer["id"]]
    assert (kept.inference_id, kept.value) == (id, value)
    assert kept.metric == said.get("metric", "quality")
    assert {name: getattr(kept, name) for name in details} == details
    assert kept.at > world.inferences()[id].at
    words = {1.0: ("quality", "GOOD"), 0.0: ("quality", "BAD")}.get(value, ("other", "number"))
    assert f'greenlight_feedback_total{{metric="{words[0]}",value="{words[1]}"}} 1.0' in metrics


@asynchronous
async def test_the_age_of_an_unknown_inference_decides(tmp_path: Path) -> None:
    """Young: another gateway may still hold it, 202 and kept; old, or from the future: 404."""
    world = World(tmp_path)
    world.epoch(1)
    async with serving(world.gateway()) as client:
        young = an_id(world, 55 * SECOND)
        status, answer, _ = await client.post(FEEDBACK, {"inference_id": young, "value": "BAD"})
        assert (status, answer["status"]) == (202, "pending")
        for age in (65 * SECOND, -65 * SECOND):
            old = an_id(world, age)
            refused = await client.post(FEEDBACK, {"inference_id": old, "value": "BAD"})
            assert (refused[0], refused[1]["error"]["code"]) == (404, "not_found")
            assert old in refused[1]["error"]["message"]
    assert [kept.inference_id for kept in world.feedback().values()] == [young]


@asynchronous
async def test_an_old_inference_is_found_in_the_store(tmp_path: Path) -> None:
    """By a gateway that never saw it."""
    world = World(tmp_path)
    world.epoch(1)
    async with serving(world.gateway()) as client:
        id, _ = await client.ask("user-1")
    strict = msgspec.structs.replace(QUICK, pending=0)
    async with serving(world.gateway(strict)) as client:
        status, answer, _ = await client.post(FEEDBACK, {"inference_id": id, "value": "GOOD"})
    assert (status, answer["status"]) == (200, "stored")


@asynchronous
async def test_a_batch_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.epoch(1)
    async with serving(world.gateway()) as client:
        known, _ = await client.ask("user-1")
        young, old = an_id(world, 0), an_id(world, 99 * SECOND)
        good = [{"inference_id": id, "value": "GOOD"} for id in (known, young)]
        bad = [*good, {"inference_id": old, "value": "GOOD"}]
        status, answer, _ = await client.post(FEEDBACK, {"feedback": bad})
        assert (status, "feedback[2].inference_id" in answer["error"]["message"]) == (404, True)
        status, answer, _ = await client.post(FEEDBACK, {"feedback": good})
    assert status == 202
    assert [receipt["status"] for receipt in answer["feedback"]] == ["stored", "pending"]
    assert set(world.feedback()) == {receipt["id"] for receipt in answer["feedback"]}


@asynchronous
async def test_one_key_gives_one_feedback(tmp_path: Path) -> None:
    """Idempotency-Key: repeated here, while the store lags, and after a restart."""
    world = World(tmp_path)
    world.epoch(1)
    key = {"Idempotency-Key": "retry-7"}
    async with serving(world.gateway()) as client:
        id, _ = await client.ask("user-1")
        good = {"inference_id": id, "value": "GOOD"}
        bad = {"inference_id": id, "value": "BAD"}
        made = [(await client.post(FEEDBACK, good, key))[1]["id"] for _ in range(3)]
        await eventually(lambda: made[0] in world.feedback())
        made.append((await client.post(FEEDBACK, good, key))[1]["id"])
        other = await client.post(FEEDBACK, bad, key)
        unkeyed = [(await client.post(FEEDBACK, good))[1]["id"] for _ in range(2)]
        second = await client.post(FEEDBACK, good, {"Idempotency-Key": "retry-8"})
    assert len(set(made)) == 1
    assert (other[0], other[1]["error"]["code"]) == (409, "conflict")
    assert len({made[0], *unkeyed, second[1]["id"]}) == 4
    async with serving(world.gateway()) as client:
        again = await client.post(FEEDBACK, good, key)
        changed = await client.post(FEEDBACK, bad, key)
    assert (again[0], again[1]["id"]) == (200, made[0])
    assert changed[0] == 409
    assert len(world.feedback()) == 4
    assert all(kept.value == 1.0 for kept in world.feedback().values())


@asynchronous
async def test_two_bodies_under_one_key_are_both_kept_where_neither_is_seen(
    tmp_path: Path,
) -> None:
    """Promise 5: while the store is away, no gateway can know what another one took under the key.
    What it acknowledges must not be taken for a repetition."""
    world = World(tmp_path)
    world.epoch(1)
    key = {"Idempotency-Key": "retry-7"}
    async with (
        serving(world.gateway()) as one,
        serving(world.gateway(replica="gateway-2")) as other,
    ):
        id, _ = await one.ask("user-1")
        await eventually(lambda: id in world.inferences())
        world.store.down = True
        good, bad = ({"inference_id": id, "value": value} for value in ("GOOD", "BAD"))
        first, again = [await client.post(FEEDBACK, good, key) for client in (one, other)]
        key = {"Idempotency-Key": "retry-8"}
        second, third = await one.post(FEEDBACK, bad, key), await other.post(FEEDBACK, good, key)
        world.store.down = False
    assert [status for status, _, _ in (first, again, second, third)] == [200, 202, 200, 202]
    made = [answer["id"] for _, answer, _ in (first, again, second, third)]
    assert made[0] == made[1]
    said = {id: kept.value for id, kept in world.feedback().items()}
    assert said == {made[0]: 1.0, made[2]: 0.0, made[3]: 1.0}
    for body, status in ((bad, 200), (good, 200), ({**good, "comment": "really"}, 409)):
        async with serving(world.gateway()) as client:
            assert (await client.post(FEEDBACK, body, key))[0] == status
    assert world.feedback().keys() == said.keys()


@asynchronous
async def test_a_key_of_a_refused_request_is_free_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.epoch(1)
    key = {"Idempotency-Key": "retry-7"}
    async with serving(world.gateway()) as client:
        id, _ = await client.ask("user-1")
        wrong = {"inference_id": an_id(world, 99 * SECOND), "value": "GOOD"}
        assert (await client.post(FEEDBACK, wrong, key))[0] == 404
        right = {"inference_id": id, "value": "GOOD"}
        assert (await client.post(FEEDBACK, right, key))[0] == 200


@asynchronous
async def test_a_store_that_is_away_loses_no_feedback(tmp_path: Path) -> None:
    """P1, promise 5: acknowledged on disk, in the store once it is back."""
    world = World(tmp_path)
    world.epoch(1)
    async with serving(world.gateway()) as client:
        world.store.down = True
        id, _ = await client.ask("user-1")
        own = await client.post(FEEDBACK, {"inference_id": id, "value": "GOOD"})
        old = await client.post(
            FEEDBACK,
            {"inference_id": an_id(world, 99 * SECOND), "value": "BAD"},
            {"Idempotency-Key": "k"},
        )
        assert (own[0], old[0]) == (200, 202)
        world.store.down = False
        await eventually(lambda: {own[1]["id"], old[1]["id"]} <= set(world.feedback()))
    assert id in world.inferences()


@pytest.mark.parametrize("fsync", ["feedback", "always", "never"])
@asynchronous
async def test_every_setting_of_fsync_works(tmp_path: Path, fsync: Any) -> None:
    world = World(tmp_path)
    world.epoch(1)
    spool = msgspec.structs.replace(QUICK.spool, fsync=fsync)
    async with serving(world.gateway(msgspec.structs.replace(QUICK, spool=spool))) as client:
        id, _ = await client.ask("user-1")
        assert (await client.post(FEEDBACK, {"inference_id": id, "value": "BAD"}))[0] == 200
    assert len(world.feedback()) == 1


SOME = "01890000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("body", "status", "param", "words"),
    [
        (b"{", 400, None, "no JSON"),
        (b"[", 400, None, "Expected `object`"),
        ({}, 400, "inference_id", "missing"),
        ({"inference_id": SOME}, 400, "value", "missing"),
        ({"inference_id": "7", "value": "GOOD"}, 400, "inference_id", "UUIDv7"),
        ({"inference_id": SOME, "value": "good"}, 400, "value", "GOOD or BAD"),
        ({"inference_id": SOME, "value": 1}, 400, "value", "GOOD or BAD"),
        ({"inference_id": SOME, "value": True}, 400, "value", "Expected"),
        ({"inference_id": SOME, "value": "x", "metric": "m"}, 400, "value", "a number"),
        (f'{{"inference_id":"{SOME}","metric":"m","value":1e999}}'.encode(), 400, "value", "range"),
        ({"inference_id": SOME, "value": "BAD", "metric": ""}, 400, "metric", "1 to 128"),
        ({"inference_id": SOME, "value": "BAD", "note": "x"}, 400, "note", "unknown field"),
        ({"inference_id": SOME, "value": "BAD", "comment": "\0"}, 422, "comment", "NUL"),
        ({"feedback": []}, 400, "feedback", "1 to 256"),
        ({"feedback": [{"inference_id": SOME, "value": "x"}]}, 400, "feedback[0].value", "GOOD"),
        ({"feedback": [{"value": "BAD"}]}, 400, "feedback[0].inference_id", "missing"),
    ],
)
@asynchronous
async def test_refusals(
    tmp_path: Path, body: Any, status: int, param: str | None, words: str
) -> None:
    world = World(tmp_path)
    world.epoch(1)
    async with serving(world.gateway()) as client:
        found, answer, _ = await client.post(FEEDBACK, body)
    assert (found, answer["error"]["param"]) == (status, param)
    assert words in answer["error"]["message"]
    assert world.feedback() == {}


@asynchronous
async def test_an_idempotency_key_is_a_name(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.epoch(1)
    async with serving(world.gateway()) as client:
        said = {"inference_id": SOME, "value": "GOOD"}
        status, answer, _ = await client.post(FEEDBACK, said, {"Idempotency-Key": "k" * 129})
    assert (status, answer["error"]["param"]) == (400, "idempotency-key")


def test_the_default_bound_is_generous() -> None:
    """An outage of an hour at 100 answers a second is about 300 MB."""
    assert SpoolSettings().bound >= 3600 * 100 * 800
