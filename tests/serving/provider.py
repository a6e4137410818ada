"""A provider of chat completions for tests: real HTTP, OpenAI's format, and faults to order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


class Provider:
    """Says who it is: `<name>: <last message>`; `fault` comes before an answer, if it is set."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.url = ""
        self.requests: list[dict[str, Any]] = []
        self.fault: Callable[[web.Request], Any] | None = None
        self.dies_after: int | None = None
        """Bits of a stream before the connection breaks."""
        self.gate: asyncio.Event | None = None
        """A stream waits here after its first bit."""
        self.left = asyncio.Event()
        """A client left in the middle of a stream."""
        self.tokens = True

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        asked = msgspec.json.decode(await request.read())
        self.requests.append(asked)
        if self.fault is not None:
            response: web.StreamResponse = await self.fault(request)
            return response
        words = f"{self.name}: {asked['messages'][-1]['content']}"
        if asked.get("stream"):
            return await self._streamed(request, asked, words)
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": words},
            "finish_reason": "stop",
            "logprobs": None,
        }
        if asked.get("tools"):
            call = {"name": asked["tools"][0]["function"]["name"], "arguments": "{}"}
            choice["message"] = {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
            }
        return web.json_response(
            {
                "id": f"{self.name}-secret",
                "object": "chat.completion",
                "created": 5,
                "model": f"{self.name}-model",
                "system_fingerprint": self.name,
                "choices": [choice],
                "usage": USAGE,
            }
        )

    async def _streamed(
        self, request: web.Request, asked: dict[str, Any], words: str
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        bits = [words[at : at + 4] for at in range(0, len(words), 4)]
        try:
            for number, bit in enumerate(bits):
                if number == self.dies_after:
                    assert request.transport is not None
                    request.transport.abort()
                    return response
                if number == 1 and self.gate is not None:
                    await self.gate.wait()
                await response.write(self._event([self._choice(bit, None)]))
            await response.write(self._event([self._choice("", "stop")]))
            if asked.get("stream_options", {}).get("include_usage") and self.tokens:
                await response.write(self._event([], USAGE))
            await response.write(b"data: [DONE]\n\n")
        except (ConnectionResetError, asyncio.CancelledError):
            self.left.set()
            raise
        return response

    def _choice(self, bit: str, reason: str | None) -> dict[str, Any]:
        return {"index": 0, "delta": {"content": bit}, "finish_reason": reason}

    def _event(self, choices: list[Any], usage: Any = None) -> bytes:
        event = {
            "id": f"{self.name}-secret",
            "object": "chat.completion.chunk",
            "created": 5,
            "model": f"{self.name}-model",
            "system_fingerprint": self.name,
            "choices": choices,
            "usage": usage,
        }
        return b": keep-alive\n\ndata: " + msgspec.json.encode(event) + b"\n\n"


@asynccontextmanager
async def providing(*names: str) -> AsyncIterator[list[Provider]]:
    """Providers on one real server, one path each."""
    found = [Provider(name) for name in names]
    app = web.Application()
    for provider in found:
        app.router.add_post(f"/{provider.name}/v1/chat/completions", provider.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    for provider in found:
        provider.url = f"http://127.0.0.1:{port}/{provider.name}/v1"
    try:
        yield found
    finally:
        await runner.cleanup()


def failing(status: int, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    """A fault: answer with this status."""

    async def fault(request: web.Request) -> web.Response:
        return web.json_response(body or {}, status=status, headers=headers)

    return fault


def saying(body: bytes) -> Any:
    """A fault: answer with these bytes."""

    async def fault(request: web.Request) -> web.Response:
        return web.Response(body=body)

    return fault


async def silent(request: web.Request) -> web.Response:
    """A fault: never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def breaking(request: web.Request) -> web.Response:
    """A fault: break the connection."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
