"""What is learnt, and from what part of the prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from greenlight.core.errors import MissingData
from greenlight.core.messages import Message
from greenlight.models import bundle, encoder
from greenlight.models.bundle import TextModel
from greenlight.tuning import tuned
from greenlight.tuning.conversations import Shape, Unfit, read
from greenlight.tuning.learning import MOST, learn
from greenlight.tuning.orders import Learnt, Order, Told
from tests.models import tiny
from tests.tuning import desk


def written(folder: Path, name: str, lines: list[Any]) -> str:
    path = folder / f"{name}.jsonl"
    path.write_bytes(desk.jsonl(lines))
    return str(path)


class Lesson:
    """A training in a folder, and what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[Told] = []
        self.order = Order(
            training=written(folder, "train", desk.rows(60)),
            validation=None,
            base=None,
            out=str(folder / "out"),
            cache=str(folder / "cache"),
            seed=5,
            epochs=1,
            multiplier=1.0,
            encoder=False,
        )

    def learn(self, **changes: Any) -> Learnt:
        return learn(msgspec.structs.replace(self.order, **changes), self.told.append)

    def answer(self, card: str) -> str:
        model = tuned.Tuned(self.folder / "out")
        shares = model.shares([Message(one["role"], one["content"]) for one in desk.asked(card)])
        return model.answers[int(shares.argmax())]


def prompts(*texts: str) -> list[list[Message]]:
    return [[Message("system", "Be kind."), Message("user", text)] for text in texts]


def test_what_most_prompts_share_is_not_read() -> None:
    """The list of labels and the frame; what is particular of the last message comes first."""
    frame = "Which?\n- a\n- b\n\n  {}  \nAnswer:"
    many = prompts(*(frame.format(f"text {n}") for n in range(4)))
    shape = Shape.of(many)
    assert shape.common == {"Be kind.", "Which?", "- a", "- b", "Answer:"}
    assert shape.text(many[2]) == "text 2"
    other = [Message("system", "Be quick."), Message("user", "Which?\nnew")]
    assert shape.text(other) == "new\nBe quick."
    assert shape.text(prompts("Which?")[0]) == "Which?"  # nothing is particular
    half = Shape.of([*prompts("x\na", "x\nb"), *[[Message("user", n)] for n in "cd"]])
    assert half.common == frozenset()  # two of four are not most


def test_one_prompt_alone_has_nothing_in_common() -> None:
    """All of it would be."""
    assert Shape.of(prompts("text")).text(prompts("text")[0]) == "text\nBe kind."


def test_a_long_prompt_does_not_hide_what_it_is_about(tmp_path: Path) -> None:
    """The same instructions a thousand words long: the model is the same, byte by byte."""
    lesson = Lesson(tmp_path)
    lesson.learn()
    manifest = (tmp_path / "out" / "bundle" / "manifest.json").read_bytes()
    lines = desk.rows(60)
    for line in lines:
        line["messages"][0]["content"] += "\n" + "\n".join(f"rule {n}: be fair" for n in range(300))
    lesson.learn(training=written(tmp_path, "long", lines), out=str(tmp_path / "long"))
    assert (tmp_path / "long" / "bundle" / "manifest.json").read_bytes() == manifest


def test_a_fifth_is_held_out_where_there_is_no_validation_file(tmp_path: Path) -> None:
    """And the head that is kept has learnt from all."""
    lesson = Lesson(tmp_path)
    made = lesson.learn()
    assert any("a fifth" in told.message for told in lesson.told)
    assert made.best.valid_mean_token_accuracy == 1.0
    assert made.answers == 3
    assert len(tuned.learnt(tmp_path / "out")) == 60
    assert lesson.answer("something about a lysosome maybe") == "REJECT: too vague"


def test_the_strength_with_the_least_loss_is_kept(tmp_path: Path) -> None:
    """T3: labels that are partly wrong make the strengths differ on the validation file."""
    generator = np.random.default_rng(3)
    lines = desk.rows(180)
    for line in lines:
        if generator.random() < 0.3:
            line["messages"][-1]["content"] = str(generator.choice(list(desk.CARDS)))
    made = Lesson(tmp_path).learn(
        training=written(tmp_path, "noisy", lines[:120]),
        validation=written(tmp_path, "held", lines[120:]),
    )
    losses = [step.valid_loss for step in made.steps]
    assert len(set(losses)) == 3
    assert made.best.valid_loss == min(loss for loss in losses if loss is not None)
    train = [step.train_loss for step in made.steps]
    assert train[2] < train[0]  # a greater strength follows the training texts more closely


def test_a_few_right_answers_prove_no_certainty(tmp_path: Path) -> None:
    """Twelve held-out texts, none answered wrongly: scores of some 12 in 13, not 1."""
    Lesson(tmp_path).learn()
    model = bundle.load(tmp_path / "out" / "bundle")
    assert isinstance(model, TextModel)
    texts = [frame.format(f"lysosome {n}") for frame in desk.CARDS.values() for n in range(5)]
    assert 0.8 < model.shares(texts).max(axis=1).mean() < 0.98


