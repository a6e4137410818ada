"""The frozen protocol for tags (E1, E3), against numbers worked out by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eval import ner_eval
from eval.ner_eval import evaluate, token_counts
from greenlight.core.errors import BadInput
from greenlight.core.stats.resampling import micro_f1

LABELS = ["B-place", "B-person", "I-place", "I-person", "O"]
GOLD = ["B-place I-place O", "O B-person", "O O O O", "B-person I-person"]
SAID = ["B-place O O", "O B-place", "O B-person O O", "B-person I-person"]


def test_by_hand() -> None:
    """Hits 3; of five tags given two are wrong; of five there are two are missed."""
    found = evaluate(GOLD, SAID, LABELS)
    assert found["token_micro_f1"]["value"] == pytest.approx(3 / 5)
    assert (found["token_precision"], found["token_recall"]) == (3 / 5, 3 / 5)
    assert (found["entity_precision"], found["entity_recall"]) == (1 / 4, 1 / 3)
    assert found["entity_micro_f1"]["value"] == pytest.approx(2 / 7)
    assert found["exact"]["correct"] == 1 and found["exact"]["n"] == 4
    assert (found["words"], found["sentences"], found["unanswered"]) == (11, 4, 0)
    assert found["outside"] == 6 / 11
    person, place = found["per_type"]
    assert (person["type"], person["support"], person["recall"]) == ("person", 2, 1 / 2)
    assert (place["type"], place["support"], place["f1"]) == ("place", 1, 0.0)
    assert found["confusion"][LABELS.index("B-person")] == [1, 1, 0, 0, 0]
    for name in ("token_micro_f1", "entity_micro_f1"):
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]


def test_a_tagger_that_finds_nothing_scores_0() -> None:
    """HABITS: the share of O tags is no score, however high."""
    gold = ["O " * 19 + "B-place"] * 30
    found = evaluate(gold, ["O " * 20] * 30, LABELS)
    assert found["outside"] == 0.95
    for name in ("token_micro_f1", "entity_micro_f1"):
        assert found[name] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found["token_precision"] is None and found["token_recall"] == 0.0


def test_a_wrong_begin_is_a_wrong_tag_and_the_right_entity_needs_its_whole_span() -> None:
    """E3: exact tag match per token; O is never a hit."""
    found = evaluate(["B-place I-place"], ["I-place I-place"], LABELS)
    assert found["token_micro_f1"]["value"] == 0.5
    assert found["entity_micro_f1"]["value"] == 1.0, "conlleval: a stray I begins an entity"


def test_without_an_entity_there_is_no_f1() -> None:
    found = evaluate(["O O"], ["O O"], LABELS)
    for name in ("token_micro_f1", "entity_micro_f1"):
        assert found[name] == {"reason": "cannot compute: there is no entity, in gold or predicted"}
    assert found["exact"]["value"] == 1.0


@pytest.mark.parametrize("said", ["", "B-place", "B-place I-place O"])
def test_a_sentence_that_is_not_answered_counts_as_outside(said: str) -> None:
    found = evaluate(["B-place I-place"], [said], LABELS)
    assert found["unanswered"] == 1
    assert found["token_micro_f1"]["value"] == 0.0
    assert found["confusion"][0] == [0, 0, 0, 0, 1]


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """95 % of sets of 150 sentences; of 40 sets fewer than 31 would be 1 in 10,000."""
    import numpy as np

    rng = np.random.default_rng(1)
    truth = 2 * 0.7 / (1 + 0.7)  # every entity there is is one word; 70 % are found, none made up
    covered = 0
    for _ in range(40):
        found = rng.random(150) < 0.7
        counts = np.stack([found, np.zeros(150), ~found], axis=1).astype(int)
        interval = ner_eval._measured("token", counts)["token_micro_f1"]
        covered += interval["low"] <= truth <= interval["high"]
    assert covered >= 31


def test_the_same_predictions_have_the_same_interval() -> None:
    assert evaluate(GOLD, SAID, LABELS) == evaluate(GOLD, SAID, LABELS)


def test_the_counts_that_versions_are_compared_by() -> None:
    counts = token_counts(GOLD, SAID)
    assert counts.tolist() == [[1, 0, 1], [0, 1, 1], [0, 1, 0], [2, 0, 0]]
    assert micro_f1(counts) == evaluate(GOLD, SAID, LABELS)["token_micro_f1"]["value"]


@pytest.mark.parametrize(
    ("gold", "said", "labels", "says"),
    [
        ([], [], LABELS, "0 sentences"),
        (["O"], [], LABELS, "1 sentences, 0 predicted"),
        ([" "], ["O"], LABELS, "without words"),
        (["B-food"], ["O"], LABELS, "gold tag 'B-food': not one of the 5 tags"),
        (["O"], ["B-food"], LABELS, "predicted tag 'B-food'"),
        (["B-place"], ["B-place"], ["B-place"], "O is missing"),
        (["O"], ["O"], ["O", "O"], "named twice"),
    ],
)
def test_what_cannot_be_judged(
    gold: list[str], said: list[str], labels: list[str], says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        evaluate(gold, said, labels)


def test_alone(tmp_path: Path) -> None:
    """E1: runnable by itself, its exit code by the gates."""
    file = tmp_path / "predictions.jsonl"
    lines = [{"gold": true, "predicted": said} for true, said in zip(GOLD, SAID, strict=True)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    def run(*gates: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "eval.ner_eval", str(file), *gates]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    met = run("--min", "token_micro_f1=0.6")
    document: dict[str, Any] = json.loads(met.stdout)
    assert (met.returncode, document["token_micro_f1"]["value"]) == (0, 0.6)
    missed = run("--min", "token_micro_f1.low=0.6")
    assert missed.returncode == 1 and "MISSED: token_micro_f1.low" in missed.stderr
