"""Users: a process that asks one server over and over, checks every answer and takes the time.

    python -m benchmarks.gateway.load PLAN

PLAN is a `Plan` as JSON. Once the connections are warm it says `ready` on standard output, begins
when it is told to on standard input, and prints an `Outcome` as JSON. It costs some 30 µs of CPU
per request, for it stands on a protocol and not on a client library.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import cycle
from typing import Any, cast
from urllib.parse import urlsplit

import httptools
import msgspec
import numpy as np
import uvloop

UNIT = "user-0"
"""Where it stands in a body, another user's name is put each time."""
PATIENCE_S = 30.0
"""How long the last answers are waited for."""
_SHOWN = 200


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask, how often, and what a good answer is."""

    url: str
    body: str
    expect: str
    """What the body of a good answer contains; its status is 200."""
    headers: dict[str, str] = {}
    connections: int = 1
    requests: int = 0
    """How many at the most; 0: as many as there is time for."""
    seconds: float = 0.0
    """For how long at the most; 0: until all requests are answered."""
    rate: float = 0.0
    """Requests per second, whatever the answers do; 0: each connection asks again when answered."""
    straight: str = ""
    """With a rate: where the same requests go besides, in turn, for comparison."""
    told: str = ""
    """The header in which the server tells milliseconds of its own, in small letters."""
    warm: int = 0
    """Requests per connection beforehand, which are not counted."""
    units: int = 1000


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Quantiles in milliseconds."""

    p50: float
    p95: float
    p99: float
    max: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    requests: int
    """Good answers."""
    errors: dict[str, int]
    """What went wrong → how often."""
    seconds: float
    cpu_us: float
    """What this process itself used per request."""
    latency: Times | None
    first_byte: Times | None
    """Until the first byte of the answer's body."""
    straight: Times | None = None
    told: Times | None = None
    late_ms: float = 0.0
    """The most that a request went out after its time, where there is a rate."""


def times(seconds: Sequence[float]) -> Times | None:
    """Quantiles of durations; None: there are none."""
    if not seconds:
        return None
    p50, p95, p99, most = np.percentile(np.asarray(seconds) * 1000, (50, 95, 99, 100))
    return Times(
        p50=round(float(p50), 3),
        p95=round(float(p95), 3),
        p99=round(float(p99), 3),
        max=round(float(most), 3),
    )


class Book:
    """What was seen of one server."""

    def __init__(self) -> None:
        self.latency: list[float] = []
        self.first: list[float] = []
        self.told: list[float] = []
        self.errors: Counter[str] = Counter()

    def forget(self) -> None:
        """Begin anew, for those who write in it already."""
        for seen in (self.latency, self.first, self.told, self.errors):
            seen.clear()


