"""Where nothing more can be recorded: answers go on from control and say so, judgements are refused
(promise 5, S3)."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import aiohttp
import msgspec
import pytest

from greenlight.core.records import SECOND
from greenlight.serving.spool import SpoolFull
from greenlight.testing.outages import locked
from tests.serving.harness import QUICK, Client, asynchronous, eventually
from tests.serving.provider import providing
from tests.serving.sites import Site, Witness, scene
from tests.serving.test_processes import process
from tests.serving.test_spool import QUICK as QUICK_SPOOL
from tests.serving.test_spool import Bench
from tests.serving.traffic import Crowd, Users, more, settle, until

CONTROL = {"v1", "blue"}
HEARD = "hello"
"""A word of every request."""


def off_record(users: Users) -> bool:
    """Whether enough was answered without a record, and enough judgements refused."""
    book = users.book
    kinds = {kind for kind, outcome in book.outcomes if outcome == "unrecorded"}
    refused = book.outcomes["feedback", "503"]
    return book.count("unrecorded") > 60 and len(kinds) == 3 and refused > 10


@asynchronous
async def test_a_segment_that_cannot_be_begun_loses_nothing(tmp_path: Path) -> None:
    """The next file cannot be made: refused as by a full disk, and tried again."""
    bench = Bench(tmp_path, settings=msgspec.structs.replace(QUICK_SPOOL, segment=1000))
    (tmp_path / "w-00000002.jsonl").mkdir()
    bench.spool.start()
    put: list[str] = []
    with pytest.raises(SpoolFull):
        while True:
            put += await bench.put()
    await eventually(lambda: bench.sink.ids == put)
    for _ in range(9):
        put += await bench.put()
    assert await bench.spool.stop(SECOND)
    assert bench.sink.ids == put


@asynchronous
async def test_a_disk_without_room_for_a_file_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has begun takes events to its end; the next cannot begin until there is room."""
    bench = Bench(tmp_path, settings=msgspec.structs.replace(QUICK_SPOOL, segment=20_000))
    bench.sink.refusals = 10**9
    bench.spool.start()

    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    put: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr("greenlight.serving.segments.os.posix_fallocate", full)
        late = Bench(tmp_path / "late")
        late.spool.start()
        assert not late.spool.open
        with pytest.raises(SpoolFull):
            await late.put()
        assert late.files() == ["w.lock"]
        with pytest.raises(SpoolFull):
            while True:
                put += await bench.put()
        assert len(put) > 50
        assert not bench.spool.open
        assert bench.files() == ["late", "w-00000001.jsonl", "w.lock"]
    assert bench.spool.open
    assert late.spool.open
    assert await late.spool.stop(SECOND)
    put += await bench.put()
    bench.sink.refusals = 0
    assert await bench.spool.stop(SECOND)
    assert bench.sink.ids == put


@asynchronous
async def test_the_spool_reaches_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3: the store has been away for too long; once it is back everything goes on as before."""
    monkeypatch.setattr("greenlight.adapters.stores.sqlite.BUSY_MS", 50)
    spool = msgspec.structs.replace(QUICK.spool, bound=50_000)
    settings = msgspec.structs.replace(QUICK, spool=spool)
    users = Users()
    async with scene(tmp_path, settings) as on:
        witness = Witness(on.world.path)
        async with Crowd(users, on.client) as book:
            await more(book, 50)
            with locked(on.world.path):
                await until(lambda: off_record(users))
                witness.look()
                least = book.count("unrecorded")
                assert await on.metric("unrecorded_total") >= least
                assert await on.metric("spool_pending_bytes") <= 50_000
            await more(book, 50)
            witness.look()
        await users.judge_again(on.client)
        assert book.due == {}
    assert book.off_record.keys() == CONTROL
    assert book.kinds() == {"predict", "chat", "stream", "feedback"}
    settle(on.world.store, book)
    witness.check()


class Room:
    """A disk with little room, and a way to take and to give it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take(self, gateway: subprocess.Popen[str]) -> None:
        """Leave none."""
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    def give(self, gateway: subprocess.Popen[str]) -> None:
        """Leave enough."""
        most = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, most)


class SmallDisk(Room):
    """A file system of 16 MiB in memory."""

    def take(self, gateway: subprocess.Popen[str]) -> None:
        with (
            (self.folder / "ballast").open("wb", buffering=0) as file,
            contextlib.suppress(OSError),
        ):
            while True:
                file.write(bytes(4096))

    def give(self, gateway: subprocess.Popen[str]) -> None:
        (self.folder / "ballast").unlink()


@pytest.fixture(params=["limit", "disk"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "limit":
        yield Room(folder)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system: run as root")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def listening() -> Iterator[tuple[BinaryIO, list[bytes]]]:
    """A pipe for what a process says, and all of it in the end: a limit on the size of files, or a
    disk that is full, would cut a file short."""
    reader, writer = os.pipe()
    said: list[bytes] = []
    thread = threading.Thread(target=lambda: said.extend(iter(lambda: os.read(reader, 65536), b"")))
    thread.start()
    try:
        with os.fdopen(writer, "wb") as sink:
            yield sink, said
    finally:
        thread.join()
        os.close(reader)


@asynchronous
async def test_the_disk_is_full(room: Room) -> None:
    """S3, S7: under spool and store alike. Nothing that was said is lost or shows up in the log."""
    world = Site(room.folder)
    world.split(0.5)
    users = Users()
    async with providing("blue", "green") as (blue, _):
        base = blue.url.removesuffix("/blue/v1")
        with (
            listening() as (log, said),
            process("tests.serving.gateway_process", str(room.folder), "1", base, stderr=log) as (
                gateway,
                url,
            ),
        ):
            async with aiohttp.ClientSession(url) as session:
                client = Client(session)
                async with Crowd(users, client) as book:
                    await more(book, 50)
                    room.take(gateway)
                    await until(lambda: off_record(users))
                    room.give(gateway)
                    await more(book, 50)
                await users.judge_again(client)
            gateway.send_signal(signal.SIGTERM)
            assert gateway.wait(20) == 0
    told = b"".join(said).decode()
    assert book.due == {}
    assert book.off_record.keys() == CONTROL
    assert "spool: " in told and HEARD not in told
    settle(world.store, book)
    world.store.close()
