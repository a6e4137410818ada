"""The kill switch at gateways (O4): obeyed within a second, with the store taken away."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from greenlight.adapters.kill_file import KillFile
from greenlight.core.errors import Refused
from greenlight.core.killing import KillEntry
from greenlight.core.records import HOUR, MILLISECOND, Epoch, Replica, Version
from greenlight.core.routing import Standing
from greenlight.serving.routing import Closed, Route, RoutingTable, Served
from greenlight.testing.outages import file_away, locked
from tests.adapters.test_kill_file import put
from tests.core.test_killing import JUDGE, word
from tests.serving.harness import (
    QUICK,
    SALT,
    V1,
    V2,
    Client,
    Echo,
    World,
    asynchronous,
    eventually,
    serving,
)
from tests.serving.test_processes import installation, process


class Hanging(World):
    """A world whose store answers nobody once it is taken away, and lets them wait."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.here = threading.Event()
        self.here.set()
        self.waiting = 0
        for name in ("get", "scan", "ingest", "heartbeat", "commit"):
            setattr(self.store, name, self._hang(getattr(self.store, name)))

    def _hang(self, ask: Any) -> Any:
        def wait(*given: Any, **named: Any) -> Any:
            if not self.here.is_set():
                self.waiting += 1
                self.here.wait(30)
            return ask(*given, **named)

        return wait

    @contextmanager
    def away(self) -> Iterator[None]:
        """Take the store away for a while."""
        self.here.clear()
        try:
            yield
        finally:
            self.here.set()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kill.json"


def switch(file: Path) -> KillFile:
    return KillFile(file, JUDGE)


@asynchronous
async def test_a_kill_is_obeyed_within_a_second_while_the_store_hangs(
    tmp_path: Path, file: Path
) -> None:
    """Every thread that may wait for the store does; the next request is control's all the same,
    on every replica."""
    world = Hanging(tmp_path)
    world.epoch(1, candidate=V2, weight=1.0)
    first = world.gateway(kill_switch=switch(file))
    second = world.gateway(replica="gateway-2", kill_switch=switch(file))
    async with serving(first) as one, serving(second) as other:
        assert {(await one.ask("u"))[1], (await other.ask("u"))[1]} == {"v2"}
        with world.away():
            for _ in range(64):  # whoever asks for what only the store knows has a thread wait
                asyncio.get_running_loop().run_in_executor(None, world.store.get, Replica, "g")
            await eventually(lambda: world.waiting > 4)
            put(file, word())
            killed = time.monotonic()
            await eventually(lambda: _answers(one, "v1"))
            await eventually(lambda: _answers(other, "v1"))
            took = time.monotonic() - killed
            assert took < 1, f"{took:.3f} s"
            calls = world.models[V2].calls
            for unit in range(20):
                assert (await one.ask(f"user-{unit}"))[1] == "v1"
            assert world.models[V2].calls == calls
        for replica in ("gateway-1", "gateway-2"):
            await eventually(lambda replica=replica: _obeys(world, replica, 1))
    ends = [record for record in world.inferences().values() if record.served_version == V1]
    assert {(record.rollout, record.weight, record.epoch) for record in ends} == {(None, 0.0, 1)}


@asynchronous
async def test_a_process_obeys_within_a_second_without_its_store(
    tmp_path: Path, file: Path
) -> None:
    """As it is shipped: looked at every 250 ms, the store's file gone and its lock taken."""
    store = installation(tmp_path)
    [live] = store.scan(Version)
    candidate = msgspec.structs.replace(live, digest=V2, label="v2")
    [first] = store.scan(Epoch)
    split = {"number": 2, "follows": 1, "rollout": "r1", "candidate": V2, "weight": 1.0}
    store.commit(append=[candidate, msgspec.structs.replace(first, **split)])
    path = tmp_path / "store.db"
    with process("tests.serving.gateway_process", str(tmp_path), "1") as (_, url):
        async with aiohttp.ClientSession(url) as session:
            client = Client(session)
            assert (await client.ask("u"))[1] == "v2"
            with locked(path), file_away(path):
                put(file, word())
                killed = time.monotonic()
                await eventually(lambda: _answers(client, "v1"))
                took = time.monotonic() - killed
    store.close()
    assert took < 1, f"{took:.3f} s"


