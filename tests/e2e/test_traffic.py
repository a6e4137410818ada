"""The replayed users: patient when told to be, and with a book of what they were promised."""

from __future__ import annotations

import asyncio
import io
import json
import signal
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from greenlight.entrypoints.traffic import Client, Habits, replay


class Moody:
    """A gateway that hangs up, then is not ready, then answers, for each thing that is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    async def predict(self, request: web.Request) -> web.Response:
        return self._answer(request, "predict", {"id": "i1", "output": {"label": "card"}})

    async def feedback(self, request: web.Request) -> web.Response:
        body = await request.json()
        return self._answer(request, body["inference_id"], {"id": "f1"})

    def _answer(self, request: web.Request, what: str, answer: dict[str, Any]) -> web.Response:
        times = [name for name, _ in self.asked].count(what)
        self.asked.append((what, request.headers.get("Idempotency-Key")))
        if times == 0:
            assert request.transport is not None
            request.transport.close()
        return web.json_response(answer, status=503 if times == 1 else 200)


async def use(patience: float, moody: Moody) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """One user who asks and judges once; returns the report and the book."""
    app = web.Application()
    app.router.add_post("/v1/tasks/intent/predict", moody.predict)
    app.router.add_post("/v1/feedback", moody.feedback)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    habits = Habits(users=1, rate=1.0, feedback_rate=1.0, mean_delay=0.0, patience=patience)
    book = io.StringIO()
    try:
        host, port = runner.addresses[0]
        async with aiohttp.ClientSession() as session:
            stop = asyncio.Event()
            client = Client(
                session,
                f"http://{host}:{port}",
                "intent",
                [("hello", "card")],
                habits,
                np.random.default_rng(1),
                book,
            )
            asking = asyncio.create_task(client.run(stop))
            while not moody.asked:
                await asyncio.sleep(0)
            stop.set()
            await asking
    finally:
        await runner.cleanup()
    return client.report(), [json.loads(line) for line in book.getvalue().splitlines()]


def test_the_patient_ask_again_under_the_same_key() -> None:
    report, book = asyncio.run(use(30.0, moody := Moody()))
    assert (report["requests"], report["failed"], report["good"], report["again"]) == (1, 0, 1, 4)
    assert moody.asked == [("predict", None)] * 3 + [("i1", "i1")] * 3
    assert book == [{"inference": "i1"}, {"feedback": "f1", "inference": "i1", "value": "GOOD"}]


def test_the_impatient_do_not() -> None:
    report, book = asyncio.run(use(0.0, moody := Moody()))
    assert (report["requests"], report["failed"], report["again"]) == (1, 1, 0)
    assert len(moody.asked) == 1
    assert book == []


@pytest.mark.parametrize(("key", "shown"), [("glk_secret", "Bearer glk_secret"), ("", None)])
def test_a_gateway_with_keys_is_shown_one(
    monkeypatch: pytest.MonkeyPatch, key: str, shown: str | None
) -> None:
    monkeypatch.setenv("GREENLIGHT_API_KEY", key)
    seen: list[str | None] = []

    async def predict(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        signal.raise_signal(signal.SIGTERM)
        return web.json_response({"id": None})

    async def ask() -> None:
        app = web.Application()
        app.router.add_post("/v1/tasks/intent/predict", predict)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        habits = Habits(users=1, rate=1.0, feedback_rate=0.0, mean_delay=0.0)
        await replay(f"http://{host}:{port}", "intent", [("hello", "card")], habits, seed=1)
        await runner.cleanup()

    asyncio.run(ask())
    assert seen == [shown]
