"""A model server of many bundles, of bundles that are named in the request, and of chats."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from greenlight.adapters.blobs import FolderBlobs
from greenlight.adapters.runtimes.http import HttpRuntime
from greenlight.adapters.runtimes.openai_proxy import OpenAIProxyRuntime
from greenlight.adapters.trainers import TRAINERS
from greenlight.core import chat as protocol
from greenlight.core.chat import HEAD, request_of
from greenlight.core.errors import ModelFailed, RequestRefused
from greenlight.core.messages import Message
from greenlight.core.records import SECOND
from greenlight.models import lora
from greenlight.models.chat import ChatModel
from greenlight.models.speaker import Said
from greenlight.ports import Prediction
from greenlight.serving.model_server import BundleServer, ModelServer, open_bundle
from greenlight.testing import FakeClock
from tests.models import tiny, tiny_language
from tests.models.test_lora import CHATS, fit
from tests.serving.harness import asynchronous, serving
from tests.serving.test_processes import process

LABELS = ["card", "money", "pin"]
NOBODY = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[FolderBlobs, list[str]]:
    """Three small bundles of an installation, which call the same texts by other labels."""
    root = tmp_path_factory.mktemp("installation")
    kept, digests = FolderBlobs(root / "bundles"), []
    for turn in range(3):
        names = {label: LABELS[(place + turn) % 3] for place, label in enumerate(LABELS)}
        train, validation = (
            [type(row)(row.text, names[row.label]) for row in tiny.examples(count, count)]
            for count in (60, 30)
        )
        made = TRAINERS["tfidf-linear"]().train(
            train=train,
            validation=validation,
            labels=LABELS,
            config={},
            seed=0,
            out=str(root / f"made-{turn}"),
            progress=lambda _share, _words: None,
        )
        digests.append(kept.add(made.folder))
    return kept, digests


def runtime(url: Any, bundle: str | None = None) -> HttpRuntime:
    return HttpRuntime(str(url), clock=FakeClock(), timeout=20 * SECOND, bundle=bundle)


async def label(model: HttpRuntime, text: str) -> str:
    """What it answers, and no more."""
    try:
        return (await model.predict([text]))[0].label
    finally:
        await model.close()


@asynchronous
async def test_a_request_that_names_a_bundle_is_answered_by_no_other(
    bundles: tuple[FolderBlobs, list[str]],
) -> None:
    """S1, R3: two versions at one address are not compared with themselves."""
    kept, (mine, other, _) = bundles
    server = open_bundle(Path(kept.path(mine)), None)
    async with serving(server) as client:
        url = client.session._base_url
        assert await label(runtime(url), "pin code") == "pin"
        assert await label(runtime(url, mine), "pin code") == "pin"
        with pytest.raises(ModelFailed, match="404"):
            await label(runtime(url, other), "pin code")


@asynchronous
async def test_each_bundle_answers_below_its_own_digest(
    bundles: tuple[FolderBlobs, list[str]],
) -> None:
    kept, digests = bundles
    async with serving(BundleServer(kept.path, keep=2)) as client:
        url = client.session._base_url

        async def ask(digest: str, named: str | None = None) -> str:
            return await label(
                runtime(f"{url}/{digest.removeprefix('sha256:')}", named), "pin code"
            )

        # More than are kept open, and again from the start.
        for _ in range(2):
            assert [await ask(one, one) for one in digests] == ["pin", "card", "money"]
        with pytest.raises(ModelFailed, match="404"):
            await ask(digests[0], digests[1])
        with pytest.raises(ModelFailed, match="404"):
            await ask(NOBODY)
        assert (await client.get("/healthz"))[0] == 200
        status, said = await client.get("/predict")
        assert (status, "a bundle answers at /DIGEST/predict" in json.dumps(said)) == (404, True)


@asynchronous
async def test_a_bundle_is_opened_once_and_let_go_of(
    bundles: tuple[FolderBlobs, list[str]],
) -> None:
    """However many ask at the same moment; the one that was not asked for longest goes."""
    kept, digests = bundles
    opened: list[str] = []

    def path(digest: str) -> str:
        opened.append(digest)
        return kept.path(digest)

    async with serving(BundleServer(path, keep=2)) as client:
        url = client.session._base_url

        async def ask(place: int) -> str:
            there = f"{url}/{digests[place].removeprefix('sha256:')}"
            return await label(runtime(there), "pin code")

        assert set(await asyncio.gather(*(ask(0) for _ in range(5)))) == {"pin"}
        for place in (1, 0, 2, 0, 1):
            await ask(place)
    assert opened == [digests[place] for place in (0, 1, 2, 1)]


class Echo:
    """A model that says again what was said last."""

    labels: Sequence[str] = ()

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        return [Prediction(text, None) for text in texts]

    def says(self, messages: Sequence[Message]) -> Said:
        words = messages[-1].content
        return Said(words, [-0.1] * 3, 7, ended=words != "go on")


def asked(words: str, **fields: Any) -> protocol.Request:
    body = {"model": "greenlight/desk", "messages": [{"role": "user", "content": words}], **fields}
    encoded = json.dumps(body).encode()
    return request_of(HEAD.decode(encoded), encoded)


@asynchronous
async def test_a_chat_is_answered_by_its_protocol() -> None:
    """S1: as a gateway reads it, whole and as a stream, with the count of tokens."""
    clock = FakeClock()
    async with serving(ModelServer(Echo(), digest=NOBODY, now=clock.now)) as client:
        url = f"{client.session._base_url}/v1"
        model = ChatModel(model=NOBODY.removeprefix("sha256:"))
        chat = OpenAIProxyRuntime(url, model, clock=clock)
        whole = await chat.complete(asked("hello"))
        assert (whole.text, whole.tokens) == ("hello", protocol.Tokens(7, 3))
        assert whole.created == clock.now() // SECOND
        assert json.loads(bytes(whole.choices))[0]["finish_reason"] == "stop"
        cut = await chat.complete(asked("go on"))
        assert json.loads(bytes(cut.choices))[0]["finish_reason"] == "length"
        bits = [bit async for bit in chat.stream(asked("hello", stream=True))]
        assert ["".join(bit.text for bit in bits), bits[0].last] == ["hello", True]
        assert bits[-1].tokens == protocol.Tokens(7, 3)
        status, models = await client.get("/v1/models")
        assert (status, [one["id"] for one in json.loads(models)["data"]]) == (200, ["0" * 64])
        nothing: list[list[Any]] = [[], [{"role": "user", "content": None}]]
        for messages in nothing:
            with pytest.raises(RequestRefused):
                await chat.complete(asked("x", messages=messages))
        await chat.close()
        other = OpenAIProxyRuntime(url, ChatModel(model="1" * 64), clock=clock)
        with pytest.raises(ModelFailed, match="404"):
            await other.complete(asked("hello"))
        await other.close()
        assert await label(runtime(client.session._base_url, NOBODY), "as it is") == "as it is"


@pytest.mark.needs("lora")
@asynchronous
async def test_adapters_are_served_by_a_process_of_their_own(tmp_path: Path) -> None:
    """T3, S1: a classifier and a chat, of one installation, over HTTP."""
    base = tiny_language.write_model(tmp_path / "base")
    rows = [type(row)(row.text, row.label, "p1") for row in tiny.examples(9, 1)]
    kept = FolderBlobs(tmp_path / "bundles")
    given: dict[str, Any] = {"epochs": 20, "patience": 20, "batch": 3}
    classifier = kept.add(fit(base, tmp_path / "1", train=rows, **given).folder)
    talker = kept.add(fit(base, tmp_path / "2", train=CHATS, labels=[], **given).folder)
    own = lora.talk(kept.path(talker), talker)
    expected = open_bundle(Path(kept.path(classifier)), None, classifier)._model.predict(
        [row.text for row in rows]
    )
    arguments = ("--bundles", str(tmp_path / "bundles"))
    with process("greenlight.entrypoints.model_server", *arguments) as (_, url):
        async with aiohttp.ClientSession() as session:  # what opens them takes its time
            for digest in (classifier, talker):
                health = f"{url}/{digest.removeprefix('sha256:')}/healthz"
                async with session.get(health) as response:
                    assert response.status == 200
        remote = runtime(f"{url}/{classifier.removeprefix('sha256:')}", classifier)
        answers = await remote.predict([row.text for row in rows])
        await remote.close()
        chat = OpenAIProxyRuntime(f"{url}/{own.model}/v1", own, clock=FakeClock())
        fields = json.loads(CHATS[1].text)
        said = await chat.complete(asked("", messages=fields))
        await chat.close()
    assert [answer.label for answer in answers] == [made.label for made in expected]
    assert [a.score for a in answers] == pytest.approx([made.score for made in expected], abs=1e-5)
    assert said.text == CHATS[1].label
