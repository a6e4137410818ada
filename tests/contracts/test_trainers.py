"""What every `ports.Trainer` does: the same suite over every backend."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from greenlight.adapters.trainers import TRAINERS
from greenlight.adapters.trainers.encoder_finetune import EncoderFinetuneTrainer
from greenlight.adapters.trainers.encoder_head import EncoderHeadTrainer
from greenlight.config.making import TAGGERS, TALKERS
from greenlight.core import fingerprint
from greenlight.core.errors import BadInput, MissingData
from greenlight.models import bundle
from greenlight.ports import Example, Progress, Trained, Trainer
from tests.models import tiny

LABELS = ["pin", "card", "money"]
TRAIN, VALIDATION, TEST = tiny.examples(90, 1), tiny.examples(30, 2), tiny.examples(60, 3)


CLASSIFIERS = [name for name in TRAINERS if name not in TAGGERS | TALKERS]
"""Those that give a text a label by themselves; taggers and what teaches language models have
tests of their own (tests/models)."""


def needing(name: str) -> Any:
    """A backend, and what it needs of the machine."""
    marks = [pytest.mark.needs("torch")] if name == "encoder-finetune" else []
    return pytest.param(name, marks=marks)


@pytest.fixture(params=[needing(name) for name in CLASSIFIERS])
def trainer(request: pytest.FixtureRequest, tmp_path: Path) -> Trainer:
    if request.param == "encoder-head":
        files = tiny.write_encoder(tmp_path / "encoder")
        return EncoderHeadTrainer(lambda _: files, tmp_path / "cache")
    if request.param == "encoder-finetune":
        files = tiny.write_encoder(tmp_path / "encoder")
        return EncoderFinetuneTrainer(lambda _: files, threads=1)
    return TRAINERS[request.param]()


def quiet(_share: float, _words: str) -> None:
    """No progress."""


def fit(trainer: Trainer, out: Path, progress: Progress = quiet, **changes: Any) -> Trained:
    given: dict[str, Any] = {
        "train": TRAIN,
        "validation": VALIDATION,
        "labels": LABELS,
        "config": {},
        "seed": 0,
    }
    return trainer.train(**(given | changes), out=str(out), progress=progress)


def digest(trained: Trained) -> str:
    return fingerprint.digest_bytes(Path(trained.folder, "manifest.json").read_bytes())


def accuracy(folder: str, examples: Sequence[Example]) -> float:
    answers = bundle.load(folder).predict([example.text for example in examples])
    right = [answer.label == e.label for answer, e in zip(answers, examples, strict=True)]
    return sum(right) / len(right)


def test_it_learns_and_knows_its_name(trainer: Trainer, tmp_path: Path) -> None:
    """T3: the name is that of the configuration; unseen texts are told apart."""
    trained = fit(trainer, tmp_path / "out")
    assert TRAINERS[trainer.name]().name == trainer.name
    assert bundle.load(trained.folder).kind == trainer.name
    assert accuracy(trained.folder, TEST) > 0.9


def test_shuffled_labels_teach_nothing(trainer: Trainer, tmp_path: Path) -> None:
    """No leak: with labels dealt out at random the unseen texts are guessed."""
    train, validation = (
        [Example(e.text, LABELS[n % 3]) for n, e in enumerate(sorted(rows, key=lambda e: e.text))]
        for rows in (TRAIN, VALIDATION)
    )
    trained = fit(trainer, tmp_path / "out", train=train, validation=validation)
    assert accuracy(trained.folder, TEST) < 0.6


def test_same_arguments_same_bytes(trainer: Trainer, tmp_path: Path) -> None:
    """T3: also the second time, when the embeddings are remembered; other data, other bytes."""
    first = digest(fit(trainer, tmp_path / "1"))
    assert digest(fit(trainer, tmp_path / "2")) == first
    assert digest(fit(trainer, tmp_path / "3", train=TRAIN[:-1])) != first


def test_settings_matter_and_are_checked(trainer: Trainer, tmp_path: Path) -> None:
    """An unknown name or an impossible value is refused; the message lists the names."""
    plain = digest(fit(trainer, tmp_path / "1"))
    assert digest(fit(trainer, tmp_path / "2", config={"C": 1.0})) == plain
    assert digest(fit(trainer, tmp_path / "3", config={"C": 0.1})) != plain
    for config in ({"c": 1.0}, {"C": -1.0}, {"C": "much"}):
        with pytest.raises(BadInput, match=r"config: .*known: C"):
            fit(trainer, tmp_path / "4", config=config)


def test_the_report_can_be_recorded(trainer: Trainer, tmp_path: Path) -> None:
    """T3: plain JSON with accuracies, their gap, beta and seconds."""
    report = fit(trainer, tmp_path / "out").report
    fingerprint.canonical(report)
    assert report["train_val_gap"] == report["train_accuracy"] - report["validation_accuracy"]
    assert 0.8 < report["validation_accuracy"] <= 1
    assert report["beta"] > 0
    assert report["seconds"] > 0
    assert (report["train_texts"], report["validation_texts"]) == (90, 30)


def test_progress_only_goes_forward(trainer: Trainer, tmp_path: Path) -> None:
    """From 0 to 1, with words."""
    shown: list[tuple[float, str]] = []
    fit(trainer, tmp_path / "out", lambda share, words: shown.append((share, words)))
    shares = [share for share, _ in shown]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] == pytest.approx(1.0)
    assert all(words for _, words in shown)


def test_data_that_does_not_fit_is_refused(trainer: Trainer, tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(BadInput, match="not listed: pin"):
        fit(trainer, tmp_path / "out", labels=["card", "money"])
    assert not (tmp_path / "out").exists()


def test_an_encoder_in_float32_is_another_bundle(tmp_path: Path) -> None:
    """`quantised` and `embedding_weight` are settings of encoder-head; its embeddings matter."""
    files = tiny.write_encoder(tmp_path / "encoder")
    trainer = EncoderHeadTrainer(lambda _: files, tmp_path / "cache")
    settings: list[dict[str, Any]] = [{}, {"quantised": False}, {"embedding_weight": 0.5}]
    digests = {
        digest(fit(trainer, tmp_path / str(number), config=config))
        for number, config in enumerate(settings)
    }
    assert len(digests) == 3
    with pytest.raises(BadInput, match="known: C, embedding_weight, quantised"):
        fit(trainer, tmp_path / "none", config={"layers": 3})


def test_no_encoder_is_said_before_any_work(tmp_path: Path) -> None:
    """The demo then takes char-ngram instead."""

    def find(_progress: Progress) -> Any:
        raise MissingData("nowhere: install the wheel")

    with pytest.raises(MissingData, match="install the wheel"):
        fit(EncoderHeadTrainer(find, tmp_path / "cache"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def banking77(name: str) -> list[Example]:
    path = Path(os.environ["GREENLIGHT_DATASETS"], "banking77", name)
    with path.open(encoding="utf-8", newline="") as file:
        return [Example(row["text"], row["category"]) for row in csv.DictReader(file)]


def dealt(examples: Sequence[Example], skip: int, count: int) -> list[Example]:
    """`count` examples of every label, after the first `skip`."""
    by_label = defaultdict(list)
    for example in examples:
        by_label[example.label].append(example)
    return [example for label in sorted(by_label) for example in by_label[label][skip:][:count]]


@pytest.mark.needs("data")
def test_tfidf_linear_on_banking77(tmp_path: Path) -> None:
    """T3: .897 on test, as in the trial."""
    rows = banking77("train.csv")
    validation = dealt(rows, 0, 3)
    held_out = set(validation)
    trained = fit(
        TRAINERS["tfidf-linear"](),
        tmp_path / "out",
        train=[row for row in rows if row not in held_out],
        validation=validation,
        labels=sorted({row.label for row in rows}),
    )
    assert accuracy(trained.folder, banking77("test.csv")) > 0.89


@pytest.mark.needs("data", "encoder")
def test_the_encoder_earns_its_keep(tmp_path: Path) -> None:
    """T3: with six examples per label it is far ahead of TF-IDF alone."""
    rows, test = banking77("train.csv"), dealt(banking77("test.csv"), 0, 4)
    given: dict[str, Any] = {
        "train": dealt(rows, 3, 6),
        "validation": dealt(rows, 0, 3),
        "labels": sorted({row.label for row in rows}),
    }
    found = {
        trainer.name: accuracy(fit(trainer, tmp_path / trainer.name, **given).folder, test)
        for trainer in (TRAINERS["tfidf-linear"](), EncoderHeadTrainer(cache=tmp_path / "cache"))
    }
    assert found["encoder-head"] > 0.75
    assert found["encoder-head"] > found["tfidf-linear"] + 0.05
