"""A provider of chat completions that costs next to nothing: what is measured is the gateway.

    python -m benchmarks.gateway.upstream

It answers `POST …/chat/completions` in OpenAI's wire format, always with the same words: at
once, or with `"stream": true` word by word, one every `GAP_S` seconds, as a model would.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import uvloop

from benchmarks.connection import Connection

WORDS = (
    "Your card is on its way and should be with you within three working days. "
    "If it is not there by then, we will gladly send another one."
)
PIECES = [word if number == 0 else f" {word}" for number, word in enumerate(WORDS.split())]
"""What is streamed, one event each."""
GAP_S = 0.002
_COMMON = {
    "id": "chatcmpl-1",
    "created": 1_800_000_000,
    "model": "dummy",
    "system_fingerprint": "fp_1",
}
_USAGE = {"prompt_tokens": 20, "completion_tokens": len(PIECES), "total_tokens": 20 + len(PIECES)}
_LAST_CHUNK = b"0\r\n\r\n"


def completion() -> bytes:
    """The body of a whole answer."""
    message = {"role": "assistant", "content": WORDS, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = {**_COMMON, "object": "chat.completion", "choices": [choice], "usage": _USAGE}
    return json.dumps(body).encode()


def events(usage: bool) -> list[bytes]:
    """The events of a streamed answer; with `usage` the count of tokens goes before the end."""
    begun: dict[str, Any] = {"role": "assistant", "content": PIECES[0], "refusal": None}
    deltas = [begun, *({"content": piece} for piece in PIECES[1:]), {}]
    choices = [
        {
            "index": 0,
            "delta": delta,
            "logprobs": None,
            "finish_reason": None if delta else "stop",
        }
        for delta in deltas
    ]
    bodies = [_event([choice]) for choice in choices]
    if usage:
        bodies.append(_event([], _USAGE))
    return [*bodies, b"data: [DONE]\n\n"]


def _event(choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
    body = {**_COMMON, "object": "chat.completion.chunk", "choices": choices, "usage": usage}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _head(status: str, kind: str, length: int | None) -> bytes:
    """An answer's head; without a length its body comes in chunks."""
    size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{size}\r\n\r\n".encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_BODY = completion()
_WHOLE = _head("200 OK", "application/json", len(_BODY)) + _BODY
_NOTHING = _head("404 Not Found", "application/json", 2) + b"{}"
_STREAM = _head("200 OK", "text/event-stream; charset=utf-8", None)
_CHUNKS = {usage: [_chunk(event) for event in events(usage)] for usage in (False, True)}


class Provider(Connection):
    """One connection to the provider."""

    def on_message_complete(self) -> None:
        """Answer."""
        url, body = self.take()
        if not url.endswith(b"/chat/completions"):
            self.transport.write(_NOTHING)
        elif b'"stream":true' in body or b'"stream": true' in body:
            chunks = _CHUNKS[b'"include_usage":true' in body or b'"include_usage": true' in body]
            self.transport.write(_STREAM + chunks[0])
            self._later(chunks, 1)
        else:
            self.transport.write(_WHOLE)

    def _go_on(self, chunks: list[bytes], at: int) -> None:
        """Send the chunk that is due, and see to the next one."""
        if self.transport.is_closing():
            return
        last = at == len(chunks) - 1
        self.transport.write(chunks[at] + _LAST_CHUNK if last else chunks[at])
        if not last:
            self._later(chunks, at + 1)

    def _later(self, chunks: list[bytes], at: int) -> None:
        asyncio.get_running_loop().call_later(GAP_S, self._go_on, chunks, at)


async def listen() -> asyncio.Server:
    """Listen on a free port of this machine."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(Provider, "127.0.0.1", 0, backlog=2048)


def address(server: asyncio.Server) -> str:
    """The base address, as clients of OpenAI write it."""
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def _serve() -> None:
    server = await listen()
    print(address(server), flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main()
