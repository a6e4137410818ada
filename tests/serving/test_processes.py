"""Real processes: what a killed gateway acknowledged is in the store, a stopped one drains."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
import pytest

from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.records import Epoch, Feedback, Inference, Replica, Version
from greenlight.core.states import VersionStatus
from tests.serving.harness import V1, Client, asynchronous

ROOT = Path(__file__).parents[2]


@contextmanager
def process(
    module: str, *arguments: str, stderr: BinaryIO | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that prints the URL it listens on; killed in the end if it still runs."""
    running = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert running.stdout is not None
    try:
        line = running.stdout.readline()
        assert "listening on http" in line
        yield running, line.split()[-1]
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def installation(folder: Path) -> SqlStore:
    """A store with one live version."""
    store = SqlStore(f"sqlite:///{folder}/store.db")
    version = Version(
        digest=V1,
        task="intent",
        label="v1",
        bundle="",
        runtime={},
        lineage={},
        initiator="ana",
        status=VersionStatus.LIVE,
        at=0,
    )
    epoch = Epoch(
        task="intent",
        number=1,
        follows=0,
        rollout=None,
        control=V1,
        candidate=None,
        weight=0.0,
        salt="",
        decision="d",
        at=0,
    )
    store.commit(append=[version, epoch])
    return store


def ids_in(store: SqlStore, kind: type[Inference] | type[Feedback]) -> set[str]:
    found: set[str] = set()
    while page := store.scan(kind, after=(max(found),) if found else None):
        found |= {record.id for record in page}
    return found


class Users:
    """Ask and judge until the gateway is gone; remember what was acknowledged."""

    def __init__(self) -> None:
        self.answered: list[str] = []
        self.judged: list[str] = []

    async def live(self, client: Client, seed: int) -> None:
        rng = random.Random(seed)
        while True:
            try:
                id, _ = await client.ask(f"user-{rng.randrange(1000)}")
                self.answered.append(id)
                status, answer, _ = await client.post(
                    "/v1/feedback", {"inference_id": id, "value": rng.choice(["GOOD", "BAD"])}
                )
            except (aiohttp.ClientError, ConnectionError):
                return
            assert status == 200
            self.judged.append(answer["id"])


async def use(url: str, users: Users, enough: int, stop: Any) -> None:
    """Eight users at once; `stop` is called as soon as there is enough."""
    async with aiohttp.ClientSession(url) as session:
        client = Client(session)
        living = [asyncio.create_task(users.live(client, seed)) for seed in range(8)]
        while len(users.judged) < enough:
            await asyncio.wait(living, timeout=0.005)
        stop()
        await asyncio.gather(*living)


@pytest.mark.parametrize("linger_ms", [20, 60_000])
@asynchronous
async def test_a_killed_gateway_loses_nothing_acknowledged(tmp_path: Path, linger_ms: int) -> None:
    """Promise 5: SIGKILL in full traffic, once while batches move, once before any has."""
    store = installation(tmp_path)
    users = Users()
    with process("tests.serving.gateway_process", str(tmp_path), str(linger_ms)) as (first, url):
        await use(url, users, 300, first.kill)
    before = ids_in(store, Inference)
    if linger_ms > 1000:
        assert before == set()
    with process("tests.serving.gateway_process", str(tmp_path), "1") as (second, url):
        async with aiohttp.ClientSession(url) as session:
            after, _ = await Client(session).ask("user-1")
        second.send_signal(signal.SIGTERM)
        assert second.wait(20) == 0
    assert len(users.judged) >= 300
    assert {*users.answered, after} <= ids_in(store, Inference)
    assert set(users.judged) <= ids_in(store, Feedback)
    assert list((tmp_path / "spool").iterdir()) == []
    store.close()


@asynchronous
async def test_who_asks_again_after_a_kill_is_heard_once(tmp_path: Path) -> None:
    """Promise 5: the answer to a judgement may be lost with the gateway; sent again under its key
    it is the same feedback, although the first has not reached the store yet."""
    store = installation(tmp_path)
    key = {"Idempotency-Key": "judged-1"}
    with process("tests.serving.gateway_process", str(tmp_path), "60000") as (first, url):
        async with aiohttp.ClientSession(url) as session:
            client = Client(session)
            id, _ = await client.ask("user-1")
            body = {"inference_id": id, "value": "GOOD"}
            _, told, _ = await client.post("/v1/feedback", body, key)
        first.kill()
    assert ids_in(store, Feedback) == set()
    with process("tests.serving.gateway_process", str(tmp_path), "60000") as (second, url):
        async with aiohttp.ClientSession(url) as session:
            status, again, _ = await Client(session).post("/v1/feedback", body, key)
        second.kill()
    with process("tests.serving.gateway_process", str(tmp_path), "1") as (third, _):
        third.send_signal(signal.SIGTERM)
        assert third.wait(20) == 0
    assert (status, again["id"]) == (202, told["id"]), "its inference is on its way, too"
    assert ids_in(store, Feedback) == {told["id"]}
    assert ids_in(store, Inference) == {id}
    store.close()


@asynchronous
async def test_a_stopped_gateway_drains_and_signs_off(tmp_path: Path) -> None:
    """SIGTERM: requests under way are answered, the spool is emptied, the exit code is 0."""
    store = installation(tmp_path)
    users = Users()
    with process("tests.serving.gateway_process", str(tmp_path), "20") as (gateway, url):
        await use(url, users, 200, gateway.terminate)
        assert gateway.wait(20) == 0
    assert set(users.answered) <= ids_in(store, Inference)
    assert set(users.judged) <= ids_in(store, Feedback)
    assert list((tmp_path / "spool").iterdir()) == []
    replica = store.get(Replica, "gateway-1")
    assert replica is not None and replica.at == 0
    store.close()


@asynchronous
async def test_answers_are_not_held_back(tmp_path: Path) -> None:
    """Nagle's algorithm against delayed acknowledgements would cost 40 ms on each of them."""
    installation(tmp_path).close()
    with process("tests.serving.gateway_process", str(tmp_path), "20") as (_, url):
        async with aiohttp.ClientSession(url) as session:
            client = Client(session)
            taken = []
            for number in range(60):
                began = time.perf_counter()
                await client.ask(f"user-{number}")
                taken.append(time.perf_counter() - began)
    assert statistics.median(taken) < 0.03


def test_a_taken_port_is_refused_in_words(tmp_path: Path) -> None:
    installation(tmp_path).close()
    with process("tests.serving.gateway_process", str(tmp_path), "20") as (_, url):
        port = url.rsplit(":", 1)[1]
        code = (
            "from greenlight.entrypoints.gateway import serve\n"
            "from greenlight.core.errors import Refused\n"
            f"try: serve(None, '127.0.0.1', {port})\n"
            "except Refused as error: print(error)"
        )
        told = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
    expected = f"gateway: cannot listen on 127.0.0.1:{port}: Address already in use; "
    assert expected in told.stdout
