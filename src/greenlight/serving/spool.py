"""Events on their way to the store: written to disk before the answer, moved in batches after it.

    append ──copied──▶ segment files ──read back in batches──▶ Events.ingest ──▶ files removed

Nothing acknowledged is lost: a killed gateway's files are moved by the next one that starts on the
same folder, and a store that is down is asked again. Moving twice does no harm, for the store
skips ids that it has.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from greenlight.core.records import SECOND, Feedback, Inference, Shadow
from greenlight.serving.arrivals import Arrivals
from greenlight.serving.group_sync import GroupSync
from greenlight.serving.http import NotReady
from greenlight.serving.meters import Meters
from greenlight.serving.segments import Event, Line, Segment, WriterLock, encode, orphans
from greenlight.serving.settings import SpoolSettings

log = logging.getLogger(__name__)

Ingest = Callable[[Sequence[Inference], Sequence[Feedback], Sequence[Shadow]], None]
REJECTED = "rejected.jsonl"
_USUAL = 4096
"""Bytes that nearly every event fits into."""
_DECODER = msgspec.json.Decoder(Line)


class SpoolFull(NotReady):
    """No more can be written: the store has been away for too long, or the disk is full."""


class Spool:
    """One gateway's spool. `start` and `stop` it inside the event loop."""

    def __init__(
        self,
        folder: Path,
        writer: str,
        ingest: Ingest,
        arrivals: Arrivals,
        settings: SpoolSettings,
        meters: Meters,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            folder: where the segments lie; several gateways may share it.
            writer: a name that no other start of a gateway has.
            ingest: stores events durably, any number of times; called in a thread.
            arrivals: knows which requests are not recorded yet.
            settings: sizes and waits.
            meters: where to count.
        """
        self._folder = folder
        self._writer = writer
        self._ingest = ingest
        self._arrivals = arrivals
        self._settings = settings
        self._meters = meters
        self._numbers = itertools.count(1)
        self._segments: deque[Segment] = deque()
        self._locks: list[WriterLock] = []
        self._sync = GroupSync()
        self._work = asyncio.Event()
        self._stopping = False
        self._refused = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take over what dead writers left and begin to move; on a full disk, too.

        Raises:
            OSError: the folder cannot be written to.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._locks.append(WriterLock.create(self._folder, self._writer))
        for lock, paths in orphans(self._folder):
            self._locks.append(lock)
            self._segments.extend(Segment.adopt(path) for path in paths)
            log.info("spool: recovering %d segments of a gateway that stopped", len(paths))
        self._refused = not self._has_room(1)
        self._work.set()
        self._task = asyncio.create_task(self._run())

    async def stop(self, drain: int) -> bool:
        """Move what is left, for at most `drain` microseconds; True if nothing is left."""
        self._stopping = True
        self._work.set()
        if self._task is not None:
            done, _ = await asyncio.wait([self._task], timeout=drain / SECOND)
            if not done:
                self._task.cancel()
                await asyncio.wait([self._task])
        empty = self.pending == 0
        for segment in self._segments:
            segment.close()
        for lock in self._locks:
            lock.release(remove=empty)
        self._segments.clear()
        self._locks.clear()
        return empty

    @property
    def pending(self) -> int:
        """Bytes on disk that are not in the store yet."""
        return sum(segment.left for segment in self._segments)

    @property
    def open(self) -> bool:
        """Whether an event of usual size could be recorded now."""
        if self.pending + _USUAL > self._settings.bound:
            return False
        if self._refused:
            self._refused = not self._has_room(_USUAL)
        return not self._refused

    async def record(self, events: Sequence[Event], at: int, *, synced: bool) -> None:
        """Write events received at `at` to disk, all or none.

        Args:
            events: at least one.
            at: their receive time in microseconds.
            synced: wait until they survive a power cut (group fsync), where the settings ask
                for it; otherwise they survive the death of the process.

        Raises:
            SpoolFull: they could not be written.
        """
        data = b"".join([encode(event) for event in events])
        if self.pending + len(data) > self._settings.bound:
            raise SpoolFull("the store has been away for too long: nothing more can be recorded")
        try:
            segment = self._segment_for(len(data))
            segment.append(data, at)
            self._refused = False
            self._meters.spool_written.inc(len(events))
            self._work.set()
            if self._settings.fsync == "always" or (synced and self._settings.fsync == "feedback"):
                await self._sync.wait(segment)
        except OSError as error:
            self._refused = True
            log.error("spool: %s", error)
            raise SpoolFull("the disk takes no more: nothing more can be recorded") from error

    def flushed_through(self) -> int:
        """A time such that everything received up to it is in the store."""
        times = [oldest - 1 for s in self._segments if (oldest := s.oldest()) is not None]
        return min([self._arrivals.complete_until(), *times])

    def _has_room(self, count: int) -> bool:
        """Whether so many bytes can be written now."""
        try:
            self._segment_for(count)
        except OSError:
            return False
        return True

    def _segment_for(self, count: int) -> Segment:
        """A segment with room for so many bytes, begun if need be."""
        last = self._segments[-1] if self._segments else None
        if last is not None and last.room >= count:
            return last
        path = self._folder / f"{self._writer}-{next(self._numbers):08d}.jsonl"
        segment = Segment.create(path, max(self._settings.segment, count))
        if last is not None:
            last.finish()
        self._segments.append(segment)
        return segment

    async def _run(self) -> None:
        wait = self._settings.retry_first
        while not (self._stopping and self.pending == 0):
            await self._work.wait()
            if not self._stopping:
                await asyncio.sleep(self._settings.linger / SECOND)
            self._work.clear()
            try:
                await self._move()
            except Exception:
                # Whatever is wrong with the store, the events must wait for it.
                log.exception("spool: the store refused a batch; %d bytes wait", self.pending)
                self._meters.spool_retries.inc()
                self._work.set()
                await asyncio.sleep(wait / SECOND)
                wait = min(2 * wait, self._settings.retry_most)
            else:
                wait = self._settings.retry_first
            self._meters.spool_pending.set(self.pending)

    async def _move(self) -> None:
        """One pass over everything written so far."""
        for segment in list(self._segments):
            end = segment.seal()
            while segment.done < end:
                data = await asyncio.to_thread(segment.read, end)
                torn = await asyncio.to_thread(self._store, data)
                if torn:
                    self._meters.spool_torn.inc()
                    log.warning("spool: a line of %s was cut short", segment.path.name)
                segment.advance(len(data))
            if not segment.live and segment.left == 0:
                segment.close()
                self._segments.remove(segment)
            elif segment.left == 0:
                # What people wrote lies in the store now, where it can be found and erased.
                segment.empty()

    def _store(self, data: bytes) -> bool:
        """Decode lines and store their events (in a thread); True if a line is torn."""
        *lines, last = data.split(b"\n")
        torn = bool(last)
        events: list[Event] = []
        for line in lines:
            if b"\0" in line:
                torn = True
            elif (event := self._decode(line)) is not None:
                events.append(event)
        for begin in range(0, len(events), self._settings.batch):
            batch = events[begin : begin + self._settings.batch]
            self._ingest(
                [event for event in batch if isinstance(event, Inference)],
                [event for event in batch if isinstance(event, Feedback)],
                [event for event in batch if isinstance(event, Shadow)],
            )
            self._meters.spool_stored.inc(len(batch))
        return torn

    def _decode(self, line: bytes) -> Event | None:
        try:
            read = _DECODER.decode(line)
            event = read.inference or read.feedback or read.shadow
        except msgspec.DecodeError:
            event = None
        if event is None:
            # Never thrown away: it may be an event of another release.
            with (self._folder / REJECTED).open("ab") as file:
                file.write(line + b"\n")
            self._meters.spool_rejected.inc()
            log.error("spool: a line is no event; it is kept in %s", REJECTED)
        return event
