"""Curation row by row (D7): the same row is always cleaned, compared and placed alike."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core import curation, jsonl
from greenlight.core.curation import TEST, TRAIN, VALIDATION, Row

SEED = 2025


def test_normalise_composes_and_collapses() -> None:
    assert curation.normalise("  cafe\u0301\r\n\u00a0 au \t lait ") == "café au lait"


def test_control_characters_count_as_white_space() -> None:
    """NUL among them: what comes later need not cope with it."""
    assert curation.normalise("\x00a\x00b \x7f\x85c\x1b") == "a b c"


@given(st.text())
def test_normalise_is_idempotent(text: str) -> None:
    once = curation.normalise(text)
    assert curation.normalise(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not any(unicodedata.category(char) == "Cc" for char in once)


@given(st.text(st.characters()))
def test_what_no_file_can_hold_is_replaced(text: str) -> None:
    """Lone surrogates, and nothing else."""
    found = curation.readable(text)
    found.encode()
    assert len(found) == len(text)
    lone = ["\ufffd" if 0xD800 <= ord(char) < 0xE000 else char for char in text]
    assert found == "".join(lone)


def test_keys_differ_in_what_they_overlook() -> None:
    assert curation.lower("My  CARD?") == "my card?"
    assert curation.words("My  CARD?") == curation.words("my-card!") == "my card"
    assert curation.words("can't") != curation.words("cant")


@given(st.lists(st.text(alphabet="aAäÄß .\n!1\u0301", max_size=5), min_size=2, max_size=8))
def test_digests_are_equal_where_the_forms_are(texts: list[str]) -> None:
    """The index compares digests in place of texts."""
    digests = [curation.keys(text, curation.normalise(text)) for text in texts]
    for name, form in (("exact", str), ("lower", curation.lower), ("words", curation.words)):
        for text, digest in zip(texts, digests, strict=True):
            same = [form(text) == form(other) for other in texts]
            assert same == [getattr(digest, name) == getattr(other, name) for other in digests]
    for digest in digests:
        for other in digests:
            assert digest.exact != other.exact or digest.lower == other.lower
            assert digest.lower != other.lower or digest.words == other.words


def test_a_clean_row_is_left_alone() -> None:
    row = Row("a b", "x", "unit", "id")
    assert curation.clean(row) is row
    assert curation.clean(Row(" a\nb", "x ", "unit", "id")) == row


def test_units_are_placed_by_seed_in_tenths() -> None:
    """D9: the fixed seed, 80/10/10."""
    rows = [Row("", "", f"unit {n}") for n in range(10_000)]
    found = Counter(curation.place(SEED, row) for row in rows)
    assert found[TRAIN] == pytest.approx(8000, abs=150)
    assert found[VALIDATION] == pytest.approx(1000, abs=100)
    assert found[TEST] == pytest.approx(1000, abs=100)
    assert any(curation.place(SEED, row) != curation.place(1, row) for row in rows[:100])


def test_a_row_without_unit_is_placed_by_its_text() -> None:
    place = curation.place
    assert place(SEED, Row("Some  Text", "a")) == place(SEED, Row("some text", "b"))
    found = {place(SEED, Row(f"text {n}", "a")) for n in range(100)}
    assert found == {TRAIN, VALIDATION, TEST}
    assert {place(SEED, Row(f"text {n}", "a", "unit")) for n in range(100)} < found


def test_places_and_ranks_never_change() -> None:
    """Another rule would be another split of every dataset made before."""
    assert [curation.place(SEED, Row("", "", f"unit {n}")) for n in range(12)] == [
        0,
        0,
        0,
        0,
        2,
        0,
        0,
        1,
        0,
        0,
        1,
        0,
    ]
    assert curation.rank(SEED, "How do I get my card back?") == 2545425411820988996


@pytest.mark.parametrize(
    ("count", "held"), [(1, 0), (2, 1), (9, 1), (10, 1), (15, 2), (25, 2), (26, 3), (1000, 100)]
)
def test_a_tenth_is_held_out_and_never_all(count: int, held: int) -> None:
    assert curation.held_out(count) == held


@given(st.lists(st.builds(Row, st.text(), st.text(), st.text(max_size=1)), max_size=5))
def test_rows_are_written_as_all_json_lines_are(rows: list[Row]) -> None:
    assert curation.encode(rows) == jsonl.encode(rows)


# --- where words have tags ------------------------------------------------------------------------


def test_words_are_normalised_one_by_one() -> None:
    """D7: case is kept, and no character makes two words of one."""
    came = " Cafe\u0301\r\n\u00a0 AU \t l\x00ait\u200b \x1b "
    assert curation.normalise_words(came) == "Café AU l\ufffdait\u200b \ufffd"


@given(st.text())
def test_as_many_words_stay_as_came(text: str) -> None:
    once = curation.normalise_words(text)
    assert len(once.split(" ")) == len(text.split()) or not text.strip()
    assert once.split() == once.split(" ") or not once
    assert curation.normalise_words(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not any(unicodedata.category(char) == "Cc" for char in once)


def test_a_clean_row_with_tags_is_left_alone() -> None:
    row = Row("A b", "B-x O", "unit", "id")
    assert curation.clean(row, "tag") is row
    assert curation.clean(Row(" A\nb", " B-x\tO", "unit", "id"), "tag") == row
