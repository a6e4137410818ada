"""A provider that takes its time: an evaluation that asks several texts at once, and one by one.

How long an answer takes follows from its text alone, so that both ways wait for the same.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence

import msgspec

from benchmarks.curation import text_of
from benchmarks.pages import Found
from greenlight.adapters.clock import SystemClock
from greenlight.adapters.runtimes.offline import AT_ONCE, OfflineModel
from greenlight.adapters.runtimes.openai_chat import OpenAIChatRuntime
from greenlight.core.records import SECOND
from greenlight.models.prompt import Prompt
from greenlight.testing.provider import ChatProvider

LABELS = ("APPROVE", "REJECT")
PATIENCE = 60 * SECOND
TEMPLATE = "Answer with one of:\n{labels}\n\n{input}"


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long a provider takes: log-normal."""

    median_s: float = 0.3
    spread: float = 0.3
    """Standard deviation of the logarithm: one in twenty takes 1.6 times the median, and more."""
    seed: int = 2025

    def of(self, text: str) -> float:
        """Seconds that this text takes."""
        drawn = random.Random(f"{self.seed} {text}")
        return self.median_s * drawn.lognormvariate(0.0, self.spread)


def evaluations(count: int, latency: Latency) -> Found:
    """Ask a prompt about so many texts, as an evaluation does and one by one.

    Raises:
        ValueError: the two ways do not get the same answers.
    """
    texts = [text_of(number) for number in range(count)]

    def answer(asked: str) -> str:
        time.sleep(latency.of(asked))
        return LABELS[len(asked) % 2]

    with ChatProvider(answer) as provider:
        prompt = Prompt(TEMPLATE, model="small", labels=LABELS)

        def runtime() -> OpenAIChatRuntime:
            return OpenAIChatRuntime(
                provider.url, prompt, clock=SystemClock(), timeout=PATIENCE, failures=2**31
            )

        def one_by_one() -> list[str]:
            return asyncio.run(_one_by_one(runtime(), texts))

        def several() -> list[str]:
            return [found.label for found in OfflineModel(runtime, LABELS).predict(texts)]

        serial, expected = _timed(one_by_one, provider)
        at_once, found = _timed(several, provider)
    if found != expected:
        raise ValueError("asked several at once, the provider answered otherwise")
    waits = [latency.of(prompt.render(text)) for text in texts]
    return {
        "texts": count,
        "bound": AT_ONCE,
        "waits_s": {"total": round(sum(waits), 2), "longest": round(max(waits), 3)},
        "one_by_one": serial,
        "several": at_once,
        "times_as_fast": round(serial["seconds"] / at_once["seconds"], 2),
    }


async def _one_by_one(runtime: OpenAIChatRuntime, texts: Sequence[str]) -> list[str]:
    """Each text once the one before is answered, over one connection that is kept."""
    try:
        return [(await runtime.predict([text]))[0].label for text in texts]
    finally:
        await runtime.close()


def _timed(work: Callable[[], list[str]], provider: ChatProvider) -> tuple[Found, list[str]]:
    """What some work took, and what it came to."""
    provider.most_at_once = 0
    began = time.perf_counter()
    found = work()
    seconds = time.perf_counter() - began
    return {
        "seconds": round(seconds, 3),
        "per_s": round(len(found) / seconds, 2),
        "most_at_once": provider.most_at_once,
    }, found