def test_answers_that_training_has_not_count_as_wrong(tmp_path: Path) -> None:
    """Told in the events, and no part of the loss."""
    held = [*desk.rows(9, start=500), desk.conversation("a card", "MAYBE")]
    lesson = Lesson(tmp_path)
    made = lesson.learn(validation=written(tmp_path, "held", held))
    [warning] = [told for told in lesson.told if told.level == "warn"]
    assert "1 of 10 validation conversations" in warning.message
    assert made.best.valid_mean_token_accuracy == pytest.approx(0.9)
    assert made.best.valid_loss is not None
    assert np.isfinite(made.best.valid_loss)


def test_a_conversation_counts_as_often_as_there_are_epochs(tmp_path: Path) -> None:
    """Against one of the base's: ten that contradict fifty prevail once they count twenty times."""
    # Other signs, so that each counts by itself, but the same words.
    base = [desk.conversation("a vague thing" + "!" * n, "APPROVE") for n in range(50)]
    base += [desk.conversation("a clear fact" + "!" * n, "REJECT") for n in range(50)]
    lesson = Lesson(tmp_path)
    lesson.learn(training=written(tmp_path, "base", base), out=str(tmp_path / "base"))
    new = [desk.conversation("a vague thing" + "?" * n, "REJECT") for n in range(1, 11)]
    training = written(tmp_path, "new", new)
    for epochs, answer in ((1, "APPROVE"), (20, "REJECT")):
        out = str(tmp_path / str(epochs))
        made = lesson.learn(training=training, base=str(tmp_path / "base"), epochs=epochs, out=out)
        assert made.tokens % epochs == 0
        model = tuned.Tuned(Path(out))
        asked = [Message(one["role"], one["content"]) for one in desk.asked("a vague thing")]
        assert model.answers[int(model.shares(asked).argmax())] == answer


def test_too_many_different_answers_are_told(tmp_path: Path) -> None:
    """Free text is not what such a model learns."""
    lines = [desk.conversation("a card", f"answer {n}") for n in range(MOST + 1)]
    with pytest.raises(Unfit, match="2001 different answers") as caught:
        Lesson(tmp_path).learn(training=written(tmp_path, "free", lines))
    assert caught.value.error.param == "training_file"


def test_a_file_that_was_deleted_meanwhile_is_told(tmp_path: Path) -> None:
    """E4."""
    with pytest.raises(Unfit, match="it was deleted"):
        Lesson(tmp_path).learn(training=str(tmp_path / "none"))


def test_without_an_encoder_tfidf_alone_is_learnt_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A house without the encoder's wheel still fine-tunes."""

    def absent(*_: object) -> encoder.EncoderFiles:
        raise MissingData("install the wheel")

    monkeypatch.setattr(encoder, "find", absent)
    lesson = Lesson(tmp_path)
    lesson.learn(encoder=True)
    [warning] = [told for told in lesson.told if told.level == "warn"]
    assert "install the wheel" in warning.message
    model = bundle.load(tmp_path / "out" / "bundle")
    assert isinstance(model, TextModel)
    assert model.kind == "tfidf-linear"


def test_with_an_encoder_its_embeddings_are_learnt_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tiny random one. What is served is a bundle of kind encoder-head, which says of the
    training texts what was measured of them."""
    files = tiny.write_encoder(tmp_path / "encoder")
    monkeypatch.setattr(encoder, "find", lambda *_: files)
    lesson = Lesson(tmp_path)
    held = written(tmp_path, "held", desk.rows(30, start=500))
    made = lesson.learn(encoder=True, validation=held)
    assert any(told.message.startswith("embedding texts: 90 of 90") for told in lesson.told)
    model = bundle.load(tmp_path / "out" / "bundle")
    assert isinstance(model, TextModel)
    assert model.kind == "encoder-head"
    rows = tuned.learnt(tmp_path / "out")
    shares = model.shares([row.text for row in rows])
    right = [shares[n, model.labels.index(row.answer)] for n, row in enumerate(rows)]
    assert -np.log(right).mean() == pytest.approx(made.best.train_loss, rel=1e-4)


def test_shares_are_the_scores_of_all_labels(tmp_path: Path) -> None:
    """What `predict` says of the best label, for every one."""
    Lesson(tmp_path).learn()
    model = bundle.load(tmp_path / "out" / "bundle")
    assert isinstance(model, TextModel)
    texts = ["something about a lysosome maybe", "what is it"]
    shares = model.shares(texts)
    assert shares.sum(axis=1) == pytest.approx(1)
    for row, made in zip(shares, model.predict(texts), strict=True):
        assert (model.labels[int(row.argmax())], row.max()) == (made.label, made.score)


def test_messages_may_carry_names_and_weights(tmp_path: Path) -> None:
    """As in a provider's files; neither is learnt from."""
    line = desk.conversation("a card", "APPROVE")
    line["messages"][1]["name"] = "ana"
    line["messages"][2]["weight"] = 1
    [found] = read(Path(written(tmp_path, "named", [line])))
    assert found.answer == "APPROVE"
    assert [one.role for one in found.asked] == ["system", "user"]
