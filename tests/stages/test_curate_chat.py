"""Rows of chats through collection and curation (D4, D6, D7, D8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlight.core import curation, messages
from greenlight.core.curation import CHAT, TEST, TRAIN, VALIDATION, Row
from greenlight.core.errors import BadInput, MissingData
from greenlight.core.messages import Message
from greenlight.core.records import Dataset
from tests.stages.preparing import Place, Rows, manifest_counts, unit

SEED = 2025


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def asked(*words: str) -> str:
    return messages.write(Message("user", word) for word in words)


def named(split: int) -> str:
    """A unit that lands in a split."""
    names = (unit(str(number)) for number in range(10_000))
    return next(name for name in names if curation.place(SEED, Row("", "", name)) == split)


LEARN, CHECK, JUDGE = (named(split) for split in (TRAIN, VALIDATION, TEST))
BASE = [
    Row(asked("base", split), f"answer {split}", who)
    for split, who in (("learn", LEARN), ("check", CHECK), ("judge", JUDGE))
]
"""A row of each split."""


def prepared(place: Place, *rows: Row) -> Dataset:
    return place.prepare(Rows(rows=[*BASE, *rows]), kind=CHAT)


def learnt(place: Place, made: Dataset) -> list[Row]:
    return [row for row in place.rows(made, "train") if row not in BASE]


def test_text_and_answer_stay_as_they_were_served(place: Place) -> None:
    """D4: neither white space nor case of what was asked and said is touched."""
    row = Row(asked("  Two  spaces\nand A LINE "), " An  answer\n\nwith lines ", LEARN)
    assert learnt(place, prepared(place, row)) == [row]


def test_two_good_answers_to_one_question_stay_and_the_same_twice_does_not(place: Place) -> None:
    """D7: in chats nothing contradicts another; duplicates are found by their normal form."""
    question = asked("Say  hello")
    rows = [
        Row(question, "Hello!", LEARN),
        Row(question, "Hi there.", LEARN),
        Row(asked("say\nHELLO"), "hello! ", LEARN),
    ]
    made = prepared(place, *rows)
    assert learnt(place, made) == rows[:2]
    assert manifest_counts(made, "exclusions") == {"duplicate": 1}


def test_a_question_that_is_judged_is_not_learnt_from(place: Place) -> None:
    """D7: whatever the answers are."""
    both = asked("Asked twice")
    made = prepared(
        place,
        Row(both, "one", LEARN),
        Row(both, "two", CHECK),
        Row(both, "three", JUDGE),
        Row(asked("checked"), "four", LEARN),
        Row(asked("Checked "), "five", CHECK),
    )
    assert learnt(place, made) == []
    assert manifest_counts(made, "exclusions") == {"in_test": 2, "in_validation": 1}
    assert [row.label for row in place.rows(made, "test")] == ["answer judge", "three"]


def test_who_said_it_matters(place: Place) -> None:
    """The same words as other roles say them are another conversation."""
    own = messages.write([Message("user", "Tea."), Message("assistant", "Milk?")])
    rows = [Row(own, "Yes.", LEARN), Row(asked("Tea.", "Milk?"), "Yes.", LEARN)]
    assert learnt(place, prepared(place, *rows)) == rows


def test_there_are_no_labels(place: Place) -> None:
    """Answers are no classes: none is listed or counted, and none is too rare to be learnt."""
    made = prepared(place, *(Row(asked(str(n)), f"answer {n}", LEARN) for n in range(20)))
    assert made.manifest["kind"] == CHAT and made.manifest["labels"] == []
    assert made.manifest["per_label"] == {"train": {}, "validation": {}, "test": {}}
    assert made.manifest["counts"] == {"train": 21, "validation": 1, "test": 1}


def test_more_answers_than_there_may_be_labels(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenlight.stages.collect.MAX_LABELS", 5)
    prepared(place, *(Row(asked(str(n)), f"answer {n}", LEARN) for n in range(6)))


def test_personal_data_goes_from_questions_and_answers(place: Place) -> None:
    """D6: message by message, also where JSON has two letters for the end of a line before it."""
    row = Row(
        asked("Call me:\n020 7946 0958", "or write"), "Gladly, to jo@example.org.\nBye", LEARN
    )
    made = prepared(place, row)
    [found] = learnt(place, made)
    assert [one.content for one in messages.read(found.text)] == ["Call me:\n[PHONE]", "or write"]
    assert found.label == "Gladly, to [EMAIL].\nBye"
    assert made.manifest["pii"] == {
        "scrubbed": {"phone": 1, "email": 1},
        "rows": 1,
        "unresolved": 0,
    }


@pytest.mark.parametrize("label", ["", " \n"])
def test_an_empty_answer_is_left_out(place: Place, label: str) -> None:
    made = prepared(place, Row(asked("well?"), label, LEARN))
    assert manifest_counts(made, "exclusions") == {"empty_label": 1}


def test_a_row_that_is_no_conversation_is_refused(place: Place) -> None:
    with pytest.raises(BadInput, match="rows: row 4: messages: not a JSON array"):
        prepared(place, Row("hello", "hi", LEARN))


def test_each_split_needs_a_row(place: Place) -> None:
    with pytest.raises(MissingData, match="test: no row"):
        place.prepare(Rows(rows=BASE[:2]), kind=CHAT)
    with pytest.raises(BadInput, match="no row to learn from for any answer"):
        place.prepare(Rows(rows=BASE[1:]), kind=CHAT)


def test_a_chat_with_a_message_of_white_space_is_left_out(place: Place) -> None:
    """No provider learns it, and it must not stop those that can be learnt."""
    made = prepared(place, Row(asked("hi", " \n"), "Hello!", LEARN))
    assert learnt(place, made) == [] and made.manifest["exclusions"]["empty"] == 1
