"""Shadow mode: a candidate at weight 0 gets a copy of every request, and no user its answer.

Copies are made after control's answer is on record, and wait in a queue of bounded length: where a
candidate is too slow for them, some are dropped and counted, and no request ever waits for one.
What became of a copy is recorded beside its inference and compared with what control did.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from greenlight.core.chat import Tokens
from greenlight.core.records import Shadow
from greenlight.core.shadowing import failed_alone
from greenlight.core.states import Status, Variant
from greenlight.serving.arrivals import Arrivals
from greenlight.serving.attempt import Attempt, Call, timed
from greenlight.serving.meters import Meters
from greenlight.serving.recorder import Asked, Said
from greenlight.serving.routing import Route, Served
from greenlight.serving.spool import Spool, SpoolFull

log = logging.getLogger(__name__)

T = TypeVar("T")

DROPPED = "dropped"
"""The outcome of a copy that never was made, or that could not be recorded."""


class Heard(msgspec.Struct, frozen=True):
    """What a version said: a text for each input, and the tokens it took."""

    texts: Sequence[str]
    tokens: Tokens | None = None


class Copy(msgspec.Struct, Generic[T], frozen=True):
    """A request that control has been asked, to be asked of the candidate as well."""

    route: Route
    asked: Asked
    said: Sequence[Said]
    """What was answered to it."""
    status: Status
    """What became of control's call."""
    call: Call[T]
    heard: Callable[[T], Awaitable[Heard]]
    """Hears an answer to its end; raises ModelFailed where it breaks off."""


class Shadows:
    """Makes the copies of one gateway. `start` and `stop` it inside the event loop."""

    def __init__(
        self,
        spool: Spool,
        arrivals: Arrivals,
        meters: Meters,
        *,
        killed: Callable[[str], bool] = lambda task: False,
        waiting: int,
        at_once: int,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            spool: takes the records.
            arrivals: gives the times at which they are written.
            meters: where to count.
            killed: whether a task is killed, so that copies that wait are not made any more.
            waiting: most copies that wait to be made.
            at_once: most copies that are being made.
        """
        self._spool = spool
        self._arrivals = arrivals
        self._meters = meters
        self._killed = killed
        self._queue: asyncio.Queue[Copy[Any]] = asyncio.Queue(waiting)
        self._at_once = at_once
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to make copies."""
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._at_once)]

    async def stop(self) -> None:
        """Let go of what waits and of what is under way: a copy is nobody's answer."""
        for worker in self._workers:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers)
        while not self._queue.empty():
            copy = self._queue.get_nowait()
            copy.route.release()
            self._count(copy, DROPPED)

    def offer(self, copy: Copy[T]) -> None:
        """Take a copy on, or drop it where too many wait."""
        if self._queue.full():
            self._count(copy, DROPPED)
            return
        # The versions stay open until it is made.
        copy.route.hold()
        self._queue.put_nowait(copy)

    async def _work(self) -> None:
        while True:
            copy = await self._queue.get()
            try:
                if self._killed(copy.route.task):
                    self._count(copy, DROPPED)
                else:
                    await self._make(copy, _candidate(copy.route))
            except Exception:
                log.exception("a copy for %s could not be made", copy.route.task)
                self._count(copy, DROPPED)
            finally:
                copy.route.release()

    async def _make(self, copy: Copy[Any], candidate: Served) -> None:
        attempt: Attempt[Any] = Attempt(Variant.CANDIDATE, candidate, 0.0, False)
        answer, failure = await timed(attempt, candidate, copy.call, copy.route.plan.budget)
        own_ms = attempt.model_s * 1000
        heard: Heard | None = None
        if failure is None:
            heard, failure = await timed(attempt, candidate, lambda *_: copy.heard(answer), None)
        status = Status.OK if failure is None else Status(failure.status)
        if status == Status.REFUSED and copy.status == Status.OK:
            status = Status.ERROR  # what control answers could be answered
        kept = await self._keep(records(copy, candidate, status, own_ms, heard))
        self._count(copy, status.value if kept else DROPPED)
        if heard is not None and heard.tokens is not None:
            spent = _cost(candidate, heard.tokens)
            self._meters.spent(copy.route.task, candidate.label, heard.tokens, spent)

    async def _keep(self, shadows: Sequence[Shadow]) -> bool:
        try:
            with self._arrivals.arrive() as now:
                await self._spool.record(shadows, now, synced=False)
        except SpoolFull:
            return False
        return True

    def _count(self, copy: Copy[Any], outcome: str) -> None:
        route = copy.route
        self._meters.copied(route.task, _candidate(route).label, outcome, len(copy.said))


def records(
    copy: Copy[Any], candidate: Served, status: Status, own_ms: float, heard: Heard | None
) -> list[Shadow]:
    """What is put on record of a copy, one for each input.

    Args:
        copy: what was asked, and what control made of it.
        candidate: who was asked.
        status: what became of the call.
        own_ms: how long it took.
        heard: what the candidate said; None if it failed.
    """
    route, asked = copy.route, copy.asked
    assert route.rollout is not None
    spent = None if heard is None else heard.tokens
    counted = spent or Tokens()
    both = heard is not None and copy.status == Status.OK
    found = []
    for number, said in enumerate(copy.said):
        text = "" if heard is None else heard.texts[number]
        found.append(
            Shadow(
                id=said.id,
                task=route.task,
                rollout=route.rollout,
                epoch=route.epoch,
                version=candidate.version,
                unit=asked.unit,
                unit_source=asked.source,
                output=route.plan.capture.kept_output(text) if asked.kept else "",
                latency_ms=own_ms,
                status=status,
                alone=failed_alone(copy.status, status),
                agreed=text == said.output if both else None,
                at=asked.at,
                input_tokens=counted.input,
                output_tokens=counted.output,
                cost=None if spent is None else _cost(candidate, spent),
            )
        )
    return found


def _candidate(route: Route) -> Served:
    assert route.candidate is not None
    return route.candidate


def _cost(served: Served, tokens: Tokens) -> float | None:
    return None if served.chat is None else served.chat.cost(tokens)
