"""A model somewhere else, used offline: a few calls at a time, and patience with its faults."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Sequence

import msgspec

from greenlight.adapters.runtimes.calls import NoLabel, Refusal
from greenlight.core.errors import BadInput, ModelFailed
from greenlight.core.records import SECOND
from greenlight.ports import Prediction, Runtime

AT_ONCE = 8
"""Calls under way at once."""
ATTEMPTS = 6
LONGEST = 60 * SECOND
"""The longest pause between two attempts."""
_MAY_PASS = frozenset({408, 409, 425, 429})


class OfflineModel:
    """A `ports.Model` over a runtime.

    An answer that is no label is a prediction without one (an empty label), which is wrong whatever
    the truth. Where texts are asked one by one, each answer has the time that it took, as one of
    `AT_ONCE`; waiting for a place, and for another try, is no part of it.

    A fault that may pass is waited out, twice as long each time or as long as the server asks; one
    that stays ends the work, for it says nothing about the model.
    """

    def __init__(
        self,
        open_runtime: Callable[[], Runtime],
        labels: Sequence[str],
        *,
        batch: int = 1,
        pause: int = SECOND // 2,
    ) -> None:
        """Prepare; nothing is opened before the first texts come.

        Args:
            open_runtime: opens the runtime, without a breaker that anybody would notice.
            labels: what the model may answer; empty where nobody knows.
            batch: texts per call.
            pause: the first pause between two attempts, in microseconds.
        """
        self._open_runtime = open_runtime
        self.labels = labels
        self._batch = batch
        self._pause = pause

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction per text, in order.

        Raises:
            BadInput: a text that the model cannot be asked.
            ModelFailed: a text stayed unanswered.
        """
        return asyncio.run(self._predict(texts))

    async def _predict(self, texts: Sequence[str]) -> list[Prediction]:
        runtime = self._open_runtime()
        free = asyncio.Semaphore(AT_ONCE)
        parts = [texts[at : at + self._batch] for at in range(0, len(texts), self._batch)]

        async def answer(part: Sequence[str]) -> list[Prediction]:
            async with free:
                return await self._patiently(runtime, part)

        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(answer(part)) for part in parts]
        except* (BadInput, ModelFailed) as failures:
            raise failures.exceptions[0] from failures
        finally:
            await runtime.close()
        return [prediction for task in asked for prediction in task.result()]

    async def _patiently(self, runtime: Runtime, part: Sequence[str]) -> list[Prediction]:
        for attempt in range(ATTEMPTS):
            try:
                return await self._once(runtime, part)
            except ModelFailed as failure:
                last = attempt == ATTEMPTS - 1
                if _stays(failure) or (last and isinstance(failure, Refusal)):
                    raise
                if last:
                    told = f"{failure}; asked {ATTEMPTS} times: see that the model answers there"
                    raise ModelFailed(f"{told}, and call this again", failure.status) from failure
                pause = _pause(failure, self._pause << attempt, part)
            await asyncio.sleep(pause / SECOND)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _once(self, runtime: Runtime, part: Sequence[str]) -> list[Prediction]:
        began = time.perf_counter()
        try:
            found = await runtime.predict(part)
        except NoLabel as other:
            found = [Prediction("", None, tokens=other.tokens)]
        # Of texts that share a call no answer has a time of its own.
        took = 1000 * (time.perf_counter() - began) if self._batch == 1 else None
        return [msgspec.structs.replace(one, took=took) for one in found]


def _stays(failure: ModelFailed) -> bool:
    """Whether asking again is in vain: the request itself was refused."""
    return isinstance(failure, Refusal) and failure.code < 500 and failure.code not in _MAY_PASS


def _pause(failure: ModelFailed, wanted: int, part: Sequence[str]) -> int:
    """How long to wait (µs). Callers spread by their texts, so that they do not return as one."""
    if isinstance(failure, Refusal) and failure.retry_after is not None:
        return min(LONGEST, int(failure.retry_after * SECOND))
    spread = zlib.crc32("".join(part).encode()) / 2**32
    return min(LONGEST, int(wanted * (1 + spread)))
