"""Calls to a model somewhere else: one deadline, one breaker and one bound for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from greenlight.adapters.runtimes.connections import (
    Answer,
    BrokenConnection,
    ConnectionPoolManager,
)
from greenlight.core.breaker import CircuitBreaker
from greenlight.core.chat import Tokens
from greenlight.core.errors import ModelFailed, RequestRefused
from greenlight.core.records import SECOND
from greenlight.core.states import Status
from greenlight.ports import Clock

MOST_READ = 16 * 1024
"""Bytes of an answer that is a refusal."""


def chat_calls(url: str, key: str | None, **how: Any) -> Calls:
    """Calls to the chat completions of a provider.

    Args:
        url: its base address.
        key: the secret that opens it.
        how: as `Calls` takes it.
    """
    headers = {"authorization": f"Bearer {key}"} if key else None
    return Calls(url.rstrip("/") + "/chat/completions", headers=headers, **how)


class Refusal(ModelFailed):
    """An answer with another status than 200. `retry_after` is in seconds, if the server said."""

    def __init__(
        self, message: str, code: int, retry_after: float | None, body: bytes = b""
    ) -> None:
        self.code = code
        self.retry_after = retry_after
        self.body = body
        """The beginning of what was said."""
        super().__init__(message, Status.ERROR)


class NoLabel(ModelFailed):
    """An answer that is no label: the model answered, and nothing can be done with what it said.

    `tokens` are those that the provider counted: they are paid for all the same.
    """

    def __init__(self, message: str, tokens: Tokens | None = None) -> None:
        self.tokens = tokens
        super().__init__(message, Status.ERROR)


class Call:
    """One call under way; see `Calls.call`. (A generator as context manager takes 3 µs more.)"""

    def __init__(self, calls: Calls, patience: float) -> None:
        self._calls = calls
        self._patience = patience
        self._ticket = 0

    async def __aenter__(self) -> asyncio.Timeout:
        self._ticket = self._calls.begin()
        self._running = asyncio.timeout(self._patience)
        return await self._running.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._running.__aexit__(kind, error, trace)
        except TimeoutError as late:
            error = late
        self._calls.end(self._ticket, error)
        if isinstance(error, TimeoutError):
            raise ModelFailed(
                f"{self._calls.url}: no answer within {self._patience:g} s", Status.TIMEOUT
            ) from error


class Calls:
    """Posts to one address.

    A failure is anything but a good answer in time; `failures` of them in a row open the breaker
    for `reset`. At most `concurrency` calls are under way at once: a call beyond them is turned
    away at once like one at an open breaker (`short_circuit`), for a model that does not keep up
    must not make the gateway's queue grow, and a call that was never made says nothing about it.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        timeout: int,
        failures: int,
        reset: int,
        concurrency: int,
        headers: Mapping[str, str] | None = None,
        pools: ConnectionPoolManager | None = None,
    ) -> None:
        """Prepare; the first call connects.

        Args:
            url: where to post.
            clock: tells the breaker the time.
            timeout: of one call from start to end, in microseconds.
            failures: consecutive failures that open the breaker.
            reset: how long it stays open before one call tries again, in microseconds.
            concurrency: calls under way at once.
            headers: sent with every request; never part of a message.
            pools: connections that are shared with others; by default, its own.
        """
        self.url = url
        self._clock = clock
        self.timeout = timeout / SECOND
        """In seconds."""
        self._breaker = CircuitBreaker(failures, reset)
        self._concurrency = concurrency
        # Answers are handed on or decoded as they come: they must not be compressed.
        plain = {"content-type": "application/json", "accept-encoding": "identity"}
        pools = pools or ConnectionPoolManager()
        self._address = pools.address(url, {**plain, **(headers or {})})
        self._under_way = 0

    @property
    def open_since(self) -> int | None:
        """See `ports.Runtime.open_since`."""
        return self._breaker.open_since

    def call(self, within: float | None = None) -> Call:
        """One call, of one request or several; what goes wrong inside counts for the breaker, but
        for a request that was refused.

        Args:
            within: patience in seconds, where it is less than that of all calls.

        Returns:
            A context manager of the patience, for a call that may take longer as long as something
            comes. It raises ModelFailed where the call was turned away or took too long.
        """
        return Call(self, self.timeout if within is None else min(within, self.timeout))

    def begin(self) -> int:
        """Take a place among the calls under way; returns the breaker's ticket.

        Raises:
            ModelFailed: none is free, or the breaker is open.
        """
        if self._under_way >= self._concurrency:
            raise ModelFailed(
                f"{self.url}: {self._under_way} calls are under way already",
                Status.SHORT_CIRCUIT,
            )
        ticket = self._breaker.admit(self._clock.now())
        if ticket is None:
            raise ModelFailed(f"{self.url}: the breaker is open", Status.SHORT_CIRCUIT)
        self._under_way += 1
        return ticket

    def end(self, ticket: int, error: BaseException | None) -> None:
        """Give the place back, and tell the breaker what it says of the model."""
        self._under_way -= 1
        if error is None or isinstance(error, RequestRefused):
            self._breaker.succeeded(ticket, self._clock.now())
        elif isinstance(error, ModelFailed | TimeoutError):
            self._breaker.failed(ticket, self._clock.now())

    async def post(self, body: bytes) -> bytes:
        """The body of a good answer.

        Raises:
            Refusal: the answer has another status than 200.
            ModelFailed: there is none.
        """
        answer = await self.answer(body)
        try:
            return await answer.read()
        except BrokenConnection as error:
            raise ModelFailed(f"{self.url}: {error}", Status.ERROR) from error
        finally:
            answer.release()

    async def answer(self, body: bytes) -> Answer:
        """A good answer, of which the body is still to be read; it must be released.

        Raises:
            Refusal: the answer has another status than 200.
            ModelFailed: there is none.
        """
        try:
            answer = await self._address.post(body)
            if answer.status == 200:
                return answer
            try:
                raise await self._refusal(answer)
            finally:
                answer.release()
        except BrokenConnection as error:
            raise ModelFailed(f"{self.url}: {error}", Status.ERROR) from error

    async def _refusal(self, answer: Answer) -> Refusal:
        retry_after = answer.headers.get(b"retry-after", b"").decode("latin-1")
        said = b""
        async for bit in answer.bits():
            said += bit
            if len(said) > MOST_READ:
                break
        return Refusal(
            f"{self.url}: answered {answer.status}",
            answer.status,
            float(retry_after) if retry_after.isdecimal() else None,
            said,
        )

    async def close(self) -> None:
        """Leave the connections to those who share them, or close them."""
        await self._address.close()
