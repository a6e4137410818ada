"""A model inside the gateway: answers, time limits, failures."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from greenlight.adapters.runtimes.in_process import InProcessRuntime
from greenlight.core.errors import ModelFailed
from greenlight.core.records import MILLISECOND, SECOND
from greenlight.ports import Prediction

Answer = Callable[[Sequence[str]], list[Prediction]]


class Scripted:
    """A model that does as it is told."""

    labels: Sequence[str] = ("a",)

    def __init__(self, answer: Answer) -> None:
        self.predict = answer


def failure(runtime: InProcessRuntime, texts: Sequence[str] = ("x",)) -> ModelFailed:
    with pytest.raises(ModelFailed) as caught:
        asyncio.run(runtime.predict(texts))
    return caught.value


def test_answers_come_back_in_order() -> None:
    """And are made on another thread than the event loop's."""
    threads = []

    def answer(texts: Sequence[str]) -> list[Prediction]:
        threads.append(threading.current_thread())
        return [Prediction(text, 1.0) for text in texts]

    runtime = InProcessRuntime(Scripted(answer), 1, SECOND)
    found = asyncio.run(runtime.predict(("x", "y")))
    assert [answer.label for answer in found] == ["x", "y"]
    assert threads != [threading.main_thread()]


def test_a_slow_model_times_out_and_the_queue_behind_it_too() -> None:
    """S1: a call that still waits for a thread when its time is up never reaches the model."""
    release = threading.Event()
    seen = []

    def answer(texts: Sequence[str]) -> list[Prediction]:
        seen.append(texts)
        release.wait(30)
        return [Prediction("a", 1.0) for _ in texts]

    runtime = InProcessRuntime(Scripted(answer), 1, 20 * MILLISECOND)

    async def two() -> list[object]:
        return list(
            await asyncio.gather(
                runtime.predict(["first"]), runtime.predict(["second"]), return_exceptions=True
            )
        )

    errors = asyncio.run(two())
    release.set()
    runtime._executor.shutdown()
    assert [(type(error), getattr(error, "status", "")) for error in errors] == [
        (ModelFailed, "timeout")
    ] * 2
    assert "no answer within 20 ms" in str(errors[0])
    assert seen == [["first"]]


@pytest.mark.parametrize("error", [ValueError("broken"), TimeoutError("its own"), KeyError("k")])
def test_a_model_that_raises_is_an_error(error: Exception) -> None:
    """Whatever it raises, a time-out of its own making included."""

    def answer(_texts: Sequence[str]) -> list[Prediction]:
        raise error

    failed = failure(InProcessRuntime(Scripted(answer), 1, SECOND))
    assert failed.status == "error"
    assert str(failed) == f"the model failed: {error!r}"


def test_a_wrong_number_of_answers_is_an_error() -> None:
    """Answers could not be told apart."""
    runtime = InProcessRuntime(Scripted(lambda _: [Prediction("a", 1.0)]), 1, SECOND)
    failed = failure(runtime, ("x", "y"))
    assert (failed.status, str(failed)) == ("error", "the model gave 1 answers to 2 texts")


def test_a_model_that_hangs_leaves_the_others_their_threads() -> None:
    """S5: control answers for a candidate that hangs, however many requests hang in it."""
    release = threading.Event()

    def hang(texts: Sequence[str]) -> list[Prediction]:
        release.wait(30)
        return [Prediction("late", 1.0) for _ in texts]

    candidate = InProcessRuntime(Scripted(hang), 1, 20 * MILLISECOND)
    control = InProcessRuntime(Scripted(lambda _: [Prediction("a", 1.0)]), 1, 10 * SECOND)
    assert failure(candidate).status == "timeout"
    assert asyncio.run(control.predict(["x"])) == [Prediction("a", 1.0)]
    release.set()


def test_a_closed_runtime_answers_no_more() -> None:
    """And its threads end."""
    runtime = InProcessRuntime(Scripted(lambda _: [Prediction("a", 1.0)]), 1, SECOND)
    asyncio.run(runtime.predict(["x"]))
    asyncio.run(runtime.close())
    assert failure(runtime).status == "error"
    for thread in runtime._executor._threads:
        thread.join(10)
        assert not thread.is_alive()
