"""A model behind HTTP: `POST <url>/predict` with `{"inputs": [text, …]}`.

The answer is `{"predictions": [{"label": text, "score": number in [0, 1], "oos"?: bool,
"oos_score"?: number, "reason"?: text}, …]}`, one per input and in their order; `score` is null
where the model gives none, and of a long reason the beginning counts. Anything else is an error.
A server that is told which bundle is meant finds its digest as `bundle` beside the inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from greenlight.adapters.runtimes.calls import Calls
from greenlight.adapters.runtimes.connections import ConnectionPoolManager
from greenlight.core import reasoned
from greenlight.core.errors import ModelFailed
from greenlight.core.records import SECOND
from greenlight.ports import Clock, Prediction


class _Answer(msgspec.Struct, frozen=True):
    predictions: list[Prediction]


class HttpRuntime:
    """Implements `ports.Runtime` over HTTP, with a deadline, a breaker and a bound (`Calls`)."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        timeout: int = 2 * SECOND,
        failures: int = 5,
        reset: int = 5 * SECOND,
        concurrency: int = 128,
        pools: ConnectionPoolManager | None = None,
        bundle: str | None = None,
    ) -> None:
        """Prepare; the first call connects.

        Args:
            url: where the model server listens, without `/predict`.
            clock: tells the breaker the time.
            timeout: of one call from start to end, in microseconds.
            failures: consecutive failures that open the breaker.
            reset: how long it stays open before one call tries again, in microseconds.
            concurrency: calls under way at once.
            pools: see `Calls`.
            bundle: the digest of the bundle that has to answer, where the server is to be told.
        """
        self._body: dict[str, Any] = {} if bundle is None else {"bundle": bundle}
        self._calls = Calls(
            url.rstrip("/") + "/predict",
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

    async def predict(self, texts: Sequence[str], within: float | None = None) -> list[Prediction]:
        """See `ports.Runtime.predict`."""
        async with self._calls.call(within):
            answer = await self._calls.post(msgspec.json.encode({"inputs": texts, **self._body}))
            return self._read(answer, len(texts))

    async def close(self) -> None:
        """See `ports.Runtime.close`."""
        await self._calls.close()

    def _read(self, answer: bytes, expected: int) -> list[Prediction]:
        url = self._calls.url
        try:
            predictions = msgspec.json.decode(answer, type=_Answer).predictions
        except msgspec.DecodeError as error:
            raise ModelFailed(f"{url}: not a list of predictions: {error}") from error
        if len(predictions) != expected:
            raise ModelFailed(f"{url}: {len(predictions)} predictions for {expected} texts")
        for number, prediction in enumerate(predictions):
            if prediction.score is not None and not 0 <= prediction.score <= 1:
                raise ModelFailed(f"{url}: score {prediction.score} is outside [0, 1]")
            if prediction.reason is not None:
                reason = reasoned.short(prediction.reason)
                predictions[number] = msgspec.structs.replace(prediction, reason=reason)
        return predictions
