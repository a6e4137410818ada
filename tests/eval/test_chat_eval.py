"""The frozen protocol for answers of a chat (E1), against numbers worked out by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval import chat_eval
from eval.chat_eval import agreed, evaluate, overlaps, plain
from greenlight.core.errors import BadInput

GOLD = ["Feed it daily.", "Wait for the dough", "No.", "👍"]
SAID = ["feed  it\nDAILY.", "wait for it", "", "👍"]


def test_by_hand() -> None:
    """Two agree. Of `Wait for the dough` and `wait for it` two words are shared: 2·2 / (4 + 3)."""
    found = evaluate(GOLD, SAID)
    assert found["agreement"]["correct"] == 2 and found["agreement"]["n"] == 4
    assert found["agreement"]["value"] == 0.5
    assert found["agreement"]["low"] < 0.5 < found["agreement"]["high"]
    assert list(overlaps(GOLD, SAID)) == pytest.approx([1.0, 4 / 7, 0.0, 1.0])
    assert found["overlap"]["value"] == pytest.approx((1 + 4 / 7 + 0 + 1) / 4)
    assert found["overlap"]["low"] <= found["overlap"]["value"] <= found["overlap"]["high"]
    assert found["overlap"]["n"] == 4 and found["unanswered"] == 1


def test_a_word_counts_as_often_as_it_stands_in_both() -> None:
    assert list(overlaps(["tea tea tea"], ["tea"])) == [0.5]
    assert list(overlaps(["a b"], ["b, a!"])) == [1.0], "neither order nor marks count"
    assert agreed(["a b"], ["b, a!"]) == [False]


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_every_answer_agrees_with_itself(texts: list[str]) -> None:
    assert all(agreed(texts, texts))
    assert all(share == 1 for share in overlaps(texts, texts))


@given(st.text(), st.text())
def test_an_overlap_is_a_share_and_the_same_from_both_sides(one: str, other: str) -> None:
    [there] = overlaps([one], [other])
    assert 0 <= there <= 1
    if agreed([one], [other]) == [True]:
        assert there == 1
    if (
        plain(one)
        and plain(other)
        and any(c.isalnum() for c in one) == any(c.isalnum() for c in other)
    ):
        assert list(overlaps([other], [one])) == pytest.approx([there])


def test_the_same_answers_have_the_same_interval() -> None:
    assert evaluate(GOLD, SAID) == evaluate(GOLD, SAID)


@pytest.mark.parametrize(
    ("gold", "said", "told"),
    [
        ([], [], "0 answers wanted, 0 given"),
        (["a"], ["a", "b"], "1 answers wanted, 2 given"),
        (["a", " \n"], ["a", "b"], "an empty answer cannot be wanted"),
    ],
)
def test_what_cannot_be_judged_is_no_number(gold: list[str], said: list[str], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        evaluate(gold, said)


def test_alone(tmp_path: Path) -> None:
    """E1, E6: runnable by itself, and its exit code says whether the gates are met."""
    file = tmp_path / "answers.jsonl"
    lines = [{"gold": a, "predicted": b} for a, b in zip(GOLD, SAID, strict=True)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    command = [sys.executable, "-m", "eval.chat_eval", str(file), "--min", "overlap=0.6"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["agreement"]["value"] == 0.5
    assert "met: overlap 0.6429, wanted ≥ 0.6" in done.stderr
    assert chat_eval.main([str(file), "--min", "agreement=0.6"]) == 1
    assert chat_eval.main([str(file), "--min", "accuracy=0.6"]) == 2


def test_the_digest_is_that_of_the_source() -> None:
    import hashlib

    digest = hashlib.sha256(Path(chat_eval.__file__).read_bytes()).hexdigest()
    assert chat_eval.protocol_digest() == f"sha256:{digest}"
