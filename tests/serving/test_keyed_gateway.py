"""A gateway with keys over real HTTP: who may ask what, and who is told which version (S8)."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from greenlight.core.errors import ModelFailed
from greenlight.core.records import ApiKey
from greenlight.serving.app import Gateway
from greenlight.stages import keys
from tests.serving.harness import V2, World, asynchronous, eventually, serving

PREDICT = "/v1/tasks/intent/predict"
CHAT = "/v1/chat/completions"
FLAGS = "/ofrep/v1/evaluate/flags"
ASKED = {"input": "hello", "unit": "ana"}
TOLD = ("version", "variant", "rollout", "epoch", "fallback")


def make(world: World, *scopes: str, rate: float | None = None) -> tuple[str, dict[str, str]]:
    """A key's id and the header that shows it."""
    key, secret = keys.create(
        world.store,
        name="-".join(scopes),
        scopes=scopes,
        rate=rate,
        burst=None if rate is None else 1,
        expires_at=None,
        by="ana",
        now=world.clock.now(),
        random=Random(len(world.store.scan(ApiKey))).randbytes,
    )
    return key.id, {"Authorization": f"Bearer {secret}"}


def keyed(folder: Path) -> tuple[World, Gateway]:
    world = World(folder)
    world.epoch(1, candidate=V2, weight=1.0)
    return world, world.gateway()


@asynchronous
async def test_a_key_is_needed_and_good_for_its_scopes_only(tmp_path: Path) -> None:
    world, gateway = keyed(tmp_path)
    _, mine = make(world, "predict")
    async with serving(gateway) as client:
        for path, body in ((PREDICT, ASKED), (CHAT, {}), (FLAGS, {}), ("/v1/feedback", {})):
            status, answer, headers = await client.post(path, body)
            assert status == 401 and headers["WWW-Authenticate"] == "Bearer", answer
        for path in ("/v1/feedback", FLAGS, f"{FLAGS}/intent"):
            status, answer, _ = await client.post(path, {}, mine)
            assert status == 403, answer
        status, answer, headers = await client.post(PREDICT, ASKED, mine)
        assert (status, answer["output"]["label"]) == (200, "v2")
        assert not {f"x-greenlight-{name}" for name in TOLD} & {name.lower() for name in headers}
        assert (await client.get("/healthz"))[0] == 200


@asynchronous
async def test_the_key_is_on_record_with_what_it_brought(tmp_path: Path) -> None:
    world, gateway = keyed(tmp_path)
    id, mine = make(world, "predict", "feedback")
    async with serving(gateway) as client:
        _, answer, _ = await client.post(PREDICT, ASKED, mine)
        said = {"inference_id": answer["id"], "value": "GOOD"}
        assert (await client.post("/v1/feedback", said, mine))[0] == 200
    assert [record.caller for record in world.inferences().values()] == [id]
    assert [word.caller for word in world.feedback().values()] == [id]


@pytest.mark.parametrize("fails", [False, True])
@asynchronous
async def test_who_may_know_is_told_which_version_answered(tmp_path: Path, fails: bool) -> None:
    world, gateway = keyed(tmp_path)
    _, admin = make(world, "predict", "admin")
    world.models[V2].failure = ModelFailed("down") if fails else None
    async with serving(gateway) as client:
        _, _, headers = await client.post(PREDICT, ASKED, admin)
        assert [headers[f"x-greenlight-{name}"] for name in TOLD] == [
            "v1" if fails else "v2",
            "candidate",
            "r1",
            "1",
            "true" if fails else "false",
        ]
        async with client.session.get("/v1/models", headers=admin) as response:
            [model] = (await response.json())["data"]
        assert (model["id"], model["versions"]) == ("greenlight/intent", ["v1", "v2"])


@asynchronous
async def test_a_key_that_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    world, gateway = keyed(tmp_path)
    _, slow = make(world, "predict", rate=0.1)
    async with serving(gateway) as client:
        assert (await client.post(PREDICT, ASKED, slow))[0] == 200
        status, answer, headers = await client.post(PREDICT, ASKED, slow)
        assert (status, answer["error"]["code"]) == (429, "too_many_requests")
        assert 1 <= int(headers["Retry-After"]) <= 10


@asynchronous
async def test_a_revoked_key_stops_opening_without_a_restart(tmp_path: Path) -> None:
    world, gateway = keyed(tmp_path)
    _, mine = make(world, "predict")
    async with serving(gateway) as client:
        assert (await client.post(PREDICT, ASKED, mine))[0] == 200
        [key] = world.store.scan(ApiKey)
        keys.revoke(world.store, key, by="ana", why="lost", now=world.clock.now())

        async def refused() -> bool:
            return (await client.post(PREDICT, ASKED, mine))[0] == 401

        await eventually(refused)


@asynchronous
async def test_a_nameless_caller_is_told_nothing(tmp_path: Path) -> None:
    """Without keys everybody on this machine may ask, and nobody learns which version it was."""
    _, gateway = keyed(tmp_path)
    async with serving(gateway) as client:
        status, _, headers = await client.post(PREDICT, ASKED)
        assert status == 200
        assert not {f"x-greenlight-{name}" for name in TOLD} & {name.lower() for name in headers}
        async with client.session.get("/v1/models") as response:
            assert "versions" not in (await response.json())["data"][0]
