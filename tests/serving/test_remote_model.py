"""A model behind HTTP: the runtime that calls it and the server that answers (S1, P1)."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from greenlight.adapters.runtimes.http import HttpRuntime
from greenlight.adapters.trainers import TRAINERS
from greenlight.core.errors import BadInput, ModelFailed
from greenlight.core.records import MILLISECOND, SECOND, Replica
from greenlight.core.states import Status
from greenlight.models import bundle
from greenlight.ports import Clock, Prediction
from greenlight.serving.http import Receive, Response, Scope, Send, read_body, send_response
from greenlight.serving.model_server import ModelServer, open_bundle
from greenlight.testing import FakeClock
from tests.models import tiny
from tests.serving.harness import V1, V2, Client, World, asynchronous, eventually, serving
from tests.serving.test_processes import process

GOOD = {"predictions": [{"label": "card", "score": 0.5}]}


class Server:
    """An ASGI application that answers what it is told to."""

    def __init__(self) -> None:
        self.answer: Any = GOOD
        self.status = 200
        self.gate: asyncio.Event | None = None
        self.seen: list[Any] = []
        self.now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        self.seen.append(json.loads(await read_body(scope, receive, 1 << 24)))
        self.now += 1
        if self.gate is not None:
            await self.gate.wait()
        self.now -= 1
        body = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        await send_response(send, Response(body, self.status))


@asynccontextmanager
async def remote(
    server: Any, clock: Clock | None = None, **settings: int
) -> AsyncIterator[HttpRuntime]:
    """A runtime in front of a server."""
    async with serving(server) as client:
        url = f"{client.session._base_url}"
        runtime = HttpRuntime(url, clock=clock or FakeClock(), **settings)
        try:
            yield runtime
        finally:
            await runtime.close()


async def failing(runtime: HttpRuntime) -> str:
    with pytest.raises(ModelFailed) as caught:
        await runtime.predict(["a"])
    return caught.value.status


@asynchronous
async def test_predictions_come_back_in_order() -> None:
    server = Server()
    made = [Prediction(str(n), n / 300, n % 2 == 0) for n in range(256)]
    listed = msgspec.to_builtins(made)
    server.answer = {"predictions": listed, "model": "fields of their own are no harm"}
    texts = [f"Zoë {n} " + "x" * 5000 for n in range(256)]
    async with remote(server) as runtime:
        answers = await runtime.predict(texts)
    assert answers == made
    assert server.seen == [{"inputs": texts}]


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, GOOD),
        (503, b"busy"),
        (404, GOOD),
        (204, b""),
        (200, b"no json"),
        (200, {}),
        (200, {"predictions": []}),
        (200, {"predictions": GOOD["predictions"] * 2}),
        (200, {"predictions": [{"label": "card"}]}),
        (200, {"predictions": [{"label": "card", "score": 1.5}]}),
        (200, {"predictions": [{"label": 7, "score": 0.5}]}),
    ],
)
@asynchronous
async def test_anything_but_a_good_answer_is_an_error(status: int, answer: Any) -> None:
    server = Server()
    server.status, server.answer = status, answer
    async with remote(server) as runtime:
        assert await failing(runtime) == Status.ERROR
        server.status, server.answer = 200, GOOD
        assert await runtime.predict(["a"])


@asynchronous
async def test_nobody_there_is_an_error() -> None:
    server = Server()
    async with serving(server) as client:
        url = f"{client.session._base_url}"
    runtime = HttpRuntime(url, clock=FakeClock())
    assert await failing(runtime) == Status.ERROR
    await runtime.close()


@asynchronous
async def test_too_late_is_a_timeout() -> None:
    server = Server()
    server.gate = asyncio.Event()
    async with remote(server, timeout=20 * MILLISECOND) as runtime:
        assert await failing(runtime) == Status.TIMEOUT
        server.gate.set()


@asynchronous
async def test_the_breaker_opens_and_one_probe_closes_it() -> None:
    """P1: after `failures` in a row nothing is sent; after `reset` one call tries."""
    server, clock = Server(), FakeClock()
    async with remote(server, clock, failures=3, reset=SECOND) as runtime:
        server.status = 500
        assert [await failing(runtime) for _ in range(5)] == ["error"] * 3 + ["short_circuit"] * 2
        assert len(server.seen) == 3
        clock.advance(SECOND)
        assert await failing(runtime) == Status.ERROR
        assert await failing(runtime) == Status.SHORT_CIRCUIT
        clock.advance(SECOND)
        server.status, server.gate = 200, asyncio.Event()
        probe = asyncio.create_task(runtime.predict(["a"]))
        await eventually(lambda: server.now == 1)
        assert await failing(runtime) == Status.SHORT_CIRCUIT
        server.gate.set()
        assert await probe
        assert await runtime.predict(["a"])
        assert len(server.seen) == 6


@asynchronous
async def test_too_many_at_once_are_turned_away_at_once() -> None:
    """A full house is no failure of the model: it neither counts nor opens the breaker."""
    server = Server()
    server.gate = asyncio.Event()
    async with remote(server, concurrency=3, failures=1) as runtime:
        inside = [asyncio.create_task(runtime.predict(["a"])) for _ in range(3)]
        await eventually(lambda: server.now == 3)
        assert [await failing(runtime) for _ in range(5)] == ["short_circuit"] * 5
        server.gate.set()
        await asyncio.gather(*inside)
        assert await runtime.predict(["a"])
        assert len(server.seen) == 4


@asynchronous
async def test_a_cancelled_call_leaves_its_place() -> None:
    server = Server()
    server.gate = asyncio.Event()
    async with remote(server, concurrency=1) as runtime:
        call = asyncio.create_task(runtime.predict(["a"]))
        await eventually(lambda: server.now == 1)
        call.cancel()
        await asyncio.wait([call])
        server.gate.set()
        assert await runtime.predict(["a"])


@asynchronous
async def test_a_dead_model_shows_in_the_sign_of_life_until_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O1: by this the controller sees a fault of the data plane. Control is not in it."""
    world, server = World(tmp_path), Server()
    world.epoch(1, candidate=V2, weight=1.0)

    def sign() -> Replica:
        found: Replica | None = world.store.get(Replica, "gateway-1")
        assert found is not None
        return found

    async def answered_by(label: str) -> bool:
        return (await client.ask("user-1"))[1] == label

    settings: dict[str, Any] = {"failures": 2, "reset": 20 * MILLISECOND}
    async with remote(server, world.clock, **settings) as candidate:
        runtimes = {V1: world.models[V1], V2: candidate}
        monkeypatch.setattr(world, "open_runtime", lambda version: runtimes[version.digest])
        async with serving(world.gateway()) as client:
            assert sign().open_since == {}
            server.status, began = 500, world.clock.now()
            assert await answered_by("v1") and await answered_by("v1")
            opened = world.clock.now()
            await eventually(lambda: sign().open_since)
            since = sign().open_since[V2]
            assert began <= since <= opened

            async def probed_twice() -> bool:
                return await answered_by("v1") and len(server.seen) >= 4

            await eventually(probed_twice)
            probed = world.clock.now()
            await eventually(lambda: sign().at > probed)
            assert sign().open_since == {V2: since}
            server.status = 200
            await eventually(lambda: answered_by("card"))
            await eventually(lambda: not sign().open_since)


