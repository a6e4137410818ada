"""A model behind HTTP: `POST <url>/predict` with `{"inputs": [text, …]}`.

The answer is `{"predictions": [{"label": text, "score": number in [0, 1], "oos"?: bool}, …]}`,
one per input and in their order. Anything else is an error.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence

import aiohttp
import msgspec

from greenlight.core.breaker import Breaker
from greenlight.core.errors import ModelFailed
from greenlight.core.records import SECOND, Status
from greenlight.ports import Clock, Prediction

_HEADERS = {"content-type": "application/json"}


class _Answer(msgspec.Struct, frozen=True):
    predictions: list[Prediction]


class HttpRuntime:
    """Implements `ports.Runtime` over HTTP, with a deadline, a breaker and a bound.

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
        timeout: int = 2 * SECOND,
        failures: int = 5,
        reset: int = 5 * SECOND,
        concurrency: int = 128,
    ) -> None:
        """Prepare; the first call connects.

        Args:
            url: where the model server listens, without `/predict`.
            clock: tells the breaker the time.
            timeout: of one call from start to end, in microseconds.
            failures: consecutive failures that open the breaker.
            reset: how long it stays open before one call tries again, in microseconds.
            concurrency: calls under way at once.
        """
        self._url = url.rstrip("/") + "/predict"
        self._clock = clock
        self._timeout = timeout
        self._breaker = Breaker(failures, reset)
        self._concurrency = concurrency
        self._under_way = 0
        self._session: aiohttp.ClientSession | None = None

    async def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """See `ports.Runtime.predict`."""
        if self._under_way >= self._concurrency:
            raise ModelFailed(
                f"{self._url}: {self._under_way} calls are under way already",
                Status.SHORT_CIRCUIT,
            )
        ticket = self._breaker.admit(self._clock.now())
        if ticket is None:
            raise ModelFailed(f"{self._url}: the breaker is open", Status.SHORT_CIRCUIT)
        self._under_way += 1
        try:
            predictions = await self._call(texts)
        except ModelFailed:
            self._breaker.failed(ticket, self._clock.now())
            raise
        finally:
            self._under_way -= 1
        self._breaker.succeeded(ticket, self._clock.now())
        return predictions

    async def close(self) -> None:
        """See `ports.Runtime.close`."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _call(self, texts: Sequence[str]) -> list[Prediction]:
        body = io.BytesIO(msgspec.json.encode({"inputs": texts}))
        try:
            async with (
                asyncio.timeout(self._timeout / SECOND),
                self._open().post(self._url, data=body, headers=_HEADERS) as response,
            ):
                status, answer = response.status, await response.read()
        except TimeoutError as error:
            raise ModelFailed(
                f"{self._url}: no answer within {self._timeout / SECOND:g} s", Status.TIMEOUT
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ModelFailed(f"{self._url}: {error}", Status.ERROR) from error
        if status != 200:
            raise ModelFailed(f"{self._url}: answered {status}", Status.ERROR)
        return self._read(answer, len(texts))

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._concurrency),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
            )
        return self._session

    def _read(self, answer: bytes, expected: int) -> list[Prediction]:
        try:
            predictions = msgspec.json.decode(answer, type=_Answer).predictions
        except msgspec.DecodeError as error:
            raise ModelFailed(f"{self._url}: not a list of predictions: {error}") from error
        if len(predictions) != expected:
            raise ModelFailed(f"{self._url}: {len(predictions)} predictions for {expected} texts")
        for prediction in predictions:
            if not 0 <= prediction.score <= 1:
                raise ModelFailed(f"{self._url}: score {prediction.score} is outside [0, 1]")
        return predictions
