"""What those who asked are told of the entities of a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.entities import Entity, entities
from greenlight.core.errors import BadInput


def test_entities_are_told_by_characters_without_the_punctuation_around_them() -> None:
    text = "off  to (New York), with @ana and :)"
    found = entities(text, "O O B-place I-place O B-person O B-face")
    assert found == [
        Entity(9, 17, "place", "New York"),
        Entity(25, 29, "person", "@ana"),
        Entity(34, 36, "face", ":)"),
    ]
    assert all(text[one.start : one.end] == one.text for one in found)


@given(st.text(max_size=30))
def test_every_text_with_a_name_in_it(text: str) -> None:
    """What is told stands there, and has no signs around it unless it has nothing else."""
    label = " ".join(["B-x"] * len(text.split()))
    found = entities(text, label)
    assert len(found) == len(text.split())
    for one in found:
        assert text[one.start : one.end] == one.text and one.text
        bare = any(sign.isalnum() or sign == "_" for sign in one.text)
        assert not bare or one.text[-1].isalnum() or one.text[-1] == "_"


def test_a_long_row_of_signs_takes_no_time() -> None:
    """Half a million signs in one word: with a pattern that is tried at each it would be hours."""
    signs = "!" * 500_000
    assert entities(signs, "B-x") == [Entity(0, 500_000, "x", signs)]


def test_a_label_of_another_text() -> None:
    with pytest.raises(BadInput, match="1 tags for 2 words"):
        entities("one two", "O")
