"""What feedback teaches in chats, and what a filter selects by itself (D2, D3, D4)."""

from __future__ import annotations

from typing import Any

import pytest

from greenlight.core.filters import parse
from greenlight.core.labelling import OUT, TAKEN, WAITING, LabelPolicy, label
from greenlight.core.records import Feedback, Inference
from tests.contracts.making import feedback, inference

ASKED = '[{"role":"user","content":"A post on tea, please."}]'
POST = "Is your tea bitter?\n\nWrite to tea@example.org."
OTHER = "Three minutes are enough."
CHAT = LabelPolicy(kind="chat")
ENGAGED = LabelPolicy(kind="chat", conditions=parse("engagement_rate > 0.06"), by_filter=True)
CALL = '{"id":"c1","type":"function","function":{"name":"find","arguments":"{}"}}'


def answer(**fields: Any) -> Inference:
    return inference("i1", **{"input": ASKED, "output": POST} | fields)


def said(metric: str, value: float, at: int = 1, **fields: Any) -> Feedback:
    return feedback(f"f{at}", "i1", value, metric=metric, at=at, **fields)


GOOD, BAD = said("quality", 1.0), said("quality", 0.0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([GOOD], (POST, "good")),
        ([BAD], (None, "relabel")),
        ([said("quality", 0.0, correction=OTHER)], (OTHER, "corrected")),
        ([said("relabel", 1.0, correction=OTHER)], (OTHER, "relabelled")),
        ([said("quality", 1.0, correction=OTHER)], (None, "conflicting")),
        ([said("stars", 5.0)], (None, "unjudged")),
        ([], (None, "unjudged")),
    ],
)
def test_the_label_is_the_whole_answer(words: list[Feedback], expected: tuple[Any, str]) -> None:
    """D3; and an answer with an address in it is learnt: it is scrubbed where it is collected."""
    assert label(answer(), words, CHAT)[:2] == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([said("engagement_rate", 0.07)], (POST, "selected")),
        ([said("engagement_rate", 0.06)], (None, "filtered")),
        ([GOOD], (None, "filtered")),
        ([said("engagement_rate", 0.07), said("quality", 1.0, 2)], (POST, "good")),
        ([said("engagement_rate", 0.07), said("quality", 0.0, 2)], (None, "relabel")),
        (
            [said("engagement_rate", 0.07), said("quality", 0.0, 2, correction=OTHER)],
            (OTHER, "corrected"),
        ),
        ([said("engagement_rate", 0.07, correction=OTHER)], (OTHER, "corrected")),
        # The newest number counts.
        ([said("engagement_rate", 0.09, 1), said("engagement_rate", 0.05, 2)], (None, "filtered")),
    ],
)
def test_what_engaged_is_learnt_unless_somebody_said_bad(
    words: list[Feedback], expected: tuple[Any, str]
) -> None:
    """D2: rows with an engagement rate above 6 % are kept, without a GOOD."""
    assert label(answer(), words, ENGAGED)[:2] == expected


def test_a_filter_selects_labels_too() -> None:
    policy = LabelPolicy(labels=("A", "B"), conditions=parse("rate > 1"), by_filter=True)
    found = label(answer(output="A"), [said("rate", 2.0)], policy)
    assert found[:2] == ("A", "selected")
    assert label(answer(output="C"), [said("rate", 2.0)], policy)[:2] == (None, "unknown_label")


@pytest.mark.parametrize(
    "asked",
    [
        "A post on tea, please.",
        "[]",
        '[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]',
        f'[{{"role":"assistant","content":"","tool_calls":[{CALL}]}}]',
        '[{"role":"tool","tool_call_id":"c1","content":"4"},{"role":"user","content":"And now?"}]',
    ],
)
def test_messages_that_are_not_words_alone_teach_nothing(asked: str) -> None:
    """D4: nothing could be learnt as it was served; the reason is counted, relabelled or not."""
    for words in ([GOOD], [said("relabel", 1.0, correction=OTHER)]):
        assert label(answer(input=asked), words, CHAT)[:2] == (None, "not_text")


@pytest.mark.parametrize("calls", [f"[{CALL}]", f"[{CALL},{CALL}]", f"[{CALL}][{CALL}]"])
def test_a_call_of_a_tool_teaches_nothing(calls: str) -> None:
    """As a whole answer has it, and as a stream brings it bit by bit."""
    for words in ([GOOD], [said("quality", 0.0, correction=OTHER)]):
        assert label(answer(output=calls), words, CHAT)[:2] == (None, "not_text")


@pytest.mark.parametrize("words", ["[1, 2]", '[{"a": 1}]', "[{broken", '{"function": {}}', "[]"])
def test_an_answer_in_json_is_an_answer(words: str) -> None:
    assert label(answer(output=words), [GOOD], CHAT)[:2] == (words, "good")


def test_masked_and_unanswered_are_told_apart() -> None:
    assert label(answer(input=""), [GOOD], CHAT)[:2] == (None, "masked")
    assert label(answer(output=""), [GOOD], CHAT)[:2] == (None, "unanswered")


def test_every_way_is_named() -> None:
    assert "selected" in TAKEN and "not_text" in OUT and "not_text" not in WAITING
