"""Connections to HTTP/1.1 servers that are kept and used again: just what a gateway needs.

It posts a body and reads an answer, whole or as it comes. httptools parses (the parser of the
server in front), the event loop does the rest; a general client costs three times as much per call
(docs/adr/0015). Redirects are not followed, nothing is decompressed, and no cookie is kept.
(RFC 9112, HTTP/1.1.)
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import cast
from urllib.parse import urlsplit

import httptools

KEPT = 512
"""Idle connections to one server, at most: as many as one model may have under way."""
MOST_BYTES = 64 << 20
"""Of a whole answer."""
_PAUSE_AT = 256 << 10
"""Bytes of a stream that wait for their reader before the server is made to wait."""


class BrokenConnection(OSError):
    """The connection could not be made, or ended before the answer did."""


class Answer:
    """An answer whose head is there; to be released in any case."""

    def __init__(self, connection: _Connection, pool: _Pool) -> None:
        self._connection = connection
        self._pool = pool
        self.status = connection.status
        self.headers: Mapping[bytes, bytes] = connection.headers

    async def read(self) -> bytes:
        """The whole body.

        Raises:
            BrokenConnection: it ended early, or is too long.
        """
        return await self._connection.whole()

    async def bits(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            BrokenConnection: it ended early.
        """
        connection = self._connection
        while bit := await connection.bit():
            yield bit

    def release(self) -> None:
        """Keep the connection for the next request, if it is good for one."""
        self._pool.keep(self._connection)


class ConnectionPoolManager:
    """Kept connections, a pool for each server: those who post to one server share them.

    So a candidate meets its provider over connections that control has made, and a version that is
    taken out of traffic leaves its own to those that stay. One object per event loop.
    """

    def __init__(self) -> None:
        self._pools: dict[tuple[str, str, int], _Pool] = {}
        # Models are opened in threads.
        self._lock = threading.Lock()

    def address(self, url: str, headers: Mapping[str, str]) -> Address:
        """Something to post to; it is to be closed.

        Args:
            url: where to post. Nothing is opened before the first request.
            headers: sent with every request.

        Raises:
            ValueError: the address or a header would break out of its line.
        """
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        server = (parts.scheme, parts.hostname or "", port)
        head = _head(url, headers)
        with self._lock:
            pool = self._pools.get(server)
            if pool is None:
                pool = self._pools[server] = _Pool(*server)
            pool.users += 1
        return Address(self, server, pool, head)

    def leave(self, server: tuple[str, str, int]) -> None:
        """One fewer posts to this server; after the last one its connections are closed."""
        with self._lock:
            pool = self._pools[server]
            pool.users -= 1
            if pool.users:
                return
            del self._pools[server]
        pool.close()


class Address:
    """Posts to one address; at most one request is under way on a connection."""

    def __init__(
        self,
        manager: ConnectionPoolManager,
        server: tuple[str, str, int],
        pool: _Pool,
        head: bytes,
    ) -> None:
        """See `ConnectionPoolManager.address`."""
        self._manager = manager
        self._server = server
        self._pool = pool
        self._head = head
        self._open = True

    async def post(self, body: bytes) -> Answer:
        """Post a body; an answer as soon as its head is there.

        Raises:
            BrokenConnection: no answer.
        """
        request = b"%b%d\r\n\r\n%b" % (self._head, len(body), body)
        # One that was kept may have been closed by the server in the meantime. Where not a byte
        # came back the request is sent once more.
        while (kept := self._pool.take()) is not None:
            if kept.open:
                try:
                    return await self._asked(kept, request)
                except BrokenConnection:
                    if kept.heard:
                        raise
        return await self._asked(await self._pool.connect(), request)

    async def close(self) -> None:
        """Post no more; nothing happens the second time."""
        if self._open:
            self._open = False
            self._manager.leave(self._server)

    async def _asked(self, connection: _Connection, request: bytes) -> Answer:
        try:
            await connection.ask(request)
        except BaseException:
            connection.abort()
            raise
        return Answer(connection, self._pool)


