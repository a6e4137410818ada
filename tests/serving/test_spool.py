"""The spool: nothing acknowledged is lost, whatever happens in between (promise 5)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from greenlight.core import ids
from greenlight.core.errors import StoreError
from greenlight.core.records import MILLISECOND, SECOND, Feedback, Inference, Shadow
from greenlight.serving.arrivals import Arrivals
from greenlight.serving.meters import Meters
from greenlight.serving.segments import WriterLock, encode
from greenlight.serving.settings import SpoolSettings
from greenlight.serving.spool import REJECTED, Spool, SpoolFull
from greenlight.testing import FakeClock
from tests.serving.harness import asynchronous, eventually

QUICK = SpoolSettings(linger=MILLISECOND, retry_first=MILLISECOND, retry_most=2 * MILLISECOND)


class Sink:
    """Where events end up; can refuse, and counts."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.batches: list[int] = []
        self.refusals = 0

    def ingest(
        self,
        inferences: Sequence[Inference],
        feedback: Sequence[Feedback],
        shadows: Sequence[Shadow],
    ) -> None:
        if self.refusals:
            self.refusals -= 1
            raise StoreError("down")
        events = [*inferences, *feedback, *shadows]
        self.batches.append(len(events))
        self.ids.extend(event.id for event in events)


class Bench:
    """A spool with its surroundings."""

    def __init__(self, folder: Path, writer: str = "w", settings: SpoolSettings = QUICK) -> None:
        self.clock = FakeClock()
        self.arrivals = Arrivals(self.clock)
        self.sink = Sink()
        self.meters = Meters()
        self.folder = folder
        self.made = 0
        self.spool = Spool(folder, writer, self.sink.ingest, self.arrivals, settings, self.meters)

    def feedback(self, at: int, comment: str = "") -> Feedback:
        self.made += 1
        id = ids.uuid7(at, self.made.to_bytes(10, "big"))
        return Feedback(id=id, inference_id=id, metric="quality", value=1.0, comment=comment, at=at)

    async def put(self, count: int = 1, *, synced: bool = False, comment: str = "") -> list[str]:
        with self.arrivals.arrive() as at:
            events = [self.feedback(at, comment) for _ in range(count)]
            await self.spool.record(events, at, synced=synced)
        return [event.id for event in events]

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def metric(self, name: str) -> float:
        value = self.meters.registry.get_sample_value(f"greenlight_spool_{name}")
        assert value is not None
        return value


def leave_behind(folder: Path, writer: str, data: bytes, number: int = 1) -> None:
    """What a killed gateway leaves: a segment and a lock that nobody holds."""
    folder.mkdir(exist_ok=True)
    (folder / f"{writer}.lock").touch()
    (folder / f"{writer}-{number:08d}.jsonl").write_bytes(data)


@asynchronous
async def test_events_reach_the_store_and_leave_no_files(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "spool")
    bench.spool.start()
    put = [*(await bench.put(3)), *(await bench.put(2, synced=True))]
    assert await bench.spool.stop(SECOND)
    assert bench.sink.ids == put
    assert bench.files() == []
    assert bench.metric("written_total") == bench.metric("stored_total") == 5