@asynchronous
async def test_no_copies_are_made_for_what_is_killed(tmp_path: Path, file: Path) -> None:
    world = World(tmp_path)
    world.epoch(1, candidate=V2, weight=0.0)
    slow = world.models[V2]
    slow.gate = asyncio.Event()
    settings = msgspec.structs.replace(QUICK, copies_at_once=1)
    gateway = world.gateway(settings, kill_switch=switch(file))
    async with serving(gateway) as client:
        for unit in range(5):
            await client.ask(f"user-{unit}")
        await slow.entered.wait()
        put(file, word())
        await eventually(lambda: gateway.table.standing("intent").killed)
        await client.ask("user-6")
        slow.gate.set()
        await eventually(lambda: _reads(client, 'outcome="dropped"', 4.0))
    assert slow.calls == 1, "the one under way; those that wait are dropped"
    assert len(world.shadows()) <= 1


@asynchronous
async def test_a_file_that_says_less_than_before_takes_nothing_back(
    tmp_path: Path, file: Path
) -> None:
    """Garbage, an older file played again, a forged word, no file at all."""
    world = World(tmp_path)
    world.epoch(1, candidate=V2, weight=1.0)
    first = word()
    lifted = word("ana", first, lift=True)
    killed = word("ben", lifted)
    async with serving(world.gateway(kill_switch=switch(file))) as client:
        assert (await client.ask("u"))[1] == "v2"
        put(file, word(signer="ana"))
        await eventually(lambda: _reads(client, "greenlight_kill_refused_total", 1.0))
        assert (await client.ask("u"))[1] == "v2", "forged: kim has said nothing"
        put(file, killed)
        await eventually(lambda: _answers(client, "v1"))
        assert await _reads(client, 'greenlight_kill_generation{task="intent"}', 3.0)
        assert await _reads(client, 'greenlight_killed{task="intent"}', 1.0)
        forged = msgspec.structs.replace(word("kim", killed, lift=True), by="ana")
        for seen, entry in enumerate((lifted, first, forged), start=2):
            put(file, entry)
            await eventually(
                lambda seen=seen: _reads(client, "greenlight_kill_refused_total", seen)
            )
            assert (await client.ask("u"))[1] == "v1"
        file.write_bytes(b"\0garbage")
        await eventually(lambda: _reads(client, "greenlight_kill_refused_total", 5.0))
        file.unlink()
        await eventually(lambda: _reads(client, "greenlight_kill_refused_total", 6.0))
        assert (await client.ask("u"))[1] == "v1"


@asynchronous
async def test_what_was_decided_before_a_kill_is_not_taken_over(tmp_path: Path, file: Path) -> None:
    """ARCHITECTURE: (kill generation, epoch) in lexicographic order, anything older refused."""
    world = World(tmp_path)
    world.epoch(1, candidate=V2, weight=0.5)
    gateway = world.gateway(kill_switch=switch(file))
    async with serving(gateway) as client:
        put(file, word())
        await eventually(lambda: gateway.table.standing("intent").killed)
        world.epoch(2, candidate=V2, weight=1.0)  # a WIDEN in flight
        world.epoch(3, control=V2)  # a promotion
        world.epoch(1, task="tone")
        await eventually(lambda: gateway.table.get("tone") is not None)
        assert gateway.table.epochs()["intent"] == 1
        assert (await client.ask("u"))[1] == "v1"
        assert await _reads(client, "greenlight_sync_errors_total", 0.0)
        world.epoch(4, control=V1, kill=1)  # the controller has caught up
        await eventually(lambda: gateway.table.epochs()["intent"] == 4)
        world.epoch(5, candidate=V2, weight=1.0, kill=1)  # whatever the store says
        await eventually(lambda: gateway.table.epochs()["intent"] == 5)
        assert (await client.ask("u"))[1] == "v1"
        await eventually(lambda: world.models[V2].closed)


