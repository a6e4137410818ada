"""Every way to run a model keeps `ports.Runtime`'s word (S1, P1)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import numpy as np
import pytest

from greenlight.adapters.runtimes.faulty import Fault, FaultyRuntime
from greenlight.adapters.runtimes.http import HttpRuntime
from greenlight.adapters.runtimes.in_process import InProcessRuntime
from greenlight.adapters.runtimes.openai_chat import OpenAIChatRuntime
from greenlight.core.errors import ModelFailed
from greenlight.core.records import MILLISECOND, SECOND
from greenlight.models.prompt import Prompt
from greenlight.ports import Prediction, Runtime
from greenlight.serving.model_server import ModelServer
from greenlight.testing import FakeClock
from greenlight.testing.provider import ChatProvider
from tests.serving.harness import asynchronous, serving

LABELS = ["card", "pin", "money"]
PROMPT = Prompt("Which of\n{labels}\nis it?\n\n{input}", model="small", labels=LABELS)


class Subject:
    """A model of the test's: the label is the text's first word; it breaks and hangs as told."""

    labels: Sequence[str] = LABELS

    def __init__(self) -> None:
        self.broken = False
        self.free = threading.Event()
        self.free.set()

    def answer(self, text: str) -> str:
        self.free.wait(10)
        if self.broken:
            raise RuntimeError("broken")
        return text.split()[0]

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        return [Prediction(self.answer(text), 0.5) for text in texts]


Opening = Callable[[Subject, int], AbstractAsyncContextManager[Runtime]]


@asynccontextmanager
async def in_process(subject: Subject, timeout: int) -> AsyncIterator[Runtime]:
    yield InProcessRuntime(subject, 2, timeout)


@asynccontextmanager
async def over_http(subject: Subject, timeout: int) -> AsyncIterator[Runtime]:
    async with serving(ModelServer(subject)) as client:
        yield HttpRuntime(str(client.session._base_url), clock=FakeClock(), timeout=timeout)


@asynccontextmanager
async def by_prompt(subject: Subject, timeout: int) -> AsyncIterator[Runtime]:
    def rule(asked: str) -> str:
        return subject.answer(asked.rpartition("\n")[2])

    with provider(rule, subject) as there:
        yield OpenAIChatRuntime(there.url, PROMPT, clock=FakeClock(), timeout=timeout)


@contextmanager
def provider(rule: Callable[[str], str], subject: Subject) -> Iterator[ChatProvider]:
    """A provider whose rule may break: then it answers with an error of its own."""

    def safe(asked: str) -> str:
        try:
            return rule(asked)
        except RuntimeError:
            return "none of them"

    with ChatProvider(safe) as there:
        try:
            yield there
        finally:
            subject.free.set()


@asynccontextmanager
async def in_a_drill(subject: Subject, timeout: int) -> AsyncIterator[Runtime]:
    """A fault so rare that it does not come is no fault."""
    async with in_process(subject, timeout) as inner:
        yield spoilt(inner, "errors", 0.0, timeout)


def spoilt(inner: Runtime, fault: Fault, intensity: float, timeout: int = SECOND) -> FaultyRuntime:
    rng = np.random.default_rng(2025)
    return FaultyRuntime(inner, fault, intensity, labels=LABELS, timeout=timeout, rng=rng)


@pytest.fixture(params=[in_process, over_http, by_prompt, in_a_drill])
def opening(request: pytest.FixtureRequest) -> Opening:
    """Each way to run a model."""
    found: Opening = request.param
    return found


async def failing(runtime: Runtime, texts: Sequence[str] = ("card please",)) -> str:
    with pytest.raises(ModelFailed) as caught:
        await runtime.predict(texts)
    return caught.value.status


@asynchronous
async def test_answers_come_back_in_order(opening: Opening) -> None:
    texts = [f"{LABELS[number % 3]} number {number} Zoë" for number in range(40)]
    async with opening(Subject(), 10 * SECOND) as runtime:
        answers = await runtime.predict(texts)
        assert [answer.label for answer in answers] == [text.split()[0] for text in texts]
        assert all(answer.score is None or 0 <= answer.score <= 1 for answer in answers)
        await runtime.close()


@asynchronous
async def test_a_model_that_breaks_is_an_error_and_may_mend(opening: Opening) -> None:
    subject = Subject()
    async with opening(subject, 10 * SECOND) as runtime:
        subject.broken = True
        assert await failing(runtime) == "error"
        assert runtime.open_since is None
        subject.broken = False
        assert (await runtime.predict(["card please"]))[0].label == "card"
        await runtime.close()


@asynchronous
async def test_a_model_that_hangs_is_a_timeout(opening: Opening) -> None:
    subject = Subject()
    async with opening(subject, 20 * MILLISECOND) as runtime:
        subject.free.clear()
        assert await failing(runtime) == "timeout"
        subject.free.set()
        await runtime.close()


@asynchronous
async def test_many_calls_at_once_do_not_mix(opening: Opening) -> None:
    async with opening(Subject(), 10 * SECOND) as runtime:
        calls = [runtime.predict([f"{LABELS[number % 3]} {number}"]) for number in range(30)]
        answers = await asyncio.gather(*calls)
        assert [made[0].label for made in answers] == [LABELS[n % 3] for n in range(30)]
        await runtime.close()


@asynchronous
async def test_a_share_of_the_calls_of_a_drill_fails() -> None:
    """O6: one call in four, by the seed; what is answered is right."""
    async with in_process(Subject(), SECOND) as inner:
        runtime, failed = spoilt(inner, "errors", 0.25), 0
        for _ in range(400):
            try:
                [answer] = await runtime.predict(["card please"])
                assert answer.label == "card"
            except ModelFailed as failure:
                assert (failure.status, "drill" in str(failure)) == ("error", True)
                failed += 1
        assert 70 < failed < 130
        await runtime.close()
        with pytest.raises(ModelFailed, match="closed"):
            await inner.predict(["card please"])


@asynchronous
async def test_a_share_of_the_answers_of_a_drill_is_another_label() -> None:
    async with in_process(Subject(), SECOND) as inner:
        runtime = spoilt(inner, "quality", 0.3)
        found = await runtime.predict(["card please"] * 400)
        wrong = [answer.label for answer in found if answer.label != "card"]
        assert 90 < len(wrong) < 150
        assert set(wrong) == {"pin", "money"}
        assert {answer.score for answer in found} == {0.5}
        await runtime.close()


@asynchronous
async def test_a_drill_knows_the_labels_that_it_has_heard() -> None:
    """A model somewhere else does not tell which labels it has."""
    async with in_process(Subject(), SECOND) as inner:
        rng = np.random.default_rng(1)
        runtime = FaultyRuntime(inner, "quality", 1.0, labels=(), timeout=SECOND, rng=rng)
        assert (await runtime.predict(["card please"]))[0].label == "card"
        assert (await runtime.predict(["pin please"]))[0].label == "card"
        await runtime.close()


@asynchronous
async def test_a_drill_is_late_by_its_intensity_and_keeps_to_the_patience() -> None:
    async with in_process(Subject(), SECOND) as inner:
        runtime = spoilt(inner, "latency", 0.05)
        now = asyncio.get_running_loop().time
        began = now()
        assert (await runtime.predict(["card please"]))[0].label == "card"
        # By the loop's own clock, which has whole milliseconds: by a finer one it wakes early.
        assert round((now() - began) * 1000) >= 50
        with pytest.raises(ModelFailed) as late:
            await runtime.predict(["card please"], within=0.02)
        assert (late.value.status, "within 20 ms" in str(late.value)) == ("timeout", True)
        assert runtime.open_since is None
        await runtime.close()
