"""Routing: only what is authorised, never back to an older epoch, live changes (O1, G2)."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import msgspec
import pytest

from greenlight.core.errors import Refused
from greenlight.core.records import HOUR, MILLISECOND, SECOND, Inference, Replica, Version
from greenlight.core.states import Variant
from greenlight.ports import Runtime
from greenlight.serving.follow import newest_epochs
from greenlight.serving.routing import Closed, RoutingTable
from tests.serving.harness import (
    QUICK,
    V1,
    V2,
    V3,
    Client,
    World,
    asynchronous,
    eventually,
    serving,
)


def test_the_table_never_goes_back() -> None:
    """A widening in flight cannot undo what came after it."""
    table = RoutingTable()
    table.apply(Closed(task="intent", epoch=5, reason="x"), now=100)
    table.apply(Closed(task="intent", epoch=5, reason="y"), now=200)
    with pytest.raises(Refused, match="epoch 4 is older than 5"):
        table.apply(Closed(task="intent", epoch=4, reason="z"), now=300)
    assert table.closed()[0].reason == "y"
    assert table.applied_at() == {"intent": 100}
    table.apply(Closed(task="intent", epoch=6, reason="z"), now=400)
    assert table.applied_at() == {"intent": 400}


def test_the_newest_epoch_of_every_task_is_found(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert newest_epochs(world.store) == []
    for task, last in (("a", 3), ("b", 1), ("intent", 12)):
        for number in range(1, last + 1):
            world.epoch(number, task=task)
    found = {epoch.task: epoch.number for epoch in newest_epochs(world.store)}
    assert found == {"a": 3, "b": 1, "intent": 12}


@asynchronous
async def test_an_unauthorised_candidate_gets_no_traffic(tmp_path: Path) -> None:
    """G2: the data plane itself refuses; an approval that comes late lets it in."""
    world = World(tmp_path)
    world.epoch(1, candidate=V2, weight=1.0)
    world.unapproved.add(V2)
    async with serving(world.gateway()) as client:
        id, label = await client.ask("user-1")
        assert (label, world.opened) == ("v1", ["v1"])
        assert (await client.get("/readyz"))[0] == 200
        metrics = (await client.get("/metrics"))[1]
        assert f'greenlight_version_refused{{task="intent",version="{V2}"}} 1.0' in metrics
        world.unapproved.clear()
        await eventually(lambda: _label_is(client, "v2"))
    record = world.inferences()[id]
    assert (record.variant, record.weight, record.epoch) == (Variant.CONTROL, 0.0, 1)


@asynchronous
async def test_what_may_serve_as_control_only_is_no_candidate(tmp_path: Path) -> None:
    """G1: the gateway asks for each variant by itself, even where both are one version."""
    world = World(tmp_path)
    world.epoch(1, candidate=V1, weight=1.0)
    world.unapproved.add((V1, Variant.CANDIDATE))
    async with serving(world.gateway()) as client:
        id, _ = await client.ask("user-1")
    assert world.inferences()[id].variant == Variant.CONTROL


@asynchronous
async def test_a_revoked_candidate_loses_its_traffic(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.epoch(1, candidate=V2, weight=1.0)
    async with serving(world.gateway()) as client:
        assert (await client.ask("user-1"))[1] == "v2"
        world.unapproved.add(V2)
        await eventually(lambda: _label_is(client, "v1"))
        await eventually(lambda: world.models[V2].closed)


@asynchronous
async def test_an_unauthorised_control_closes_the_task(tmp_path: Path) -> None:
    """Nothing reaches users unapproved: 503, and not ready."""
    world = World(tmp_path)
    world.epoch(1)
    world.unapproved.add(V1)
    async with serving(world.gateway()) as client:
        status, answer, headers = await client.predict("user-1")
        assert (status, answer["error"]["code"]) == (503, "not_ready")
        assert V1 not in answer["error"]["message"]
        assert headers["Retry-After"] == "1"
        assert (await client.get("/readyz"))[0] == 503
        assert (await client.get("/healthz"))[0] == 200
        world.unapproved.clear()
        await eventually(lambda: _label_is(client, "v1"))
        assert (await client.get("/readyz"))[0] == 200


@pytest.mark.parametrize("fault", [RuntimeError("no memory"), Refused("changed bytes")])
@asynchronous
async def test_a_candidate_that_does_not_start_leaves_control_alone(
    tmp_path: Path, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.epoch(1, candidate=V2, weight=1.0)
    opened = world.open_runtime

    def fails_for_v2(version: Version) -> Runtime:
        if version.digest == V2:
            raise fault
        return opened(version)

    monkeypatch.setattr(world, "open_runtime", fails_for_v2)
    async with serving(world.gateway()) as client:
        assert (await client.ask("user-1"))[1] == "v1"


@asynchronous
async def test_epochs_change_live_and_runtimes_outlive_their_requests(tmp_path: Path) -> None:
    """S2: a version out of traffic is closed after its last request, one still in use is kept."""
    world = World(tmp_path)
    world.epoch(1, control=V1)
    old = world.models[V1]
    gateway = world.gateway()
    async with serving(gateway) as client:
        assert (await client.ask("user-1"))[1] == "v1"
        old.gate = asyncio.Event()
        old.entered.clear()
        running = asyncio.create_task(client.ask("user-2"))
        await old.entered.wait()
        world.epoch(2, control=V2)
        await eventually(lambda: gateway.table.epochs() == {"intent": 2})
        world.epoch(3, control=V2, candidate=V3, weight=1.0)
        await eventually(lambda: _label_is(client, "v3"))
        assert not old.closed
        old.gate.set()
        id, label = await running
        assert label == "v1"
        await eventually(lambda: old.closed)
    assert world.opened == ["v1", "v2", "v3"]
    assert world.inferences()[id].epoch == 1


@asynchronous
async def test_the_fallback_is_kept_open_too(tmp_path: Path) -> None:
    """The epoch changes while the candidate is about to fail: control must still be there."""
    world = World(tmp_path)
    world.epoch(1, control=V1, candidate=V2, weight=1.0)
    slow = world.models[V2]
    slow.failure = RuntimeError("in the end")
    slow.gate = asyncio.Event()
    gateway = world.gateway()
    async with serving(gateway) as client:
        running = asyncio.create_task(client.ask("user-1"))
        await slow.entered.wait()
        world.epoch(2, control=V3)
        await eventually(lambda: gateway.table.epochs() == {"intent": 2})
        slow.gate.set()
        assert (await running)[1] == "v1"


@asynchronous
async def test_a_lost_store_leaves_the_routes_as_they_are(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.epoch(1)
    gateway = world.gateway()
    async with serving(gateway) as client:
        await client.ask("user-1")
        world.store.down = True
        await eventually(lambda: _counts(client, "greenlight_sync_errors_total", 3))
        assert (await client.ask("user-1"))[1] == "v1"
        assert (await client.get("/readyz"))[0] == 200
        world.store.down = False
        world.epoch(2, control=V2)
        await eventually(lambda: _label_is(client, "v2"))


@asynchronous
async def test_a_gateway_without_routes_is_alive_but_not_ready(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.store.down = True
    async with serving(world.gateway()) as client:
        assert (await client.get("/healthz"))[0] == 200
        status, text = await client.get("/readyz")
        assert (status, "not been read" in text) == (503, True)
        world.store.down = False
        await eventually(lambda: _says(client, "no task has a version yet"))
        status, answer, _ = await client.predict("user-1")
        assert (status, answer["error"]["message"]) == (
            404,
            "no task 'intent'; there are: none yet",
        )
        world.epoch(1)
        await eventually(lambda: _label_is(client, "v1"))


@asynchronous
async def test_heartbeats_tell_what_is_routed_and_stored(tmp_path: Path) -> None:
    """What evidence waits for; a gateway that left nothing behind signs off."""
    world = World(tmp_path)
    world.epoch(1)
    slow = world.models[V1]

    def replica() -> Replica:
        found: Replica | None = world.store.get(Replica, "gateway-1")
        assert found is not None
        return found

    async with serving(world.gateway()) as client:
        await client.ask("user-1")
        started = world.clock.now()
        world.epoch(2, candidate=V2, weight=0.0)
        await eventually(lambda: replica().epochs == {"intent": 2})
        assert started <= replica().applied_at["intent"] <= world.clock.now()
        await eventually(lambda: replica().flushed_through > started)

        slow.gate = asyncio.Event()
        slow.entered.clear()
        before = world.clock.now()
        running = asyncio.create_task(client.ask("user-2"))
        await slow.entered.wait()
        after = world.clock.now()
        await eventually(lambda: replica().at > after + SECOND // 50)
        assert before <= replica().flushed_through + 1 <= after
        slow.gate.set()
        id, _ = await running
        await eventually(lambda: replica().flushed_through > after)
        arrived = world.store.get(Inference, id)
        assert arrived is not None and before <= arrived.at <= after
    assert replica().at == 0
    assert replica().flushed_through > after


@asynchronous
async def test_a_gateway_signs_in_before_it_takes_requests(tmp_path: Path) -> None:
    """Else a cohort could close without waiting for what it has received."""
    world = World(tmp_path)
    world.epoch(1)
    gateway = world.gateway()
    await gateway.start()
    try:
        assert world.store.get(Replica, "gateway-1") is not None
    finally:
        await gateway.stop()


@asynchronous
async def test_a_sign_of_life_on_its_way_does_not_undo_the_sign_off(tmp_path: Path) -> None:
    """Else evidence would wait for a gateway that is gone."""
    world = World(tmp_path)
    world.epoch(1)
    go, under_way = threading.Event(), threading.Event()
    beat = world.store.heartbeat

    def slowly(sign: Replica) -> None:
        if sign.at and under_way.is_set():
            go.wait(10)
        under_way.set()
        beat(sign)

    world.store.heartbeat = slowly  # type: ignore[method-assign]
    gateway = world.gateway()
    await gateway.start()
    await eventually(lambda: (beat := gateway._heartbeat.beating) is not None and not beat.done())
    stopping = asyncio.create_task(gateway.stop())
    go.set()
    await stopping
    found = world.store.get(Replica, "gateway-1")
    assert found is not None and found.at == 0


@asynchronous
async def test_a_version_that_is_never_let_go_does_not_keep_a_gateway_from_ending(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    world.epoch(1)
    gateway = world.gateway(msgspec.structs.replace(QUICK, drain=100 * MILLISECOND))
    await gateway.start()
    gateway.table.route("intent").hold()
    await asyncio.wait_for(gateway.stop(), 10)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


@asynchronous
async def test_a_fault_with_one_task_keeps_no_other_from_its_routing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O1: a rollback reaches its task whatever is wrong elsewhere."""
    world = World(tmp_path)
    world.epoch(1, task="a", control=V3)
    world.epoch(1, task="z", control=V3)
    world.epoch(1, candidate=V2, weight=1.0)

    def authorise(digest: str, variant: Variant) -> None:
        if digest == V3:
            raise KeyError("no such table")

    monkeypatch.setattr(world, "authorise", authorise)
    async with serving(world.gateway()) as client:
        assert (await client.ask("user-1"))[1] == "v2"
        world.epoch(2)
        await eventually(lambda: _label_is(client, "v1"))
        assert (await client.get("/readyz"))[0] == 503


