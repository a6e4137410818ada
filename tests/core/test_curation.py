"""Curation (D7): one text is never in two places, and every exclusion is counted."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core import curation
from greenlight.core.curation import Row, curate, normalise, split
from greenlight.core.errors import BadInput

SEED = 2025
TEXTS = st.text(alphabet="aAäÄbß .\n\t!1\u0301\u00a0", max_size=6)
ROWS = st.lists(st.builds(Row, TEXTS, st.sampled_from("xyz")), max_size=40)


def test_normalise_composes_and_collapses() -> None:
    assert normalise("  cafe\u0301\r\n\u00a0 au \t lait ") == "café au lait"


@given(st.text())
def test_normalise_is_idempotent(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert unicodedata.is_normalized("NFC", once)


def test_keys_differ_in_what_they_overlook() -> None:
    assert curation.lower("My  CARD?") == "my card?"
    assert curation.words("My  CARD?") == curation.words("my-card!") == "my card"
    assert curation.words("can't") != curation.words("cant")


def test_every_reason_is_counted_once() -> None:
    train = [
        Row("Where is it", "a"),
        Row("where  is it", "a"),
        Row(" \n", "a"),
        Row("Stands in TEST", "b"),
        Row("two minds", "a"),
        Row("Two minds", "b"),
        Row("keep me", "b"),
    ]
    found = curate(train, [Row("stands in test", "b"), Row("fresh", "a")], SEED)
    assert found.exclusions == {"empty": 1, "duplicate": 1, "contradiction": 2, "in_test": 1}
    assert sorted([*found.train, *found.validation]) == [
        Row("Where is it", "a"),
        Row("keep me", "b"),
    ]
    assert found.overlaps == {"exact": 0, "lower": 1, "words": 1}
    assert found.labels == ["a", "b"]


def test_labels_are_in_code_point_order() -> None:
    train = [Row("one", "b"), Row("two", "Z"), Row("three", "a?")]
    assert curate(train, [], SEED).labels == ["Z", "a?", "b"]


def test_test_rows_stay_even_if_they_repeat() -> None:
    test = [Row("again", "a"), Row("Again ", "a")]
    assert curate([Row("x", "a")], test, SEED).test == [Row("again", "a"), Row("Again", "a")]


def test_what_cannot_be_learnt_from_is_named() -> None:
    with pytest.raises(BadInput, match="no row to learn from for b"):
        curate([Row("x", "a")], [Row("y", "b")], SEED)
    with pytest.raises(BadInput, match="any label"):
        curate([], [], SEED)
    with pytest.raises(BadInput, match="no text"):
        curate([Row("x", "a")], [Row(" ", "a")], SEED)


@given(ROWS, ROWS)
def test_no_text_is_in_two_places_and_none_is_lost(train: list[Row], test: list[Row]) -> None:
    try:
        found = curate(train, test, SEED)
    except BadInput:
        return
    learnt = [curation.lower(row.text) for row in found.train]
    chosen = [curation.lower(row.text) for row in found.validation]
    judged = {curation.lower(row.text) for row in found.test}
    assert len({*learnt, *chosen}) == len(learnt) + len(chosen)
    assert judged.isdisjoint([*learnt, *chosen])
    assert len(learnt) + len(chosen) + sum(found.exclusions.values()) == len(train)
    assert len(found.test) == len(test)


def test_split_takes_a_tenth_of_every_label() -> None:
    rows = [Row(f"{label} {number}", label) for label in "ab" for number in range(50)]
    rows += [Row(f"c {number}", "c") for number in range(2)] + [Row("d", "d")]
    train, validation = split(rows, 0.1, SEED)
    held = [row.label for row in validation]
    assert {label: held.count(label) for label in "abcd"} == {"a": 5, "b": 5, "c": 1, "d": 0}
    assert train == [row for row in rows if row not in validation]


def test_split_depends_on_the_seed_and_not_on_the_order() -> None:
    rows = [Row(f"text {number}", "a") for number in range(40)]
    held = set(split(rows, 0.1, SEED)[1])
    assert set(split(rows[::-1], 0.1, SEED)[1]) == held
    assert set(split(rows, 0.1, SEED + 1)[1]) != held
