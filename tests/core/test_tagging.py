"""Tags of words: what they say, and which are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core import tagging
from greenlight.core.errors import BadInput
from greenlight.core.tagging import Span, check, spans

TAGS = ("O", "B-a", "I-a", "B-b", "I-b")
sentences = st.lists(st.sampled_from(TAGS), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("O O", []),
        ("B-a", [Span(0, 1, "a")]),
        ("B-a I-a O", [Span(0, 2, "a")]),
        ("B-a B-a", [Span(0, 1, "a"), Span(1, 2, "a")]),
        ("B-a I-b I-b", [Span(0, 1, "a"), Span(1, 3, "b")]),
        ("O I-a I-a", [Span(1, 3, "a")]),
    ],
)
def test_spans(given: str, found: list[Span]) -> None:
    """As conlleval: a stray I begins an entity."""
    assert spans(given.split()) == found


@given(sentences)
def test_every_word_with_a_tag_is_in_one_entity(tags: list[str]) -> None:
    covered = [place for span in spans(tags) for place in range(span.start, span.end)]
    assert covered == [place for place, tag in enumerate(tags) if tag != "O"]
    assert all(tags[place][2:] == span.type for span in spans(tags) for place in range(*span[:2]))


@pytest.mark.parametrize(
    ("text", "label", "says"),
    [
        ("one two", "O", "1 tags for 2 words"),
        ("one", "O O", "2 tags for 1 words"),
        ("one", "person", "tag 'person': not O, B-TYPE or I-TYPE"),
        ("one", "B-", "tag 'B-'"),
    ],
)
def test_a_label_that_does_not_tag_its_text(text: str, label: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        check(text, label)


@given(st.lists(sentences, min_size=1, max_size=5))
def test_dealing_the_same_tags_changes_nothing(rows: list[list[str]]) -> None:
    labels = [tagging.join(row) for row in rows]
    assert tagging.relabel(labels, tagging.of_words(labels)) == labels


def test_what_a_label_is_like() -> None:
    assert tagging.types("O B-b I-b B-a B-b") == "a b"
    assert tagging.types("O O") == ""
    assert tagging.tag_set(["B-a I-a", "B-b"]) == ["B-a", "B-b", "I-a", "O"]
