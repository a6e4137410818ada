"""A model that answers inside the gateway, on threads of its own.

Of its own, because models share a gateway with what they are compared with: a candidate that hangs
must not take the threads on which control answers for it, nor make control look as bad as itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from greenlight.core.errors import ModelFailed
from greenlight.core.records import SECOND
from greenlight.core.states import Status
from greenlight.ports import Model, Prediction


class InProcessRuntime:
    """A `ports.Runtime` around a loaded model."""

    def __init__(self, model: Model, threads: int, timeout_us: int) -> None:
        """Make a runtime.

        Args:
            model: answers; must bear several threads at once.
            threads: how many calls run at once; others wait.
            timeout_us: patience for one call in microseconds, waiting for a thread included.
        """
        self._model: Model | None = model
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="model")
        self._timeout_us = timeout_us

    @property
    def open_since(self) -> int | None:
        """None: there is no breaker. A call that fails costs nobody but its own request."""
        return None

    async def predict(self, texts: Sequence[str], within: float | None = None) -> list[Prediction]:
        """One prediction per text, in order.

        A call that ran out of time keeps its thread until the model returns; one that still
        waited for a thread is dropped.

        Raises:
            ModelFailed: no answer (`timeout`), or none that can be used (`error`).
        """
        if self._model is None:
            raise ModelFailed("the runtime is closed", Status.ERROR)
        loop = asyncio.get_running_loop()
        seconds = self._timeout_us / SECOND
        seconds = seconds if within is None else min(within, seconds)
        try:
            async with asyncio.timeout(seconds) as patience:
                answers = await loop.run_in_executor(
                    self._executor, self._model.predict, list(texts)
                )
        except Exception as error:  # whatever a model raises, the request goes to the control
            if patience.expired():
                waited = f"no answer within {seconds * 1000:.0f} ms"
                raise ModelFailed(waited, Status.TIMEOUT) from error
            raise ModelFailed(f"the model failed: {error!r}", Status.ERROR) from error
        if len(answers) != len(texts):
            raise ModelFailed(
                f"the model gave {len(answers)} answers to {len(texts)} texts", Status.ERROR
            )
        return answers

    async def close(self) -> None:
        """Let go of the model and its threads; further calls fail."""
        self._model = None
        self._executor.shutdown(wait=False)
