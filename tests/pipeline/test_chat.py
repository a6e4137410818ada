"""A chat from feedback to a judged version, on a real store and with a real training (D1-D4, E4).

The world is that of examples/posts; the provider is `greenlight finetune-server`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from examples.posts.traffic import WORLD
from examples.posts.writing import engages
from greenlight import artifacts, config, wiring
from greenlight.core import ids
from greenlight.core.incidents import Incident
from greenlight.core.records import HOUR, SECOND, Feedback, Inference, Version
from greenlight.ports import Model, Prediction
from greenlight.stages.loop import Turn, live_version
from greenlight.stages.rerun import rerun
from greenlight.testing.finetune import finetune_server
from greenlight.wiring.app import App
from greenlight.wiring.evaluating import predictor
from greenlight.wiring.models import load_model
from greenlight.wiring.registry import Origin
from greenlight.wiring.starting import start
from tests.contracts.making import feedback, inference
from tests.pipeline.shop import silent

ASKED = 400
PICTURE = '[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]'


class Shop:
    """A project in which the base model is live and has been asked for a while."""

    def __init__(self, app: App, folder: Path, url: str) -> None:
        self.app, self.rng = app, np.random.default_rng(8)
        wiring.adopt(
            app,
            "posts",
            Origin(prompt=folder / "prompt.txt", model=WORLD.base, url=url),
            secret=(folder / "keys" / "ana").read_text(encoding="utf-8").strip(),
            why="runs today",
        )
        live = live_version(app.store, "posts")
        assert live is not None
        self.live: Version = live

    def people(self, count: int) -> None:
        """People ask the live version, and say what they think."""
        visits = [WORLD.visit(1, self.rng) for _ in range(count)]
        texts = [conversation(visit.text) for visit in visits]
        found = load_model(self.app, self.live).predict(texts)
        began = self.app.clock.now() - HOUR
        answers: list[Inference] = []
        said: list[Feedback] = []
        for number, (visit, text, made) in enumerate(zip(visits, texts, found, strict=True)):
            answers.append(self.answer(began + number * SECOND, text, made.label))
            for word in WORLD.hear(visit, made.label, self.rng):
                value = {"GOOD": 1.0, "BAD": 0.0}.get(str(word.value), word.value)
                said.append(feedback_on(answers[-1], word.metric, float(value)))
        # Somebody sends a picture, and likes what is said of it.
        for number in range(3):
            answers.append(self.answer(began + (count + number) * SECOND, PICTURE, "A loaf."))
            said.append(feedback_on(answers[-1], "engagement_rate", 0.2))
        self.app.store.ingest(answers, said)

    def answer(self, at: int, text: str, words: str) -> Inference:
        return inference(
            ids.fresh(at, self.rng.bytes),
            task="posts",
            version=self.live.digest,
            served_version=self.live.digest,
            unit=f"user-{int(self.rng.integers(200))}",
            input=text,
            output=words,
            at=at,
        )

    def engaged(self, version: Version) -> float:
        """The share of followers that a version's posts engage."""
        rng = np.random.default_rng(11)
        visits = [WORLD.visit(1, rng) for _ in range(150)]
        found = load_model(self.app, version).predict([conversation(one.text) for one in visits])
        pairs = zip(visits, found, strict=True)
        return float(np.mean([engages(one.about, made.label) for one, made in pairs]))


def project(folder: Path, url: str) -> config.Settings:
    """What `greenlight init --template posts` writes, with a provider without a key."""
    file = folder / config.FILE
    people = {"ana": ["ml_lead"], "ben": ["product_owner"]}
    random = np.random.default_rng(7).bytes
    start(file, template="posts", project="posts", people=people, random=random)
    text = file.read_text(encoding="utf-8").replace("http://127.0.0.1:8200/v1", url)
    text = text.replace('poll = "2s"', 'poll = "50ms"').replace('key = "env:OPENAI_API_KEY"', "")
    file.write_text(text, encoding="utf-8")
    return config.load(file, {})


def conversation(text: str) -> str:
    return json.dumps([{"role": "user", "content": text}])