class _Pool:
    """The idle connections to one server."""

    def __init__(self, scheme: str, host: str, port: int) -> None:
        self.users = 0
        """How many addresses there are posted to."""
        self._host = host
        self._port = port
        self._tls = ssl.create_default_context() if scheme == "https" else None
        self._idle: deque[_Connection] = deque()

    async def connect(self) -> _Connection:
        try:
            _, made = await asyncio.get_running_loop().create_connection(
                _Connection, self._host, self._port, ssl=self._tls
            )
        except OSError as error:
            raise BrokenConnection(f"cannot connect: {error}") from error
        return made

    def take(self) -> _Connection | None:
        """The one that was used last."""
        return self._idle.pop() if self._idle else None

    def keep(self, connection: _Connection) -> None:
        """Keep a connection for the next request, if it is good for one and somebody may come."""
        if connection.reusable and self.users and len(self._idle) < KEPT:
            self._idle.append(connection)
        else:
            connection.abort()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().abort()


def _head(url: str, headers: Mapping[str, str]) -> bytes:
    """Of every request, up to its length."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"POST {path} HTTP/1.1", f"host: {parts.netloc.rpartition('@')[2]}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header or the address holds a line break")
    return "\r\n".join(lines).encode("latin-1") + b"\r\ncontent-length: "


class _Connection(asyncio.Protocol):
    """One connection; the parser calls the methods that begin with `on_`."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self.open = True
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.heard = False
        self._head = False
        self._complete = False
        self._keep = True
        self._body: list[bytes] = []
        self._size = 0
        self._streams = False
        self._paused = False
        self._fault: str | None = None

    @property
    def reusable(self) -> bool:
        """Whether another request may follow."""
        return self.open and self._complete and self._keep

    async def ask(self, request: bytes) -> None:
        """Send a request and wait for the head of its answer."""
        self._reset()
        self._parser = httptools.HttpResponseParser(self)
        assert self._transport is not None
        self._transport.write(request)
        while not self._head:
            await self._news()

    async def whole(self) -> bytes:
        """The body to its end."""
        while not self._complete:
            await self._news()
        return self._body[0] if len(self._body) == 1 else b"".join(self._body)

    async def bit(self) -> bytes:
        """What has come since the last bit; empty at the end."""
        self._streams = True
        while not self._body and not self._complete:
            await self._news()
        bits, self._body, self._size = self._body, [], 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return bits[0] if len(bits) == 1 else b"".join(bits)

    def abort(self) -> None:
        """Close the connection at once."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    async def _news(self) -> None:
        """Wait until something has come."""
        if self._fault is not None:
            raise BrokenConnection(self._fault)
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # What uvloop gives has the methods of a transport and is none by its class.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._complete:
            # Nothing was asked: whatever this is, the next answer must not be taken from it.
            self.abort()
            return
        self.heard = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fault = f"no HTTP: {error}"
            self.abort()
        if self._size > (_PAUSE_AT if self._streams else MOST_BYTES) and not self._complete:
            self._hold()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if not self._complete:
            self._end(exc)
        self._wake()

    def _hold(self) -> None:
        """Let the server wait for the reader of bits; a whole answer is too long."""
        assert self._transport is not None
        if self._streams:
            self._paused = True
            self._transport.pause_reading()
        else:
            self._fault = f"the answer has more than {MOST_BYTES} bytes"
            self.abort()

    def _end(self, exc: Exception | None) -> None:
        """The server closed: that is the end of an answer of no stated length, and a fault else."""
        lengths = (b"content-length", b"transfer-encoding")
        if self._head and not any(name in self.headers for name in lengths):
            self._complete, self._keep = True, False
        elif self._fault is None:
            self._fault = f"the connection ended before the answer did{f': {exc}' if exc else ''}"

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._complete:
            return
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._complete:
            return
        assert self._parser is not None
        self.status = self._parser.get_status_code()
        # 1xx announces an answer and is none.
        self._head = self.status >= 200
        if not self._head:
            self.headers = {}

    def on_body(self, body: bytes) -> None:
        if self._complete:
            return
        self._body.append(body)
        self._size += len(body)

    def on_message_complete(self) -> None:
        if self._complete:
            # A second answer, to nothing that was asked: it must not be taken for the next one.
            self._keep = False
        elif self._head:
            assert self._parser is not None
            self._complete = True
            self._keep = self._parser.should_keep_alive()
