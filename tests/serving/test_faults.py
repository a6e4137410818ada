"""Faults around a gateway that answers: what was acknowledged is in the store, once (promise 5)."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from greenlight.core.assignment import bucket
from greenlight.core.records import MILLISECOND, SECOND, Inference
from greenlight.core.states import Status
from greenlight.lookup import everything
from greenlight.testing.outages import file_away, folder_away, locked
from tests.serving.harness import SALT, asynchronous
from tests.serving.provider import breaking, failing, saying, silent
from tests.serving.sites import (
    C1,
    C2,
    Scene,
    Witness,
    scene,
    watching,
)
from tests.serving.traffic import Crowd, Users, more, settle, until

LONG = [pytest.mark.slow, pytest.mark.timeout(180)]
BUSY = "greenlight.adapters.stores.sqlite.BUSY_MS"


@pytest.mark.parametrize("outage", [locked, file_away, folder_away])
@pytest.mark.parametrize("seconds", [0.5, pytest.param(60.0, marks=LONG)])
@asynchronous
async def test_the_store_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outage: Any, seconds: float
) -> None:
    """S3, S7, promise 5: answers and judgements go on; nothing is lost, nothing is twice, and no
    gateway promises meanwhile that what waits on its disk were stored."""
    if seconds < 1:
        monkeypatch.setattr(BUSY, 50)
    users = Users()
    async with (
        scene(tmp_path) as on,
        watching(on.world.path) as witness,
        Crowd(users, on.client) as book,
    ):
        await more(book, 100)
        with outage(on.world.path):
            await more(book, 100, seconds)
        await more(book, 100)
    assert book.outcomes.keys() == {(k, "ok") for k in ("predict", "chat", "stream", "feedback")}
    settle(on.world.store, book)
    assert witness.check() > 1


async def dying(request: web.Request) -> web.StreamResponse:
    """A fault: the connection breaks after the first bit of a stream, or before a whole answer."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b'data: {"choices":[{"index":0,"delta":{"content":"gr"}}]}\n\n')
    assert request.transport is not None
    request.transport.abort()
    return response


FAULTS = {
    "refuses": failing(500),
    "hangs": silent,
    "garbage": saying(b"<html>it works!</html>"),
    "breaks": breaking,
    "dies": dying,
}


CANDIDATES, CONTROLS = (
    [unit for unit in (f"user-{n}" for n in range(400)) if (bucket(SALT, unit) < 0.5) is arm]
    for arm in (True, False)
)


async def answered(on: Scene, users: Users, unit: str, kind: str) -> float:
    """How long an answer took, in seconds."""
    began = time.perf_counter()
    await users.ask(on.client, kind, unit)
    return time.perf_counter() - began


def statuses(on: Scene, version: str) -> Counter[tuple[str, Status]]:
    """(who answered, status) → how often, of what was assigned to a version."""
    kept = everything(on.world.store, Inference, {"task": "support"})
    return Counter((r.served_version, r.status) for r in kept if r.version == version)


@pytest.mark.parametrize("fault", FAULTS)
@asynchronous
async def test_the_candidate_fails_while_the_store_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """S5, promise 3: control answers for it in time, its breaker opens, and who is assigned to
    control never waits for it. Every failure is on record."""
    monkeypatch.setattr(BUSY, 50)
    users = Users(kinds=("chat", "stream"))
    # Long enough for control to answer in time on a busy machine, too.
    async with scene(tmp_path, timeout=2 * SECOND, reset=60 * SECOND) as on:
        green = on.providers["green"]
        witness = Witness(on.world.path)
        with locked(on.world.path):
            green.fault = FAULTS[fault]
            luck = random.Random(7)
            took = []
            async with Crowd(users, on.client) as book:
                while C2 not in on.gateway.table.open_since():
                    took.append(await answered(on, users, luck.choice(CONTROLS), "chat"))
            asked = len(green.requests)
            for unit, kind in zip(CANDIDATES[:60], ("chat", "stream") * 30, strict=True):
                took.append(await answered(on, users, unit, kind))
            assert len(green.requests) == asked
            assert statistics.median(took) < 0.1
            witness.look()
        await users.judge_again(on.client)
    assert {what for _, what in book.outcomes} == {"ok"} | (
        {"broken"} if fault == "dies" else set()
    )
    settle(on.world.store, book)
    witness.check()
    assert statuses(on, C1).keys() == {(C1, Status.OK)}
    failed = Status.TIMEOUT if fault == "hangs" else Status.ERROR
    found = statuses(on, C2)
    # On a busy machine patience may end before the fault has come through.
    late = {Status.TIMEOUT} & {status for _, status in found}
    assert {status for _, status in found} == {failed, Status.SHORT_CIRCUIT} | late
    assert found[C1, failed] >= 1 and found[C1, Status.SHORT_CIRCUIT] >= 60
    assert found[C2, failed] == book.count("broken")


@pytest.mark.parametrize("fault", FAULTS)
@asynchronous
async def test_control_fails_while_the_store_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """S3, S4: nobody answers for it, and that is said at once, recorded, and over when it is."""
    monkeypatch.setattr(BUSY, 50)
    users = Users(kinds=("chat", "stream"))
    async with scene(tmp_path, timeout=400 * MILLISECOND) as on:
        with locked(on.world.path):
            on.providers["blue"].fault = FAULTS[fault]
            async with Crowd(users, on.client) as book:
                await until(lambda: C1 in on.gateway.table.open_since())
                begun = book.count("503")
                await until(lambda: book.count("503") > begun + 20)
                on.providers["blue"].fault = None
                await until(lambda: C1 not in on.gateway.table.open_since())
            assert await users.ask(on.client, "chat", CONTROLS[0])
    assert {what for _, what in book.outcomes} <= {"ok", "503", "broken"}
    settle(on.world.store, book)
    found = statuses(on, C1)
    silent = {status: n for (by, status), n in found.items() if by == ""}
    assert sum(silent.values()) == book.count("503")
    assert silent.keys() <= {Status.TIMEOUT, Status.ERROR, Status.SHORT_CIRCUIT}
    # Nothing of control's fault falls on the candidate. On a busy machine its patience may end too.
    others = {key for key in statuses(on, C2) if key[1] is not Status.TIMEOUT}
    assert others == {(C2, Status.OK)}
