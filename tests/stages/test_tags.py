"""Tasks that tag words, through evaluation, sanity and the seal (E1–E3, T7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight.core import gates, tagging
from greenlight.core.curation import Row
from greenlight.core.errors import BadInput
from greenlight.core.evaluation import merge
from greenlight.core.policy import GateRule
from greenlight.core.records import StageResult, Version
from greenlight.ports import Example, Prediction, Progress, Trained
from greenlight.ports.source import NO_PROMPTS, Prompts
from greenlight.stages.compare import compare
from greenlight.stages.sanity import sanity
from greenlight.testing import step
from tests.stages.judging import Bench
from tests.stages.preparing import Place, Rows

PLACES = ("Oslo", "Rome", "Lima", "Bonn")
PEOPLE = ("Ana", "Bea", "Cem", "Dan")
TAGS = ["B-person", "B-place", "I-person", "I-place", "O"]
TRAINING = {"train_token_micro_f1": 0.9, "validation_token_micro_f1": 0.8}


def rows(word: str, count: int) -> list[Row]:
    """Sentences with a person and a place each."""
    return [
        Row(f"{word}{n} {PEOPLE[n % 4]} in {PLACES[n % 3]}", "O B-person O B-place")
        for n in range(count)
    ]


SOURCE = Rows(train=rows("a", 40), validation=rows("b", 8), test=rows("c", 60))


class Names:
    """Knows names; those on a list it takes for nothing."""

    def __init__(self, missed: Sequence[str]) -> None:
        self.labels: Sequence[str] = TAGS
        self._missed = missed

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        return [
            Prediction(tagging.join(self._tag(word) for word in tagging.words(text)), 0.9)
            for text in texts
        ]

    def _tag(self, word: str) -> str:
        if word in self._missed:
            return "O"
        return "B-person" if word in PEOPLE else "B-place" if word in PLACES else "O"


class TagBench(Bench):
    """The bench, with tagged rows and models that know names."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.dataset = self.prepare(SOURCE, kind="tag")

    def tagger(self, label: str = "intent@1", missed: Sequence[str] = ()) -> Version:
        return self.version(label, labels=TAGS, missed=list(missed))

    def _load(self, version: Version) -> Any:
        folder = self.bundles.path(version.bundle)
        manifest = msgspec.json.decode(Path(folder, "manifest.json").read_bytes())
        return Names(manifest["missed"])


@pytest.fixture
def bench(tmp_path: Path) -> TagBench:
    return TagBench(tmp_path)


def test_the_document(bench: TagBench) -> None:
    """E2, E3: `ner.test.token_micro_f1` with its interval, and no part `intent`."""
    case = bench.case(bench.tagger(missed=["Ana"]), training=TRAINING)
    document = bench.evaluate(case).document
    assert "intent" not in document
    test = document["ner"]["test"]
    hits, missed = 60 + 45, 15
    assert test["token_micro_f1"]["value"] == 2 * hits / (2 * hits + missed)
    assert test["token_micro_f1"]["low"] < test["token_micro_f1"]["value"]
    assert test["labels"] == TAGS and test["sentences"] == 60
    assert document["ner"]["train"] == {"token_micro_f1": {"value": 0.9}}
    assert document["protocol"]["module"] == "eval.ner_eval"
    assert document["ner"]["slices"]


def test_the_gap_is_of_token_f1_and_warns_above_5_points(bench: TagBench) -> None:
    """T7: never a block."""
    document = bench.evaluate(bench.case(bench.tagger(), training=TRAINING)).document
    [warning] = document["warnings"]
    assert warning["metric"] == "token_train_val_gap" and "token F1 on train" in warning["reason"]
    rules = {"token_micro_f1": GateRule(min=0.45), "exact_match": GateRule(min=0.9)}
    found = gates.check(document, rules)
    assert [one.outcome for one in found] == ["pass", "pass", "warn"]
    quiet = {"train_token_micro_f1": 0.85, "validation_token_micro_f1": 0.8}
    assert not bench.evaluate(bench.case(bench.tagger(), training=quiet)).document["warnings"]


