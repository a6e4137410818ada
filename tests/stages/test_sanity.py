"""Sanity (T7): the same trainer on shuffled labels, and what it may cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from greenlight.adapters.trainers import TRAINERS
from greenlight.core.curation import Row
from greenlight.core.errors import NotFound
from greenlight.core.records import LedgerEntry, StageResult
from greenlight.models import bundle
from greenlight.ports import Example, Prediction, Progress, Trained, Trainer
from greenlight.ports.source import NO_PROMPTS, Prompts
from greenlight.stages.sanity import TEST_ROWS, TRAINING_ROWS, sanity
from greenlight.testing import step
from tests.models import tiny
from tests.stages.preparing import Place, Rows

THEMES = sorted(tiny.THEMES)


class Memory:
    """A trainer and its model at once: it knows every text that it was shown with its true label,
    and where `leaks` says so it does not care what it was told."""

    name = "memory"

    def __init__(self, true: Mapping[str, str], *, free: bool = True, leaks: bool = False) -> None:
        self.free = free
        self.labels: Sequence[str] = THEMES
        self._true, self._leaks = true, leaks
        self.shown: list[Example] = []
        self.config: Mapping[str, Any] = {}

    def train(
        self,
        *,
        train: Sequence[Example],
        validation: Sequence[Example],
        labels: Sequence[str],
        config: Mapping[str, Any],
        seed: int,
        out: str,
        progress: Progress,
        prompts: Prompts = NO_PROMPTS,
    ) -> Trained:
        self.shown = [*train, *validation]
        self.config = config
        Path(out).mkdir(parents=True)
        return Trained(folder=out, report={})

    def load(self, folder: str) -> Memory:
        assert Path(folder).is_dir()
        return self

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        told = Counter(row.label for row in self.shown).most_common(1)[0][0]
        return [Prediction(self._true[t] if self._leaks else told, None) for t in texts]


def source(rows: int, test: int) -> Rows:
    def made(count: int, seed: int, kind: str) -> list[Row]:
        return [
            Row(f"{row.text} {kind} {n}", row.label)
            for n, row in enumerate(tiny.examples(count, seed))
        ]

    return Rows(train=made(rows, 1, "learnt"), test=made(test, 2, "asked"))


def check(place: Place, digest: str, trainer: Any, load: Any, **config: Any) -> StageResult:
    return sanity(
        place.records,
        place.processed,
        trainer,
        load,
        step=step("sanity", run=f"intent#{len(place.records.scan(StageResult)) + 10}"),
        dataset_digest=digest,
        config=config,
        seed=7,
        workdir=place.work,
        now=lambda: 4,
        progress=lambda *_: None,
    )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_real_trainer_lands_at_chance(place: Place) -> None:
    """With the settings of the training; nothing stays in the folder for what is half made."""
    data = place.prepare(source(300, 120))
    trainer: Trainer = TRAINERS["tfidf-linear"]()
    done = check(place, data.digest, trainer, bundle.load, C=2.0)
    found = done.report["shuffled_labels"]
    assert found["at_chance"]
    assert found["accuracy"]["n"] == 120
    assert found["accuracy"]["value"] < 0.6 < 0.9
    assert found["accuracy"]["low"] < found["accuracy"]["value"] < found["accuracy"]["high"]
    assert found["rows"]["train"] == found["of"]["train"]
    assert place.nothing_is_left()
    assert place.records.get(StageResult, done.run, "sanity") == done
    assert place.records.scan(LedgerEntry)[-1].kind == "stage"
    again = check(place, data.digest, TRAINERS["tfidf-linear"](), bundle.load, C=2.0)
    assert again.output == done.output


def test_what_the_trainer_is_shown(place: Place) -> None:
    """Every label keeps its count, in train and in validation, and hardly a row keeps its label."""
    rows = source(200, 60)
    data = place.prepare(rows)
    true = {row.text: row.label for row in (*rows.train, *rows.test)}
    trainer = Memory(true)
    check(place, data.digest, trainer, trainer.load, depth=3)
    kept = [row for row in trainer.shown if true[row.text] == row.label]
    assert Counter(row.label for row in trainer.shown) == Counter(
        true[row.text] for row in trainer.shown
    )
    assert len(trainer.shown) == sum(data.manifest["counts"][it] for it in ("train", "validation"))
    assert 0.15 < len(kept) / len(trainer.shown) < 0.5
    assert trainer.config == {"depth": 3}


def test_a_trainer_that_knows_the_true_labels_is_found_out(place: Place) -> None:
    rows = source(200, 60)
    data = place.prepare(rows)
    trainer = Memory({row.text: row.label for row in rows.test}, leaks=True)
    found = check(place, data.digest, trainer, trainer.load).report["shuffled_labels"]
    assert found["accuracy"]["value"] == 1.0
    assert not found["at_chance"]


def test_a_part_of_many_rows_is_enough(place: Place) -> None:
    rows = source(TRAINING_ROWS + 800, TEST_ROWS + 100)
    data = place.prepare(rows)
    trainer = Memory({row.text: row.label for row in rows.test})
    found = check(place, data.digest, trainer, trainer.load).report["shuffled_labels"]
    assert found["rows"]["train"] <= TRAINING_ROWS < found["of"]["train"]
    assert found["rows"]["test"] == found["accuracy"]["n"] <= TEST_ROWS < found["of"]["test"]
    assert {row.label for row in trainer.shown} == set(THEMES)


def test_a_training_that_costs_money_is_not_made(place: Place) -> None:
    data = place.prepare(source(100, 20))
    trainer = Memory({}, free=False)
    done = check(place, data.digest, trainer, trainer.load)
    assert trainer.shown == []
    assert done.report == {"reason": "not measured: a training with memory costs money"}
    assert done.output["sanity"].startswith("sha256:")


def test_an_unknown_dataset(place: Place) -> None:
    trainer = Memory({})
    with pytest.raises(NotFound):
        check(place, "sha256:" + "0" * 64, trainer, trainer.load)