def feedback_on(answer: Inference, metric: str, value: float) -> Feedback:
    return feedback(f"{answer.id}-{metric}", answer.id, value, metric=metric, at=answer.at + 1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("posts")
    base = folder / "base.jsonl"
    lines = [{"messages": said} for said in WORLD.conversations(np.random.default_rng([2025, 0]))]
    base.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with (
        finetune_server(folder / "provider", base_models=[f"{WORLD.base}={base}"]) as url,
        wiring.open_app(project(folder, url)) as app,
    ):
        made = Shop(app, folder, url)
        made.people(ASKED)
        yield made


@pytest.fixture(scope="module")
def turn(shop: Shop) -> Turn:
    return wiring.turn(shop.app, "posts", initiator="cron", progress=silent)


def test_what_engaged_is_learnt_as_it_was_served(shop: Shop, turn: Turn) -> None:
    """D2, D4: the data set holds the instructions of the version that served, by its bundle."""
    manifest = turn.dataset.manifest
    assert manifest["kind"] == "chat" and manifest["labels"] == []
    assert manifest["labelled"]["selected"] > 30 and manifest["labelled"]["good"] > 30
    assert manifest["exclusions"]["not_text"] == 3 and manifest["exclusions"]["filtered"] > 100
    folder = Path(shop.app.datasets.path(turn.dataset.digest))
    [(bundle, asked)] = artifacts.read_prompts(folder).items()
    assert bundle == shop.live.bundle and asked["kind"] == "chat"
    assert asked["system"].startswith("You write for the page of a workshop")
    decoder = msgspec.json.Decoder(dict[str, str])
    rows = [decoder.decode(line) for line in (folder / "train.jsonl").read_bytes().splitlines()]
    assert {row["prompt"] for row in rows} == {bundle}
    assert all(shop.app.store.get(Inference, row["inference"]) is not None for row in rows)


def test_the_new_version_answers_by_the_same_instructions(shop: Shop, turn: Turn) -> None:
    manifest = artifacts.unseal(shop.app.bundles.path(turn.version.bundle))
    assert manifest["kind"] == "chat" and manifest["model"].startswith("ft:posts-base")
    assert turn.version.runtime["kind"] == "openai"
    assert turn.version.runtime["url"] == shop.live.runtime["url"]


def test_it_is_judged_beside_the_live_one(turn: Turn) -> None:
    """E4: both are asked the same conversations; whose answers are wanted is told."""
    document = turn.evaluation.document
    test, live = document["chat"]["test"], document["live"]
    assert test["overlap"]["n"] == turn.dataset.manifest["counts"]["test"] == live["n"]
    assert 0.5 < test["overlap"]["value"] <= 1
    assert document["protocol"]["module"] == "eval.chat_eval"
    assert live["label"] == "posts@1" and {"agreement", "overlap", "p_value"} <= live.keys()
    assert live["own"] == live["n"], "every post that is wanted is one that the live one wrote"
    assert document["sanity"]["reason"].startswith("not measured")
    assert "reason" in document["chat"]["slices"]
    assert [(gate.metric, gate.outcome) for gate in turn.gates] == [("overlap", "pass")]


def test_it_engages_more(shop: Shop, turn: Turn) -> None:
    """What nobody has told it, only shown: which manner the followers of a subject like."""
    assert shop.engaged(turn.version) > shop.engaged(shop.live) + 0.015


def test_it_can_be_looked_at(shop: Shop, turn: Turn, tmp_path: Path) -> None:
    """A card, a comparison and the way back to every answer, of a data set with prompts."""
    paths = wiring.write_card(shop.app, turn.version, tmp_path)
    card = paths["markdown"].read_text(encoding="utf-8")
    assert "An answer in words to the messages of a chat" in card
    assert "share of answers that are the wanted one, test" in card
    assert "the wanted answer is posts@1's own" in card
    duel = wiring.compare_versions(shop.app, shop.live, turn.version, progress=silent)
    assert duel.comparison.labels == [] and duel.a.accuracy["n"] == duel.b.accuracy["n"]


class Louder:
    """A model that says the same in capitals."""

    labels: Sequence[str] = ()

    def __init__(self, inner: Model) -> None:
        self._inner = inner

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        found = self._inner.predict(texts)
        return [msgspec.structs.replace(one, label=one.label.upper()) for one in found]


def test_asked_again_it_is_judged_by_the_same_rules(shop: Shop, turn: Turn) -> None:
    """O3: after a rollback control is held against its evaluation, which overlooks case."""
    asker = predictor(shop.app, open_model=lambda app, one: Louder(load_model(app, one)))
    incident = Incident(
        rollout="r",
        task="posts",
        control=turn.version.digest,
        candidate="sha256:gone",
        decision="d",
        code="quality",
        reason="worse",
        drill=None,
        at=5,
    )
    app = shop.app
    found = rerun(app.store, app.datasets, asker, incident, turn.evaluation)
    assert (found["result"], found["chance"]) == ("confirmed", 1.0)
    assert found["accuracy"]["correct"] == found["sealed"]["correct"] > 0