class Connection(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self, book: Book, plan: Plan) -> None:
        self._book = book
        self._expected, self._told = plan.expect.encode(), plan.told.encode()
        self._over: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        # uvloop's are no asyncio.Transport, and can do the same.
        self._transport = cast(asyncio.Transport, transport)

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return not self._transport.is_closing()

    def ask(self, request: bytes, began: float) -> asyncio.Future[None]:
        """Send a request whose time runs from `began`; done when it is over, well or badly."""
        self._over = asyncio.get_running_loop().create_future()
        self._began, self._first, self._own = began, 0.0, 0.0
        self._body: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(request)
        return self._over

    def leave(self) -> None:
        """Hang up."""
        self._over = None
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._over is None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(f"no HTTP: {error}")
            self._transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        if self._told and name.lower() == self._told:
            self._own = float(value) / 1000

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        if not self._first:
            self._first = time.perf_counter()
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Judge the answer."""
        now = time.perf_counter()
        status, body = self._parser.get_status_code(), b"".join(self._body)
        if not self._parser.should_keep_alive():
            self._transport.close()
        if status != 200:
            self._end(f"status {status}: {body[:_SHOWN].decode(errors='replace')}")
        elif self._expected not in body:
            self._end(f"not the answer: {body[-_SHOWN:].decode(errors='replace')}")
        else:
            self._book.latency.append(now - self._began)
            self._book.first.append(self._first - self._began)
            if self._told:
                self._book.told.append(self._own)
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        if self._over is not None:
            self._end("the connection was lost")

    def _end(self, error: str | None = None) -> None:
        if error is not None:
            self._book.errors[error] += 1
        over, self._over = self._over, None
        if over is not None and not over.done():
            over.set_result(None)


class Users:
    """All who ask one server."""

    def __init__(self, plan: Plan, url: str) -> None:
        self.book = Book()
        self._plan = plan
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._requests = _requests(plan, url)
        self._idle: list[Connection] = []

    async def closed(self, more: Callable[[], bool]) -> None:
        """Every connection asks as soon as it was answered, while there is more to ask."""

        async def one() -> None:
            while more():
                if not await self.ask():
                    return

        await self.over([asyncio.ensure_future(one()) for _ in range(self._plan.connections)])

    async def ask(self, began: float | None = None) -> bool:
        """One request, over a connection that is free or a new one; whether anybody listened.

        Its time runs from `began`, or from when it is sent.
        """
        try:
            connection = await self._free()
        except OSError as error:
            self.book.errors[f"no connection: {error}"] += 1
            return False
        await connection.ask(next(self._requests), began or time.perf_counter())
        self._idle.append(connection)
        return True

    async def over(self, asking: Sequence[asyncio.Future[Any]]) -> None:
        """Wait for what is under way; an answer that does not come is an error."""
        if asking:
            limit = self._plan.seconds + PATIENCE_S
            _, left = await asyncio.wait(asking, timeout=limit)
            self.book.errors += Counter({f"no answer after {limit:g} s": len(left)})
            for one in left:
                one.cancel()

    def leave(self) -> None:
        """Hang up everywhere."""
        for connection in self._idle:
            connection.leave()

    async def _free(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(
            lambda: Connection(self.book, self._plan), self._host, self._port
        )
        return made


def _requests(plan: Plan, url: str) -> Iterator[bytes]:
    """The requests of all users in turn, again and again."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    headers = {"host": parts.netloc, "content-type": "application/json", **plan.headers}
    made = []
    for number in range(plan.units):
        body = plan.body.replace(UNIT, f"user-{number}").encode()
        lines = {**headers, "content-length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        made.append(f"POST {target} HTTP/1.1\r\n{head}\r\n".encode() + body)
    return cycle(made)


def _at_most(count: int) -> Callable[[], bool]:
    """Whether there is one more; each call takes it."""
    left = iter(range(count))
    return lambda: next(left, None) is not None


def _until(plan: Plan, began: float) -> Callable[[], bool]:
    """Whether there is time, and one more request; each call takes it."""
    more = _at_most(plan.requests or sys.maxsize)
    ends = began + (plan.seconds or float("inf"))
    return lambda: time.perf_counter() < ends and more()


async def _at_a_rate(plan: Plan, sides: Sequence[Users], began: float) -> float:
    """Send requests at their times, to all sides in turn; how late the latest was, in seconds."""
    count = plan.requests or round(plan.rate * plan.seconds)
    late = 0.0
    asking: list[list[asyncio.Future[bool]]] = [[] for _ in sides]
    for number in range(count * len(sides)):
        due = began + number / (plan.rate * len(sides))
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        now = time.perf_counter()
        late = max(late, now - due)
        turn = number % len(sides)
        asking[turn].append(asyncio.ensure_future(sides[turn].ask(now)))
    for side, sent in zip(sides, asking, strict=True):
        await side.over(sent)
    return late


async def run(plan: Plan, begin: Callable[[], Awaitable[None]]) -> Outcome:
    """Carry out a plan.

    Args:
        plan: what to ask.
        begin: called when the connections are warm; what counts begins when it returns.
    """
    urls = [plan.url, *([plan.straight] if plan.rate and plan.straight else [])]
    sides = [Users(plan, url) for url in urls]
    for side in sides:
        await side.closed(_at_most(plan.warm * plan.connections))
        side.book.forget()
    await begin()
    began, spent = time.perf_counter(), time.process_time()
    late = 0.0
    if plan.rate:
        late = await _at_a_rate(plan, sides, began)
    else:
        await sides[0].closed(_until(plan, began))
    seconds, spent = time.perf_counter() - began, time.process_time() - spent
    for side in sides:
        side.leave()
    return _outcome(sides, seconds, spent, late)


def _outcome(sides: Sequence[Users], seconds: float, spent: float, late: float) -> Outcome:
    book = sides[0].book
    asked = sum(len(side.book.latency) + side.book.errors.total() for side in sides)
    straight = sides[1].book if len(sides) > 1 else Book()
    errors = book.errors + Counter({f"straight: {k}": n for k, n in straight.errors.items()})
    return Outcome(
        requests=len(book.latency),
        errors=dict(errors),
        seconds=round(seconds, 3),
        cpu_us=round(spent / max(asked, 1) * 1e6, 1),
        latency=times(book.latency),
        first_byte=times(book.first),
        straight=times(straight.latency),
        told=times(book.told),
        late_ms=round(late * 1000, 3),
    )


async def _told() -> None:
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    # Nothing here makes cycles of references, and a collection would be someone's latency.
    gc.disable()


def main() -> None:
    """Carry out the plan."""
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(msgspec.json.encode(runner.run(run(plan, _told))).decode(), flush=True)


if __name__ == "__main__":
    main()