class Fixed:
    """A model that always answers with its first label."""

    labels: Sequence[str] = ("B", "a", "c")

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        self.threads.add(threading.get_ident())
        return [Prediction("B", 0.8, False) for _ in texts]


@asynchronous
async def test_the_label_file_names_the_outputs() -> None:
    """The demo's fault: sorted without regard to case, output 0 is called by another name."""
    model = Fixed()
    for names, expected in ((None, "B"), (sorted(Fixed.labels, key=str.casefold), "a")):
        async with remote(ModelServer(model, names)) as runtime:
            assert await runtime.predict(["x"]) == [Prediction(expected, 0.8, False)]
    assert threading.get_ident() not in model.threads


class Tagging:
    """A model whose answer is a tag for each word."""

    labels: Sequence[str] = ("B-x", "O")

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        return [Prediction("O B-x O" if text else "", 0.8) for text in texts]


@asynchronous
async def test_it_names_the_tags_of_words_too() -> None:
    """Each by itself; a text without words has none."""
    async with remote(ModelServer(Tagging(), ["B-name", "O"])) as runtime:
        answers = await runtime.predict(["who is that", ""])
    assert [answer.label for answer in answers] == ["O B-name O", ""]


@pytest.mark.parametrize("names", [[], ["a", "b"], ["a", "b", "c", "d"]])
def test_a_label_file_of_another_length_is_refused(names: list[str]) -> None:
    with pytest.raises(BadInput, match=f"names {len(names)} outputs, the model has 3"):
        ModelServer(Fixed(), names)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/healthz", b"", 200),
        ("POST", "/healthz", b"", 405),
        ("GET", "/predict", b"", 405),
        ("POST", "/other", b"", 404),
        ("POST", "/predict", b'{"inputs": "one"}', 400),
        ("POST", "/predict", b"{", 400),
        ("POST", "/predict", b'{"inputs": ["one"]}', 200),
    ],
)
@asynchronous
async def test_the_model_servers_answers(method: str, path: str, body: bytes, status: int) -> None:
    async with (
        serving(ModelServer(Fixed())) as client,
        client.session.request(method, path, data=body) as response,
    ):
        assert response.status == status
        assert ("error" in await response.json()) == (status != 200)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle."""
    trained = TRAINERS["tfidf-linear"]().train(
        train=tiny.examples(90, 1),
        validation=tiny.examples(30, 2),
        labels=["pin", "card", "money"],
        config={},
        seed=0,
        out=str(tmp_path_factory.mktemp("bundle") / "bundle"),
        progress=lambda _share, _words: None,
    )
    return Path(trained.folder)


@asynchronous
async def test_a_bundle_is_served_by_its_own_process(made: Path, tmp_path: Path) -> None:
    model = bundle.load(made)
    order = list(model.labels)
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(order[::-1]))
    texts = [example.text for example in tiny.examples(20, 3)]
    expected = model.predict(texts)
    arguments = ("--bundle", str(made), "--labels", str(file))
    with process("greenlight.entrypoints.model_server", *arguments) as (server, url):
        runtime = HttpRuntime(url, clock=FakeClock(), timeout=20 * SECOND)
        answers = await runtime.predict(texts)
        await runtime.close()
        async with aiohttp.ClientSession(url) as session:
            assert (await Client(session).get("/healthz"))[0] == 200
        server.terminate()
        assert server.wait(20) == 0
    moved = dict(zip(order, order[::-1], strict=True))
    assert [answer.label for answer in answers] == [moved[own.label] for own in expected]
    assert [answer.score for answer in answers] == pytest.approx([own.score for own in expected])


@pytest.mark.parametrize("content", ["{}", "[1]", "no json", None])
def test_an_unreadable_label_file_is_refused(
    made: Path, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "labels.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadInput, match="no JSON list of texts"):
        open_bundle(made, file)