def test_against_the_live_version_by_sentences_and_by_words(bench: TagBench) -> None:
    live, better = bench.tagger("intent@1", missed=["Ana", "Oslo"]), bench.tagger("intent@2")
    document = bench.evaluate(bench.case(better, training=TRAINING, live=live)).document
    told = document["live"]
    assert told["exact_match"]["value"] == told["only_candidate"] / 60 == 0.5
    f1 = told["token_micro_f1"]
    assert f1["value"] == pytest.approx(1 - 2 * 85 / (2 * 85 + 35))
    assert 0 < f1["low"] < f1["value"] < f1["high"]
    rule = {"token_micro_f1": GateRule(min_delta=0.0, bound="lower")}
    assert [one.outcome for one in gates.check(document, rule)][:2] == ["pass", "pass"]


def test_a_part_of_the_other_kind_is_none_of_this_task(bench: TagBench) -> None:
    case = bench.case(bench.tagger(), training=TRAINING)
    with pytest.raises(BadInput, match="has the part ner"):
        bench.measure(case, wanted=["intent"])
    assert [part.part for part in bench.measure(case, wanted=["ner"])] == ["ner"]


def test_the_document_of_a_release_holds_both(bench: TagBench, tmp_path: Path) -> None:
    """E2: one eval.json; the tagger's part names the version that it is of."""
    [ner] = bench.measure(bench.case(bench.tagger(), training=TRAINING), wanted=["ner"])
    other = Bench(tmp_path / "other")
    parts = other.measure(other.case())
    document = merge([*parts, ner])
    assert document["task"] == "intent" and document["version"] == parts[0].subject.version
    assert document["ner"]["subject"]["version"] == ner.subject.version
    assert document["ner"]["subject"]["protocol"]["module"] == "eval.ner_eval"
    assert document["intent"]["test"]["accuracy"]["value"] == 1.0
    alien = msgspec.structs.replace(ner, subject=msgspec.structs.replace(ner.subject, code="x"))
    with pytest.raises(BadInput, match="part ner was made with another code than part intent"):
        merge([*parts, alien])


def test_two_versions_are_compared_by_whole_sentences(bench: TagBench) -> None:
    """E4: and no list of labels, of which there are as many as sentences."""
    found = compare(
        bench.records,
        bench.processed,
        bench.predictor,
        bench.tagger("intent@1", missed=["Ana"]),
        bench.tagger("intent@2"),
        dataset=bench.dataset.digest,
        progress=lambda *_: None,
    )
    assert found.a.accuracy["value"] == 0.75 and found.b.accuracy["value"] == 1.0
    assert found.comparison.labels == [] and len(found.differences) == 15


class Most:
    """A trainer whose model gives every word the tag that it was shown most for it."""

    name = "most"
    free = True

    def __init__(self) -> None:
        self.labels: Sequence[str] = TAGS
        self.shown: list[Example] = []

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
        Path(out).mkdir(parents=True)
        return Trained(folder=out, report={})

    def load(self, folder: str) -> Most:
        assert Path(folder).is_dir()
        return self

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        return [Prediction("O " * len(text.split()), None) for text in texts]


def test_shuffled_tags_stay_as_many_and_as_frequent(tmp_path: Path) -> None:
    """T7: each word gets another's tag, so that nothing can be learnt of words."""
    place, trainer = Place(tmp_path), Most()
    dataset = place.prepare(SOURCE, kind="tag")
    done: StageResult = sanity(
        place.records,
        place.processed,
        trainer,
        trainer.load,
        step=step("sanity", run="intent#3"),
        dataset_digest=dataset.digest,
        config={},
        seed=1,
        workdir=place.work,
        now=lambda: 1,
        progress=lambda *_: None,
    )
    for row in trainer.shown:
        tagging.check(row.text, row.label)
    true = place.rows(dataset, "train")
    given = [row.label for row in trainer.shown[: len(true)]]
    assert given != [row.label for row in true]
    for tag in ("B-person", "B-place", "O"):
        assert tagging.of_words(given).count(tag) == tagging.of_words(
            row.label for row in true
        ).count(tag)
    found = done.report["shuffled_labels"]
    assert found["at_chance"] and found["chance"] == found["accuracy"]["value"] == 0.5
    assert found["accuracy"]["n"] == 240
