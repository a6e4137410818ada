"""Files of words and tags: where sentences end, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core import conll

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=4)
PAIRS = st.lists(st.tuples(WORDS, st.sampled_from(["O", "B-x", "I-x"])), min_size=1, max_size=4)


def never(wrong: str) -> None:
    raise AssertionError(wrong)


@given(st.lists(PAIRS, max_size=4), st.sampled_from(["\n", "\t\n", " \t \r\n", "\n\n"]))
def test_what_is_written_is_read(sentences: list[list[tuple[str, str]]], gap: str) -> None:
    """HABITS: a lone tab ends a sentence, and `#` begins a hashtag."""
    text = gap.join("".join(f"{word}\t{tag}\n" for word, tag in pairs) for pairs in sentences)
    found = list(conll.sentences(text.split("\n"), never))
    assert found == [
        (" ".join(word for word, _ in pairs), " ".join(tag for _, tag in pairs))
        for pairs in sentences
    ]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("a O", "no word, tab and tag"),
        ("a\t ", "no word, tab and tag"),
        ("\u00a0\tO", "no word, tab and tag"),
        ("a\u2028b\tO", "the word holds white space"),
        (" a\tO", "the word holds white space"),
        ("a\tO\tO", "more than one tag"),
        ("a\tB-z", "no such tag; there are B-x, O"),
    ],
)
def test_a_sentence_with_another_line_is_left_out(line: str, wrong: str) -> None:
    told: list[str] = []
    lines = ["x\tB-x", "", "y\tO", line, "z\tO", "", "#z\tO"]
    found = list(conll.sentences(lines, told.append, ["O", "B-x"]))
    assert found == [("x", "B-x"), None, ("#z", "O")]
    assert [one.startswith(wrong) for one in told] == [True]
    assert line not in told[0], "it may hold personal data"
