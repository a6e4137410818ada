"""The frozen protocol (E1, E2, E3) against numbers worked out by hand and by brute force."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval import intent_eval
from eval.intent_eval import evaluate
from greenlight.core import fingerprint
from greenlight.core.errors import BadInput

LABELS = ["a", "b", "c"]
GOLD = ["a", "a", "a", "b", "b", "a"]
PREDICTED = ["a", "a", "b", "b", "a", "a"]
SCORES = [0.9, 0.8, 0.6, 0.7, 0.55, 1.0]


def test_by_hand() -> None:
    found = evaluate(GOLD, PREDICTED, SCORES, LABELS)
    assert found["accuracy"]["correct"] == 4
    assert found["accuracy"]["n"] == 6
    assert found["accuracy"]["value"] == 4 / 6
    # Wilson, z = 1.959964: centre .6016 and half width .3015 of 4 in 6.
    assert found["accuracy"]["low"] == pytest.approx(0.29999, abs=1e-4)
    assert found["accuracy"]["high"] == pytest.approx(0.90323, abs=1e-4)
    assert found["confusion"] == [[3, 1, 0], [1, 1, 0], [0, 0, 0]]
    a, b, c = found["per_label"]
    assert a == {"label": "a", "precision": 0.75, "recall": 0.75, "f1": 0.75, "support": 4}
    assert b == {"label": "b", "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert c == {"label": "c", "precision": None, "recall": None, "f1": None, "support": 0}
    assert found["macro_f1"]["value"] == 0.625
    # Bins ((i-1)/15, i/15]: .55 | .6 | .7 | .8 | .9 | 1.0, each alone.
    gaps = [0.1, 0.2, 0.6, 0.3, 0.55, 0.0]
    assert found["ece"] == {"value": pytest.approx(sum(gaps) / 6), "bins": 15}


def test_a_missing_score_leaves_no_number() -> None:
    """What cannot be computed never looks like a number."""
    found = evaluate(GOLD, PREDICTED, [*SCORES[:-1], None], LABELS)
    assert found["ece"] == {"reason": "cannot compute: 1 of 6 predictions have no score"}
    assert found["reliability"] == []
    assert found["accuracy"] == evaluate(GOLD, PREDICTED, SCORES, LABELS)["accuracy"]


def test_an_answer_without_a_label_is_wrong() -> None:
    """It counts against its true label, and for no label."""
    found = evaluate(["a", "a", "b"], ["a", "", "b"], [0.5, None, 0.5], LABELS)
    assert found["accuracy"]["correct"] == 2
    assert found["unanswered"] == 1
    assert found["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    a = found["per_label"][0]
    assert (a["precision"], a["recall"], a["support"]) == (1.0, 0.5, 2)


def test_reliability_is_what_the_calibration_error_is_made_of() -> None:
    found = evaluate(GOLD, PREDICTED, SCORES, LABELS)
    bins = found["reliability"]
    assert sum(it["n"] for it in bins) == 6
    gaps = [it["n"] * abs(it["accuracy"] - it["score"]) / 6 for it in bins]
    assert sum(gaps) == pytest.approx(found["ece"]["value"])
    assert all(it["low"] < it["score"] <= it["high"] + 1e-12 for it in bins)


def test_calibration_is_judged_per_bin() -> None:
    gold, predicted = ["a"] * 10, ["a"] * 7 + ["b"] * 3
    assert evaluate(gold, predicted, [0.7] * 10, LABELS)["ece"]["value"] == pytest.approx(0)
    assert evaluate(gold, predicted, [1.0] * 10, LABELS)["ece"]["value"] == pytest.approx(0.3)
    assert evaluate(["a"], ["b"], [0.0], LABELS)["ece"]["value"] == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS), st.floats(0, 1)), min_size=1
    )
)
def test_against_brute_force(rows: list[tuple[str, str, float]]) -> None:
    gold, predicted, scores = (list(column) for column in zip(*rows, strict=True))
    found = evaluate(gold, predicted, scores, LABELS)
    f1 = []
    for label in LABELS:
        true = sum(g == p == label for g, p, _ in rows)
        either = sum((g == label) + (p == label) for g, p, _ in rows)
        if either:
            f1.append(2 * true / either)
    assert found["macro_f1"]["value"] == pytest.approx(sum(f1) / len(f1))
    ece = 0.0
    for number in range(15):
        low, high = number / 15, (number + 1) / 15
        held = [row for row in rows if low < row[2] <= high or (number == 0 and row[2] == 0)]
        ece += abs(sum((g == p) - score for g, p, score in held)) / len(rows)
    near_an_edge = any(abs(score * 15 - round(score * 15)) < 1e-9 for score in scores)
    assert near_an_edge or found["ece"]["value"] == pytest.approx(ece, abs=1e-9)
    accuracy = found["accuracy"]
    assert 0 <= accuracy["low"] <= accuracy["value"] + 1e-12
    assert accuracy["value"] - 1e-12 <= accuracy["high"] <= 1
    assert sum(map(sum, found["confusion"])) == len(rows)
    fingerprint.canonical(found)


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(BadInput, match="cannot compute: there are no predictions"):
        evaluate([], [], [], LABELS)
    with pytest.raises(BadInput, match="1 gold labels, 2 predicted"):
        evaluate(["a"], ["a", "b"], [1.0], LABELS)
    with pytest.raises(BadInput, match="predicted label 'z': not one of the 3 labels"):
        evaluate(["a"], ["z"], [1.0], LABELS)
    with pytest.raises(BadInput, match="gold label 'z'"):
        evaluate(["z"], ["a"], [1.0], LABELS)
    with pytest.raises(BadInput, match="named twice"):
        evaluate(["a"], ["a"], [1.0], ["a", "a"])
    with pytest.raises(BadInput, match="is empty"):
        evaluate(["a"], ["a"], [1.0], ["a", ""])
    for score in (-0.1, 1.1, math.nan):
        with pytest.raises(BadInput, match="outside"):
            evaluate(["a"], ["a"], [score], LABELS)


def test_runs_alone(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    lines = [
        json.dumps({"gold": g, "predicted": p, "score": s})
        for g, p, s in zip(GOLD, PREDICTED, SCORES, strict=True)
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "eval.intent_eval", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == evaluate(GOLD, PREDICTED, SCORES, ["a", "b"])


@pytest.mark.parametrize("content", ["", '{"gold": "a"}', None])
def test_alone_it_says_what_is_wrong(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "predictions.jsonl"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert intent_eval.main([str(path)]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert "predictions.jsonl" in err


def test_the_digest_is_that_of_the_source() -> None:
    source = Path(intent_eval.__file__).read_bytes()
    assert intent_eval.protocol_digest() == fingerprint.digest_bytes(source)