@asynchronous
async def test_what_was_acknowledged_lies_on_disk(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.sink.refusals = 10**9
    bench.spool.start()
    put = await bench.put(2, comment='Zoë\n"said"')
    text = (tmp_path / "w-00000001.jsonl").read_bytes()
    assert text.count(b"\n") == 2
    assert all(id.encode() in text for id in put)
    assert bench.sink.ids == []
    assert await bench.spool.stop(10 * MILLISECOND) is False
    after = Bench(tmp_path, "next")
    after.spool.start()
    assert await after.spool.stop(SECOND)
    assert after.sink.ids == put
    assert after.files() == []


@asynchronous
async def test_what_is_in_the_store_leaves_the_disk(tmp_path: Path) -> None:
    """D11: a purge reaches the store, so that nothing may stay in a file that is not full."""
    bench = Bench(tmp_path)
    bench.spool.start()
    segment = tmp_path / "w-00000001.jsonl"
    put = []
    for _ in range(3):
        put += await bench.put(2, comment="call me", synced=True)
        await eventually(lambda: not segment.read_bytes().strip(b"\0"))
        assert bench.sink.ids == put
        assert bench.spool.pending == 0
    bench.sink.refusals = 3
    put += await bench.put()
    assert put[-1].encode() in segment.read_bytes()
    await eventually(lambda: not segment.read_bytes().strip(b"\0"))
    assert bench.sink.ids == put
    assert await bench.spool.stop(SECOND)
    assert bench.files() == []


@asynchronous
async def test_a_dead_writers_segments_are_recovered(tmp_path: Path) -> None:
    """In order; a torn last line was never acknowledged; an unreadable one is set aside."""
    bench = Bench(tmp_path)
    lost = [bench.feedback(number) for number in range(3)]
    lines = [encode(event) for event in lost]
    leave_behind(tmp_path, "dead", lines[0] + b'{"unknown": 1}\nno json\n', 1)
    leave_behind(tmp_path, "dead", lines[1] + lines[2] + lines[0][:50], 2)
    bench.spool.start()
    assert bench.spool.flushed_through() < 0
    new = await bench.put()
    assert await bench.spool.stop(SECOND)
    assert bench.sink.ids == [event.id for event in lost] + new
    assert bench.metric("torn_total") == 1
    assert bench.metric("rejected_total") == 2
    assert (tmp_path / REJECTED).read_bytes() == b'{"unknown": 1}\nno json\n'
    assert bench.files() == [REJECTED]


@asynchronous
@pytest.mark.parametrize("zeros", [0, 7, 2_000_000])
async def test_segments_of_any_release_are_adopted(tmp_path: Path, zeros: int) -> None:
    """A file ended with its last line once; zeros may follow now, more than are read at once."""
    bench = Bench(tmp_path)
    lost = [bench.feedback(number) for number in range(3)]
    text = b"".join(encode(event) for event in lost)
    leave_behind(tmp_path, "dead", text + bytes(zeros), 1)
    leave_behind(tmp_path, "dead", bytes(zeros), 2)
    bench.spool.start()
    assert bench.spool.pending == len(text)
    assert await bench.spool.stop(SECOND)
    assert bench.sink.ids == [event.id for event in lost]
    assert bench.metric("torn_total") == bench.metric("rejected_total") == 0
    assert bench.files() == []


@asynchronous
@pytest.mark.parametrize("hole", [(0, 30), (40, 90), (90, None)])
async def test_a_copy_that_a_kill_interrupted_is_torn(
    tmp_path: Path, hole: tuple[int, int | None]
) -> None:
    """A copy need not run from front to back: what was not reached is zeros."""
    bench = Bench(tmp_path)
    one, other, cut = (bench.feedback(number) for number in range(3))
    line = bytearray(encode(cut))
    missing = slice(*hole)
    line[missing] = bytes(len(line[missing]))
    leave_behind(tmp_path, "dead", encode(one) + encode(other) + line + bytes(5000))
    bench.spool.start()
    assert await bench.spool.stop(SECOND)
    assert bench.sink.ids == [one.id, other.id]
    assert bench.metric("torn_total") == 1
    assert bench.metric("rejected_total") == 0
    assert bench.files() == []


@asynchronous
async def test_a_file_has_its_room_from_the_start(tmp_path: Path) -> None:
    """A page without a block would end the process where the disk is full; what is left over when
    the next is begun goes back to the disk."""
    bench = Bench(tmp_path, settings=msgspec.structs.replace(QUICK, segment=100_000))
    bench.sink.refusals = 10**9
    bench.spool.start()
    first = tmp_path / "w-00000001.jsonl"
    assert first.stat().st_size == 100_000
    assert first.stat().st_blocks * 512 >= 100_000
    await bench.put(comment="x" * 60_000)
    await bench.put(comment="y" * 60_000)
    assert first.stat().st_size == len(first.read_bytes().strip(b"\0")) < 61_000
    assert await bench.spool.stop(10 * MILLISECOND) is False
    left = [path.read_bytes() for path in sorted(tmp_path.glob("*.jsonl"))]
    assert [text.count(b"\n") for text in left] == [1, 1]
    assert not any(b"\0" in text for text in left)


@asynchronous
async def test_a_living_writers_segments_are_left_alone(tmp_path: Path) -> None:
    one = Bench(tmp_path, "one")
    one.sink.refusals = 10**9
    one.spool.start()
    put = await one.put()
    other = Bench(tmp_path, "other")
    other.spool.start()
    assert await other.spool.stop(SECOND)
    assert other.sink.ids == []
    assert one.files() == ["one-00000001.jsonl", "one.lock"]
    assert await one.spool.stop(10 * MILLISECOND) is False
    third = Bench(tmp_path, "third")
    third.spool.start()
    assert await third.spool.stop(SECOND)
    assert third.sink.ids == put


def test_a_lock_that_was_removed_under_us_is_no_lock(tmp_path: Path) -> None:
    first = WriterLock.create(tmp_path, "w")
    assert WriterLock.take(tmp_path, "w") is None
    first.release(remove=True)
    again = WriterLock.take(tmp_path, "w")
    assert again is not None
    again.release(remove=True)
    assert list(tmp_path.iterdir()) == []


@asynchronous
async def test_a_store_that_refuses_is_asked_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.sink.refusals = 5
    bench.spool.start()
    put = await bench.put(4)
    await eventually(lambda: bench.sink.ids == put)
    assert bench.metric("retries_total") == 5
    await bench.spool.stop(SECOND)


@asynchronous
async def test_segments_are_rotated_and_removed(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(QUICK, segment=1000)
    bench = Bench(tmp_path, settings=settings)
    bench.sink.refusals = 10**9
    bench.spool.start()
    put = [id for _ in range(20) for id in await bench.put()]
    segments = list(tmp_path.glob("*.jsonl"))
    assert len(segments) > 3
    assert all(path.stat().st_size <= 1000 for path in segments)
    await bench.spool.stop(0)
    after = Bench(tmp_path, "next", settings)
    after.spool.start()
    big = await after.put(comment="x" * 5000)
    await eventually(lambda: after.sink.ids == put + big)
    await after.put()
    await eventually(lambda: len(list(tmp_path.glob("*.jsonl"))) == 1)
    await after.spool.stop(SECOND)


@asynchronous
async def test_batches_are_bounded_and_long_lines_read_whole(tmp_path: Path) -> None:
    bench = Bench(tmp_path, settings=msgspec.structs.replace(QUICK, batch=7))
    bench.spool.start()
    put = await bench.put(40)
    put += await bench.put(comment="y" * 2_000_000)
    put += await bench.put(3)
    assert await bench.spool.stop(5 * SECOND)
    assert bench.sink.ids == put
    assert max(bench.sink.batches) == 7


@asynchronous
async def test_beyond_the_bound_nothing_is_acknowledged(tmp_path: Path) -> None:
    bench = Bench(tmp_path, settings=msgspec.structs.replace(QUICK, bound=1000))
    bench.sink.refusals = 10**9
    bench.spool.start()
    put: list[str] = []
    with pytest.raises(SpoolFull):
        while True:
            put += await bench.put()
    assert 2 < len(put) < 10
    bench.sink.refusals = 0
    await eventually(lambda: bench.sink.ids == put and bench.spool.pending == 0)
    assert await bench.put()
    assert await bench.spool.stop(SECOND)


@asynchronous
async def test_flushed_through_waits_for_the_oldest(tmp_path: Path) -> None:
    """Nothing at or before it is missing from the store: neither in flight nor on disk."""
    bench = Bench(tmp_path)
    bench.sink.refusals = 10**9
    bench.spool.start()
    start = bench.clock.now()
    assert bench.spool.flushed_through() == start - 1
    with bench.arrivals.arrive() as slow:
        bench.clock.advance(SECOND)
        assert bench.spool.flushed_through() == slow - 1
        with bench.arrivals.arrive() as quick:
            await bench.spool.record([bench.feedback(quick)], quick, synced=False)
        bench.clock.advance(SECOND)
        assert bench.spool.flushed_through() == slow - 1
    assert bench.spool.flushed_through() == quick - 1
    bench.sink.refusals = 0
    await eventually(lambda: bench.spool.pending == 0)
    now = bench.clock.now()
    assert bench.spool.flushed_through() == now - 1
    with bench.arrivals.arrive() as later:
        assert later > now - 1
    await bench.spool.stop(SECOND)


@asynchronous
async def test_flushed_through_is_never_too_late(tmp_path: Path) -> None:
    """Random traffic, random outages: what flushed_through promises is in the store."""
    bench = Bench(tmp_path, settings=msgspec.structs.replace(QUICK, segment=4000, linger=0))
    bench.spool.start()
    rng = random.Random(2025)
    received: dict[str, int] = {}
    checks = [0]

    async def user() -> None:
        for number in range(30):
            bench.clock.advance(rng.randrange(3))
            with bench.arrivals.arrive() as at:
                event = bench.feedback(at, "z" * rng.randrange(300))
                received[event.id] = at
                for _ in range(rng.randrange(4)):
                    await asyncio.sleep(0)
                await bench.spool.record([event], at, synced=rng.random() < 0.1)
            if rng.random() < 0.1:
                bench.sink.refusals = rng.randrange(3)
            promised = bench.spool.flushed_through()
            there = set(bench.sink.ids)
            assert all(id in there for id, at in received.items() if at <= promised)
            checks[0] += promised > min(received.values())
            if number % 10 == 9:
                await eventually(lambda: bench.spool.flushed_through() >= at)  # noqa: B023

    await asyncio.gather(*(user() for _ in range(10)))
    assert await bench.spool.stop(10 * SECOND)
    assert set(bench.sink.ids) == set(received)
    assert checks[0] > 10, "it promised something meanwhile"


@asynchronous
async def test_many_waiters_share_few_syncs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Group commit: a hundred at once wait for one or two syncs, not a hundred."""
    syncs: list[int] = []
    monkeypatch.setattr("greenlight.serving.group_sync.os.fdatasync", syncs.append)
    bench = Bench(tmp_path)
    bench.spool.start()
    await asyncio.gather(*(bench.put(synced=True) for _ in range(100)))
    assert 1 <= len(syncs) <= 2
    await bench.spool.stop(SECOND)


@asynchronous
async def test_a_disk_that_does_not_sync_acknowledges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("greenlight.serving.group_sync.os.fdatasync", broken)
    bench = Bench(tmp_path)
    bench.spool.start()
    with pytest.raises(SpoolFull):
        await bench.put(synced=True)
    await bench.put(synced=False)
    await bench.spool.stop(SECOND)


def test_receive_times_strictly_increase_even_if_the_clock_does_not() -> None:
    class Backwards:
        times = iter([100, 90, 90, 200, 50])

        def now(self) -> int:
            return next(self.times)

    arrivals = Arrivals(Backwards())
    seen = []
    for _ in range(4):
        with arrivals.arrive() as at:
            seen.append(at)
    assert seen == [100, 101, 102, 200]
    assert arrivals.complete_until() == 200
