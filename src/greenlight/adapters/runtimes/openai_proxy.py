"""A chat model at a provider that speaks OpenAI's protocol, asked on a client's behalf.

A request goes out with the version's model and instructions and is otherwise as the client wrote
it. What fails before the first byte of an answer is tried again while the patience lasts: a
connection that breaks, a provider that is overloaded (429, with its `Retry-After`) or away (502,
503, 504). After the first byte nothing is tried again: the client has begun to read.
(OpenAI API reference, "Create chat completion" and "Error codes".)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec

from greenlight.adapters.runtimes.calls import Refusal, chat_calls
from greenlight.adapters.runtimes.connections import (
    Answer,
    BrokenConnection,
    ConnectionPoolManager,
)
from greenlight.core.chat import (
    DONE,
    Chunk,
    Completion,
    Events,
    Request,
    Tokens,
    body_for,
    chunk_of,
    completion_of,
)
from greenlight.core.errors import BadInput, ModelFailed, Overloaded, RequestRefused
from greenlight.core.records import SECOND
from greenlight.core.states import Status
from greenlight.core.usage import Prices
from greenlight.models.chat import ChatModel
from greenlight.ports import Clock

RETRIES = 2
FIRST_PAUSE = 0.05
"""Seconds before the first retry, twice as many before the second, if the provider names none."""
_AGAIN = frozenset({429, 502, 503, 504})
_THE_REQUEST = frozenset({400, 413, 422})
"""Statuses that speak of the request and not of the provider."""


class _Fault(msgspec.Struct, frozen=True):
    message: str = ""
    param: str | None = None


class _Envelope(msgspec.Struct, frozen=True):
    error: _Fault


class OpenAIProxyRuntime:
    """Implements `ports.chat.Chat` at a provider, with a deadline, a breaker and a bound."""

    def __init__(
        self,
        url: str,
        model: ChatModel,
        *,
        clock: Clock,
        key: str | None = None,
        prices: Prices | None = None,
        timeout: int = 30 * SECOND,
        failures: int = 5,
        reset: int = 5 * SECOND,
        concurrency: int = 512,
        pools: ConnectionPoolManager | None = None,
    ) -> None:
        """Prepare; the first call connects.

        Args:
            url: the provider's base address, without `/chat/completions`.
            model: what is asked there, and how.
            clock: tells the breaker the time.
            key: the secret that opens the provider; it is sent and never shown.
            prices: of tokens.
            timeout: until a whole answer is there, or the next bit of a stream, in microseconds.
            failures: consecutive failures that open the breaker.
            reset: how long it stays open before one call tries again, in microseconds.
            concurrency: calls under way at once.
            pools: see `Calls`.
        """
        self._model = model
        self._prices = prices
        self._calls = chat_calls(
            url,
            key,
            clock=clock,
            timeout=timeout,
            failures=failures,
            reset=reset,
            concurrency=concurrency,
            pools=pools,
        )

    @property
    def open_since(self) -> int | None:
        """See `ports.Runtime.open_since`."""
        return self._calls.open_since

    def cost(self, tokens: Tokens) -> float | None:
        """See `ports.chat.Chat.cost`."""
        return None if self._prices is None else self._prices.cost(tokens)

    async def complete(self, request: Request, within: float | None = None) -> Completion:
        """See `ports.chat.Chat.complete`."""
        body = self._body(request)
        async with self._calls.call(within) as patience:
            answer = await self._ask(body, patience)
            try:
                return completion_of(await answer.read())
            except (BrokenConnection, ModelFailed) as error:
                raise ModelFailed(f"{self._calls.url}: {error}") from error
            finally:
                answer.release()

    async def stream(self, request: Request, within: float | None = None) -> AsyncIterator[Chunk]:
        """See `ports.chat.Chat.stream`."""
        body = self._body(request)
        loop, complete = asyncio.get_running_loop(), False
        async with self._calls.call(within) as patience:
            answer = await self._ask(body, patience)
            events = Events()
            try:
                async for data in answer.bits():
                    for event in events.feed(data):
                        if event == DONE:
                            await answer.read()
                            return
                        chunk = chunk_of(event)
                        complete |= chunk.last
                        yield chunk
                    patience.reschedule(loop.time() + self._calls.timeout)
            except BrokenConnection as error:
                raise ModelFailed(f"{self._calls.url}: {error}") from error
            finally:
                answer.release()
            if not complete:
                raise ModelFailed(f"{self._calls.url}: the stream ended before the answer did")

    async def close(self) -> None:
        """See `ports.Runtime.close`."""
        await self._calls.close()

    def _body(self, request: Request) -> bytes:
        try:
            system = self._model.instructions(request.metadata)
        except BadInput as error:
            raise RequestRefused(str(error), 400, error.param) from error
        return body_for(
            request,
            self._model.model,
            system=system,
            defaults=self._model.defaults,
            count_streams=self._model.count_streams,
        )

    async def _ask(self, body: bytes, patience: asyncio.Timeout) -> Answer:
        """A good answer, the body still to be read; it must be released."""
        for attempt in range(RETRIES + 1):
            pause = FIRST_PAUSE * 2**attempt
            try:
                return await self._calls.answer(body)
            except Refusal as refusal:
                failure: ModelFailed = self._meant(refusal)
                if refusal.code not in _AGAIN:
                    raise failure from refusal
                pause = pause if refusal.retry_after is None else refusal.retry_after
            except ModelFailed as error:
                failure = error
                if error.status == Status.TIMEOUT:
                    raise
            end = patience.when()
            too_late = end is not None and asyncio.get_running_loop().time() + pause >= end
            if attempt == RETRIES or too_late:
                raise failure
            await asyncio.sleep(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _meant(self, refusal: Refusal) -> ModelFailed:
        """What a status means for the client."""
        if refusal.code == 429:
            return Overloaded(str(refusal), refusal.retry_after)
        if refusal.code not in _THE_REQUEST:
            return refusal
        try:
            fault = msgspec.json.decode(refusal.body, type=_Envelope).error
        except (msgspec.DecodeError, UnicodeDecodeError):
            fault = _Fault()
        # The provider's own words may tell which model they are about.
        said = fault.message.replace(self._model.model, "the model") or "no reason given"
        return RequestRefused(f"the model refuses the request: {said}", refusal.code, fault.param)
