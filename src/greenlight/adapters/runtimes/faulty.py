"""A runtime with a fault, for drills (`core.drill`): real answers, as spoilt as was asked for.

What it does wrong it does before or after the runtime that it wraps, so that everything around it,
from the gateway's patience to the evidence, meets the fault as it would meet a real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from greenlight.core.errors import ModelFailed
from greenlight.core.records import SECOND
from greenlight.core.states import Status
from greenlight.ports import Prediction, Runtime

Fault = Literal["errors", "latency", "quality"]


class FaultyRuntime:
    """A `ports.Runtime` around another one, which it closes."""

    def __init__(
        self,
        inner: Runtime,
        fault: Fault,
        intensity: float,
        *,
        labels: Sequence[str],
        timeout: int,
        rng: np.random.Generator,
    ) -> None:
        """Make a runtime.

        Args:
            inner: gives the real answers.
            fault: what goes wrong.
            intensity: the share of calls (`errors`) or of answers (`quality`) that it hits, or by
                how many seconds every call takes longer (`latency`).
            labels: what the model may answer; where they are not known (an empty list), those that
                it has given are.
            timeout: patience for one call, in microseconds.
            rng: draws what is hit.
        """
        self._inner = inner
        self._fault = fault
        self._intensity = intensity
        self._labels = list(labels)
        self._timeout = timeout / SECOND
        self._rng = rng

    @property
    def open_since(self) -> int | None:
        """See `ports.Runtime.open_since`."""
        return self._inner.open_since

    async def predict(self, texts: Sequence[str], within: float | None = None) -> list[Prediction]:
        """See `ports.Runtime.predict`."""
        if self._fault == "errors" and self._hits():
            raise ModelFailed("a drill: this call fails", Status.ERROR)
        if self._fault == "latency":
            within = await self._wait(within)
        answers = await self._inner.predict(texts, within)
        return [self._spoilt(answer) for answer in answers] if self._fault == "quality" else answers

    async def close(self) -> None:
        """See `ports.Runtime.close`."""
        await self._inner.close()

    def _hits(self) -> bool:
        return float(self._rng.random()) < self._intensity

    async def _wait(self, within: float | None) -> float:
        """Be slow; returns how much patience is left, in seconds."""
        patience = self._timeout if within is None else min(within, self._timeout)
        await asyncio.sleep(min(self._intensity, patience))
        if self._intensity >= patience:
            raise ModelFailed(f"a drill: no answer within {patience * 1000:.0f} ms", Status.TIMEOUT)
        return patience - self._intensity

    def _spoilt(self, answer: Prediction) -> Prediction:
        if answer.label not in self._labels:
            self._labels.append(answer.label)
        others = [label for label in self._labels if label != answer.label]
        if not others or not self._hits():
            return answer
        wrong = others[int(self._rng.integers(len(others)))]
        return msgspec.structs.replace(answer, label=wrong)
