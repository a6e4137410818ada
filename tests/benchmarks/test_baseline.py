"""Plain taggers (T7, E3): a floor that any tagger must clear, and what their words are worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.baseline.words import TAGGERS, by_phrase, by_word
from benchmarks.examples import page, texts
from benchmarks.examples.__main__ import entities, intents
from eval import ner_eval
from greenlight import artifacts
from greenlight.adapters.trainers.sparse import SparseTrainer
from greenlight.core import tagging
from greenlight.models.features import WORDS
from greenlight.ports import Example, Prediction
from tests.models import tiny

TRAIN = (
    Example("Anna went to New York", "B-person O O B-location I-location"),
    Example("new york is far", "B-location I-location O O"),
    Example("York is small", "B-location O O"),
    Example("a new day for Anna", "O O O O B-person"),
    Example("anna is a band", "B-group O O O"),
    Example("is it far ?", "O O O O"),
)


def test_a_tagger_that_finds_nothing_scores_nothing() -> None:
    """E3: however many words are O."""
    silent = TAGGERS["every word O"](TRAIN)
    gold = [row.label for row in TRAIN]
    judged = ner_eval.evaluate(gold, [silent(row.text) for row in TRAIN], tagging.tag_set(gold))
    assert judged["token_micro_f1"]["value"] == 0.0
    assert judged["outside"] > 0.6


@pytest.mark.parametrize(
    ("text", "word", "phrase"),
    [
        (
            "ANNA in New York",
            "B-person O B-location I-location",
            "B-person O B-location I-location",
        ),
        ("york is new", "I-location O B-location", "O O O"),
        ("Bob is new york", "O O B-location I-location", "O O B-location I-location"),
        ("nobody", "O", "O"),
    ],
)
def test_what_was_seen_is_found_again(text: str, word: str, phrase: str) -> None:
    """The longest phrase first; the more frequent type; of equal ones the first by name."""
    assert by_word(TRAIN)(text) == word
    assert by_phrase(TRAIN)(text) == phrase


def test_a_phrase_that_is_seldom_a_name_is_no_name() -> None:
    rows = [Example("Will is here", "B-person O O"), Example("she will ; he will", "O O O O O")]
    assert by_phrase(rows)("will") == "O"
    assert by_phrase(rows[:1])("will") == "B-person"


def test_examples_are_whole_and_their_own() -> None:
    """Every entity that would be right stands in its text; no text is asked twice."""
    for sentence in texts.SENTENCES:
        for entity in filter(None, sentence.right.split("), ")):
            name = entity.rsplit(" (", 1)[0]
            assert f" {name} " in f" {sentence.text} "
    asked = [*(it.text for it in texts.QUESTIONS), *(it.text for it in texts.SENTENCES)]
    assert len(set(asked)) == len(asked)


class Tagger:
    """Tags the first two words, whatever they are."""

    def predict(self, asked: Sequence[str]) -> list[Prediction]:
        """Tags, with a space between them."""
        return [
            Prediction(" ".join(["B-x", "I-x", *["O"] * (len(text.split()) - 2)]), 0.5)
            for text in asked
        ]


def test_a_bundle_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """X2: what stands on the page is what the named bundle said, word for word."""
    SparseTrainer("tfidf-linear", WORDS).train(
        train=tiny.examples(60, 1),
        validation=tiny.examples(20, 2),
        labels=sorted(tiny.THEMES),
        config={},
        seed=1,
        out=str(tmp_path / "bundle"),
        progress=lambda *_: None,
    )
    asked = [texts.Question("please send my money", "money", "plain")]
    found = intents(tmp_path / "bundle", asked)
    assert found["rows"][0]["label"] == "money"
    assert found["rows"][0]["oos"] is None
    artifacts.unseal(tmp_path / "bundle", found["bundle"])
    monkeypatch.setattr("greenlight.models.bundle.load", lambda _: Tagger())
    tagged = entities(tmp_path / "bundle", [texts.Sentence("Mira Okonkwo waved", "so", "plain")])
    assert tagged["rows"][0]["found"] == "Mira Okonkwo (x)"


def row(right: str, label: str, oos: bool | None) -> dict[str, object]:
    return {"text": "t", "right": right, "why": "w", "label": label, "score": 0.5, "oos": oos} | {
        "oos_score": None if oos is None else 1.25
    }


def test_mistakes_are_named_as_such() -> None:
    """X2: an answer is right, wrong, or kept although nothing fits."""
    rows = [
        row("a or b", "b", False),
        row("a", "c", False),
        row("a", "a", True),
        row("", "a", True),
        row("", "a", False),
        row("", "a", None),
    ]
    found = {
        "provenance": {"command": "c", "commit": "0" * 40, "at": "2026-01-01T00:00:00"},
        "intent": {"bundle": "sha256:b", "rows": rows},
        "entities": {
            "bundle": "sha256:n",
            "rows": [
                {"text": "t", "right": "A (b)", "found": "A (b)", "why": "w", "score": 0.5},
                {"text": "t", "right": "A (b)", "found": "", "why": "w", "score": 0.5},
            ],
        },
    }
    text = "\n".join(page.block(found))
    assert "of 3 texts that have a label 2 got it, and 1 were called out of scope" in text
    assert "of 3 that have none 1 were called out of scope" in text
    assert text.count("| right |") == 2
    assert text.count("**wrong**") == 1
    assert text.count("**kept**") == 2
    assert text.count("| right, and **called out of scope** |") == 1
    assert "| A (b) | nothing | **not as it should be** |" in text
    shown = "\n".join(page.block({name: it for name, it in found.items() if name != "entities"}))
    assert "### Entities" not in shown
