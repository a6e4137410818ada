"""Calls to a model somewhere else: one deadline, one breaker and one bound for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from greenlight.adapters.runtimes.connections import Answer, BrokenConnection, Connections
from greenlight.core.breaker import Breaker
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
    """An answer that is no label: the model answered, and nothing can be done with what it said."""


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
        """
        self.url = url
        self._clock = clock
        self.timeout = timeout / SECOND
        """In seconds."""
        self._breaker = Breaker(failures, reset)
        self._concurrency = concurrency
        # Answers are handed on or decoded as they come: they must not be compressed.
        plain = {"content-type": "application/json", "accept-encoding": "identity"}
        self._connections = Connections(url, {**plain, **(headers or {})})
        self._under_way = 0

    @property
    def open_since(self) -> int | None:
        """See `ports.Runtime.open_since`."""
        return self._breaker.open_since

    @asynccontextmanager
    async def call(self, within: float | None = None) -> AsyncIterator[asyncio.Timeout]:
        """One call, of one request or several; what goes wrong inside counts for the breaker, but
        for a request that was refused.

        Args:
            within: patience in seconds, where it is less than that of all calls.

        Yields:
            The patience, for a call that may take longer as long as something comes.

        Raises:
            ModelFailed: it was turned away, it took too long, or what was raised inside.
        """
        patience = self.timeout if within is None else min(within, self.timeout)
        if self._under_way >= self._concurrency:
            raise ModelFailed(
                f"{self.url}: {self._under_way} calls are under way already",
                Status.SHORT_CIRCUIT,
            )
        ticket = self._breaker.admit(self._clock.now())
        if ticket is None:
            raise ModelFailed(f"{self.url}: the breaker is open", Status.SHORT_CIRCUIT)
        self._under_way += 1
        try:
            async with asyncio.timeout(patience) as running:
                yield running
        except TimeoutError as error:
            self._breaker.failed(ticket, self._clock.now())
            raise ModelFailed(
                f"{self.url}: no answer within {patience:g} s", Status.TIMEOUT
            ) from error
        except RequestRefused:
            self._breaker.succeeded(ticket, self._clock.now())
            raise
        except ModelFailed:
            self._breaker.failed(ticket, self._clock.now())
            raise
        finally:
            self._under_way -= 1
        self._breaker.succeeded(ticket, self._clock.now())

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
            answer = await self._connections.post(body)
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
        """Release the connections."""
        await self._connections.close()
