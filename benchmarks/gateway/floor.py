"""The floor: what a proxy written in this stack costs that does nothing but pass requests on.

    python -m benchmarks.gateway.floor UPSTREAM PORT

The same HTTP server as Greenlight's gateway (uvicorn, uvloop, httptools) and the same client
(aiohttp). It reads no JSON, writes no record and counts nothing.
"""

from __future__ import annotations

import sys

import aiohttp

from greenlight.entrypoints.gateway import serve
from greenlight.serving.http import JSON_TYPE, Disconnected, Receive, Scope, Send, read_body

PATH = "/v1/chat/completions"
LIMIT = 1024 * 1024


class Floor:
    """An ASGI application that passes chat completions on, streamed ones as they come."""

    def __init__(self, upstream: str) -> None:
        self._url = f"{upstream}/chat/completions"
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"] == PATH:
            await self._pass_on(scope, receive, send)
        else:
            await _start(send, 404)
            await send({"type": "http.response.body", "body": b"{}"})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            self._session = session
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._session is not None
        try:
            body = await read_body(scope, receive, LIMIT)
        except Disconnected:
            return
        headers = {"content-type": "application/json"}
        async with self._session.post(self._url, data=body, headers=headers) as response:
            kind = response.headers["content-type"].encode()
            if not kind.startswith(b"text/event-stream"):
                answer = await response.read()
                await _start(send, response.status, kind, len(answer))
                await send({"type": "http.response.body", "body": answer})
                return
            await _start(send, response.status, kind)
            async for piece in response.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


async def _start(
    send: Send, status: int, kind: bytes = JSON_TYPE[1], length: int | None = None
) -> None:
    headers = [(b"content-type", kind)]
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    await send({"type": "http.response.start", "status": status, "headers": headers})


def main() -> None:
    """Serve until SIGTERM."""
    upstream, port = sys.argv[1:]
    serve(Floor(upstream), "127.0.0.1", int(port), name="floor")


if __name__ == "__main__":
    main()
