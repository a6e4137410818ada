"""Shadow mode (S6): the candidate sees a copy, and users never see its answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from greenlight.core.records import MILLISECOND
from greenlight.core.states import Status, Variant
from greenlight.serving.routing import Capture, Plan, Segment
from tests.serving.harness import QUICK, V1, V2, Echo, World, asynchronous, eventually, serving
from tests.serving.provider import failing, silent
from tests.serving.scene import Scene, scene

PATH = "/v1/tasks/intent/predict"


def copies(scraped: str, outcome: str) -> float:
    """How many copies had this outcome."""
    label = f'greenlight_shadow_copies_total{{outcome="{outcome}",task="intent",version="v2"}}'
    found = [line for line in scraped.splitlines() if line.startswith(label)]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


@asynchronous
async def test_the_candidate_gets_a_copy_and_nobody_its_answer(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.epoch(1, candidate=V2)
    async with serving(world.gateway()) as client:
        id, label = await client.ask("ana")
        assert label == "v1"
        await eventually(lambda: world.shadows())
        [record], [shadow] = world.inferences().values(), world.shadows().values()
        assert (record.variant, record.weight, record.served_version) == (Variant.CONTROL, 0.0, V1)
        assert (shadow.id, shadow.version, shadow.unit, shadow.at) == (id, V2, "ana", record.at)
        assert (shadow.output, shadow.status, shadow.agreed) == ("v2", Status.OK, False)
        assert (shadow.alone, shadow.rollout, shadow.epoch) == (None, "r1", 1)
        _, scraped = await client.get("/metrics")
        assert copies(scraped, "ok") == 1


@asynchronous
async def test_every_input_of_a_batch_is_copied_in_one_call(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.models[V2].name = "v1"
    world.epoch(1, candidate=V2)
    async with serving(world.gateway()) as client:
        status, answer, _ = await client.post(PATH, {"inputs": ["a", "b"], "unit": "ana"})
        assert status == 200
        await eventually(lambda: len(world.shadows()) == 2)
        assert set(world.shadows()) == {one["id"] for one in answer["results"]}
        assert [shadow.agreed for shadow in world.shadows().values()] == [True, True]
        assert world.models[V2].calls == 1


@asynchronous
async def test_no_segment_brings_a_user_to_a_candidate_in_the_shadow(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.epoch(1, candidate=V2)
    plan = Plan(segments=(Segment(when={"plan": "beta"}, weight=1.0),))
    async with serving(world.gateway(plan=lambda task: plan)) as client:
        body = {"input": "hello", "unit": "ana", "metadata": {"plan": "beta"}}
        _, answer, _ = await client.post(PATH, body)
        assert answer["output"]["label"] == "v1"


@pytest.mark.parametrize("weight", [0.1, 1.0])
@asynchronous
async def test_a_candidate_with_traffic_gets_no_copies(tmp_path: Path, weight: float) -> None:
    world = World(tmp_path)
    world.epoch(1, candidate=V2, weight=weight)
    async with serving(world.gateway()) as client:
        for number in range(20):
            await client.ask(f"unit-{number}")
        _, scraped = await client.get("/metrics")
        assert "greenlight_shadow_copies_total{" not in scraped
    assert world.shadows() == {} and len(world.inferences()) == 20


@pytest.mark.parametrize("streamed", [False, True])
@asynchronous
async def test_chats_are_copied_whole_with_what_they_cost(tmp_path: Path, streamed: bool) -> None:
    """In the form in which they were asked, so that times compare."""
    async with scene(tmp_path, weight=0.0) as on:
        await _ask(on, streamed)
        await eventually(lambda: on.world.shadows())
        [shadow] = on.world.shadows().values()
        assert (shadow.output, shadow.status, shadow.agreed) == (
            "green: hello there",
            Status.OK,
            False,
        )
        assert (shadow.input_tokens, shadow.output_tokens) == (7, 3)
        assert shadow.cost == pytest.approx(37e-6)
        assert [bool(asked.get("stream")) for asked in on.green.requests] == [streamed]
        _, scraped = await on.client.get("/metrics")
        label = 'task="intent",version="v2"'
        assert f'greenlight_tokens_total{{direction="input",{label}}} 7.0' in scraped


async def _ask(on: Scene, streamed: bool) -> None:
    """Somebody asks, and is answered by control."""
    if streamed:
        assert b"blue" in await on.stream()
    else:
        code, answer, _ = await on.ask()
        assert (code, answer["choices"][0]["message"]["content"]) == (200, "blue: hello there")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (failing(500), Status.ERROR),
        (failing(400, {"error": {"message": "green cannot"}}), Status.ERROR),
        (silent, Status.TIMEOUT),
    ],
)
@asynchronous
async def test_a_copy_that_fails_is_a_lone_failure_and_no_users(
    tmp_path: Path, streamed: bool, fault: object, status: Status
) -> None:
    async with scene(tmp_path, weight=0.0, timeout=300 * MILLISECOND) as on:
        on.green.fault = fault  # type: ignore[assignment]
        await _ask(on, streamed)
        await eventually(lambda: on.world.shadows())
        [shadow], [record] = on.world.shadows().values(), on.world.inferences().values()
        assert (record.status, record.served_version) == (Status.OK, V1)
        assert (shadow.status, shadow.alone, shadow.output) == (status, Variant.CANDIDATE, "")
        assert (shadow.agreed, shadow.cost) == (None, None)


@asynchronous
async def test_a_stream_that_breaks_is_a_failure_of_the_copy(tmp_path: Path) -> None:
    async with scene(tmp_path, weight=0.0) as on:
        on.green.dies_after = 2
        assert (await on.stream()).endswith(b"data: [DONE]\n\n")
        await eventually(lambda: on.world.shadows())
        [shadow] = on.world.shadows().values()
        assert (shadow.status, shadow.alone) == (Status.ERROR, Variant.CANDIDATE)


@asynchronous
async def test_what_control_fails_and_the_candidate_answers_speaks_for_it(tmp_path: Path) -> None:
    async with scene(tmp_path, weight=0.0) as on:
        on.blue.fault = failing(500)
        code, _, _ = await on.ask()
        assert code == 503, "the candidate's answer is nobody's"
        await eventually(lambda: on.world.shadows())
        [shadow] = on.world.shadows().values()
        assert (shadow.status, shadow.alone) == (Status.OK, Variant.CONTROL)


@asynchronous
async def test_what_both_refuse_is_nobodys_failure(tmp_path: Path) -> None:
    async with scene(tmp_path, weight=0.0) as on:
        on.blue.fault = on.green.fault = failing(400, {"error": {"message": "no"}})
        code, _, _ = await on.ask()
        assert code == 400
        await eventually(lambda: on.world.shadows())
        [shadow] = on.world.shadows().values()
        assert (shadow.status, shadow.alone) == (Status.REFUSED, None)


@asynchronous
async def test_a_client_that_leaves_leaves_nothing_to_compare(tmp_path: Path) -> None:
    async with scene(tmp_path, weight=0.0) as on, on.sdk as sdk:
        on.blue.gate = asyncio.Event()
        stream = await sdk.chat.completions.create(
            model="greenlight/intent",
            messages=[{"role": "user", "content": "hello there"}],
            stream=True,
        )
        await anext(stream.__aiter__())
        await stream.close()
        record = await on.record()
        assert record.status == Status.CANCELLED
        assert on.green.requests == []


@asynchronous
async def test_a_slow_candidate_costs_copies_and_holds_nobody_up(tmp_path: Path) -> None:
    """The queue is bounded: what finds no place is dropped, counted, and never recorded."""
    world = World(tmp_path)
    slow: Echo = world.models[V2]
    slow.gate = asyncio.Event()
    world.epoch(1, candidate=V2)
    settings = msgspec.structs.replace(QUICK, copies_waiting=3, copies_at_once=2)
    async with serving(world.gateway(settings)) as client:
        for number in range(10):
            assert (await client.ask(f"unit-{number}"))[1] == "v1"
            await eventually(lambda: slow.calls >= min(2, number + 1))  # noqa: B023
        _, scraped = await client.get("/metrics")
        assert copies(scraped, "dropped") == 5
        slow.gate.set()
        await eventually(lambda: len(world.shadows()) == 5)
        _, scraped = await client.get("/metrics")
        assert (copies(scraped, "ok"), copies(scraped, "dropped")) == (5, 5)
    assert len(world.inferences()) == 10


@asynchronous
async def test_a_gateway_stops_without_waiting_for_copies(tmp_path: Path) -> None:
    """And the versions that they held open are closed."""
    world = World(tmp_path)
    slow: Echo = world.models[V2]
    slow.gate = asyncio.Event()
    world.epoch(1, candidate=V2)
    settings = msgspec.structs.replace(QUICK, copies_at_once=1)
    async with serving(world.gateway(settings)) as client:
        for number in range(3):
            await client.ask(f"unit-{number}")
        await slow.entered.wait()
    assert len(world.inferences()) == 3 and world.shadows() == {}
    assert slow.closed and world.models[V1].closed


@asynchronous
async def test_a_version_taken_out_of_traffic_answers_its_copies_first(tmp_path: Path) -> None:
    world = World(tmp_path)
    slow: Echo = world.models[V2]
    slow.gate = asyncio.Event()
    world.epoch(1, candidate=V2)
    async with serving(world.gateway()) as client:
        await client.ask("ana")
        await slow.entered.wait()
        world.epoch(2)

        async def gone() -> bool:
            return '"intent":2' in (await client.get("/readyz"))[1]

        await eventually(gone)
        assert not slow.closed
        slow.gate.set()
        await eventually(lambda: slow.closed)
        await eventually(lambda: world.shadows())
        [shadow] = world.shadows().values()
        assert (shadow.status, shadow.epoch) == (Status.OK, 1)


@asynchronous
async def test_a_surprise_of_a_model_is_its_failure_and_copies_go_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.models[V2].failure = ZeroDivisionError("no such thing")
    world.epoch(1, candidate=V2)
    async with serving(world.gateway()) as client:
        await client.ask("ana")
        await eventually(lambda: len(world.shadows()) == 1)
        world.models[V2].failure = None
        await client.ask("ben")
        await eventually(lambda: len(world.shadows()) == 2)
        first, second = sorted(world.shadows().values(), key=lambda shadow: shadow.at)
        assert (first.status, first.alone) == (Status.ERROR, Variant.CANDIDATE)
        assert second.status == Status.OK


@asynchronous
async def test_what_is_kept_of_a_copy_is_what_is_kept_of_its_request(tmp_path: Path) -> None:
    """D11, S6: the same lot, the same mask."""
    world = World(tmp_path)
    lots = iter([0.9, 0.1])
    world.luck = lambda: next(lots)
    world.epoch(1, candidate=V2)
    plan = Plan(capture=Capture(share=0.5, mask=lambda text: text.replace("2", "*")))
    async with serving(world.gateway(plan=lambda task: plan)) as client:
        await client.ask("ana")
        await client.ask("ben")
        await eventually(lambda: len(world.shadows()) == 2)
        kept = {shadow.unit: shadow.output for shadow in world.shadows().values()}
        assert kept == {"ana": "", "ben": "v*"}


@asynchronous
async def test_a_copy_that_finds_no_room_is_counted_as_dropped(tmp_path: Path) -> None:
    world = World(tmp_path)
    slow: Echo = world.models[V2]
    slow.gate = asyncio.Event()
    world.epoch(1, candidate=V2)
    spool = msgspec.structs.replace(QUICK.spool, bound=2000)
    async with serving(world.gateway(msgspec.structs.replace(QUICK, spool=spool))) as client:
        await client.ask("ana")
        await slow.entered.wait()
        await eventually(lambda: world.inferences())
        world.store.down = True
        while (await client.predict("ben"))[1].get("id") is not None:
            pass
        slow.gate.set()

        async def dropped() -> bool:
            return copies((await client.get("/metrics"))[1], "dropped") >= 1

        await eventually(dropped)
        world.store.down = False
    assert "ana" not in {shadow.unit for shadow in world.shadows().values()}


@asynchronous
async def test_what_is_not_on_record_is_not_copied(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.store.down = False
    world.epoch(1, candidate=V2)
    full = msgspec.structs.replace(QUICK, spool=msgspec.structs.replace(QUICK.spool, bound=1))
    async with serving(world.gateway(full)) as client:
        status, answer, _ = await client.predict("ana")
        assert (status, answer["output"]["label"]) == (200, "v1")
        await client.get("/metrics")
    assert world.models[V2].calls == 0