@asynchronous
async def test_a_gateway_that_starts_while_a_task_is_killed(tmp_path: Path, file: Path) -> None:
    """The store has not heard of the kill: control alone, and the candidate is not even opened.
    Once lifted, what was started since gets its traffic at once, and nothing older."""
    world = World(tmp_path)
    world.epoch(7, candidate=V2, weight=1.0)
    killed = word()
    put(file, killed)
    gateway = world.gateway(msgspec.structs.replace(QUICK, recheck=HOUR), kill_switch=switch(file))
    async with serving(gateway) as client:
        assert (await client.ask("u"))[1] == "v1"
        assert world.opened == ["v1"]
        put(file, word("ana", killed, lift=True))
        await eventually(lambda: gateway.table.standing("intent") == Standing(generation=2))
        assert (await client.ask("u"))[1] == "v1", "lifting brings nothing back"
        world.epoch(8, candidate=V2, weight=1.0, kill=2)
        await eventually(lambda: _answers(client, "v2"))


@asynchronous
async def test_a_gateway_that_sees_the_lift_last(tmp_path: Path, file: Path) -> None:
    """Where the file comes later than the new rollout its candidate waits for the file."""
    world = World(tmp_path)
    world.epoch(1)
    killed = word()
    put(file, killed)
    gateway = world.gateway(msgspec.structs.replace(QUICK, recheck=HOUR), kill_switch=switch(file))
    async with serving(gateway) as client:
        world.epoch(2, candidate=V2, weight=1.0, kill=2)
        await eventually(lambda: gateway.table.epochs() == {"intent": 2})
        assert (await client.ask("u"))[1] == "v1"
        put(file, word("ana", killed, lift=True))
        await eventually(lambda: _answers(client, "v2"))


class Stuck:
    """A disk that does not answer."""

    def __init__(self) -> None:
        self.free = threading.Event()

    def look(self) -> Sequence[str]:
        self.free.wait(30)
        raise OSError("broken, and a fault of the code besides")

    def entries(self) -> Mapping[str, KillEntry]:
        return {}


@asynchronous
async def test_a_file_that_hangs_keeps_no_gateway_from_answering(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.epoch(1, candidate=V2, weight=1.0)
    stuck = Stuck()
    settings = msgspec.structs.replace(QUICK, kill_patience=20 * MILLISECOND)
    async with serving(world.gateway(settings, kill_switch=stuck)) as client:
        assert (await client.ask("u"))[1] == "v2"
        stuck.free.set()
        assert (await client.ask("u"))[1] == "v2"


def route(epoch: int, *, kill: int = 0, candidate: bool = True) -> Route:
    one, other = Served(V1, "v1", Echo("v1")), Served(V2, "v2", Echo("v2"))
    return Route(
        task="intent",
        epoch=epoch,
        rollout="r1",
        salt=SALT,
        weight=0.5,
        control=one,
        candidate=other if candidate else None,
        kill=kill,
    )


def test_the_table_lets_no_route_past_the_kill_switch() -> None:
    """Whenever it comes: before the kill, after it, or as the first of its task."""
    table = RoutingTable()
    table.apply(route(7), now=100)
    table.obey("intent", Standing(generation=3, killed=True))
    held = table.route("intent")
    assert (held.candidate, held.weight, held.rollout, held.salt) == (None, 0.0, None, "")
    assert (held.epoch, held.kill, table.applied_at()) == (7, 3, {"intent": 100})
    with pytest.raises(Refused, match="epoch 8 is older than 7, now in force under kill 3"):
        table.apply(route(8), now=200)
    table.apply(route(7), now=300)  # looked at again
    assert table.route("intent").candidate is None
    table.apply(route(6, kill=4), now=400)
    assert (table.route("intent").candidate, table.applied_at()) == (None, {"intent": 400})
    table.obey("tone", Standing(generation=1, killed=True))
    table.apply(msgspec.structs.replace(route(1), task="tone"), now=500)
    assert table.route("tone").candidate is None
    assert table.kills() == {"intent": 3, "tone": 1}
    table.obey("tone", Standing(generation=2))
    table.apply(Closed(task="tone", epoch=2, reason="x", kill=2), now=600)
    assert table.closed()[0].kill == 2


async def _answers(client: Client, label: str) -> bool:
    return (await client.ask("user-1"))[1] == label


async def _reads(client: Client, name: str, value: float) -> bool:
    lines = (await client.get("/metrics"))[1].splitlines()
    return any(
        name in line and float(line.split()[-1]) == value for line in lines if line[0] != "#"
    )


def _obeys(world: World, replica: str, generation: int) -> bool:
    found = world.store.get(Replica, replica)
    return found is not None and found.kills == {"intent": generation}