@asynchronous
async def test_a_promotion_between_two_questions_does_not_close_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control is retired in the moment in which its approvals are asked for again."""
    world = World(tmp_path)
    world.epoch(1, candidate=V2, weight=0.0)
    asked = []

    def authorise(digest: str, variant: Variant) -> None:
        if digest == V1:
            asked.append(digest)
            if len(asked) == 2:
                world.epoch(2, control=V2)
                raise Refused("retired")

    monkeypatch.setattr(world, "authorise", authorise)
    gateway = world.gateway(msgspec.structs.replace(QUICK, poll=HOUR, recheck=0))
    async with serving(gateway) as client:
        await eventually(lambda: len(asked) == 2)
        assert (await client.ask("user-1"))[1] == "v1"
        assert gateway.table.closed() == []


@asynchronous
async def test_a_gateway_that_leaves_events_behind_does_not_sign_off(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.epoch(1)
    hasty = msgspec.structs.replace(QUICK, drain=SECOND // 50)
    async with serving(world.gateway(hasty)) as client:
        await eventually(lambda: world.store.get(Replica, "gateway-1") is not None)
        world.store.down = True
        id, _ = await client.ask("user-1")
    world.store.down = False
    silent = world.store.get(Replica, "gateway-1")
    assert silent is not None and silent.at > 0
    assert world.inferences() == {}
    async with serving(world.gateway(replica="gateway-2")):
        await eventually(lambda: id in world.inferences())


async def _label_is(client: Client, label: str) -> bool:
    status, answer, _ = await client.predict("user-1")
    return status == 200 and answer["output"]["label"] == label


async def _says(client: Client, words: str) -> bool:
    return words in (await client.get("/readyz"))[1]


async def _counts(client: Client, name: str, least: int) -> bool:
    lines = (await client.get("/metrics"))[1].splitlines()
    return any(line.startswith(f"{name} ") and float(line.split()[1]) >= least for line in lines)
