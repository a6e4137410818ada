"""What a tagger sees of words."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.models import word_features
from greenlight.models.word_features import HEAD, SUBWORDS, TAIL, WordFeatures, plain, shape
from tests.models import tagged, tiny

FEATURES = WordFeatures(tiny.tokenizer().to_str().encode(), ["Xx", "x"], token_limit=16)
LINES = st.lists(st.text(min_size=1, max_size=20).filter(lambda word: word.split() == [word]))


@given(LINES)
def test_every_word_is_seen_once_and_alike(words: list[str]) -> None:
    """In windows that the encoder can read, whatever the words; the second time as the first."""
    windows = FEATURES.windows(words)
    assert sum(len(window.shapes) for window in windows) == len(words)
    for window, again in zip(windows, FEATURES.windows(words), strict=True):
        assert 2 <= len(window.ids) <= 16
        assert window.ids[0] == 2
        assert window.ids[-1] == 3
        rows = len(window.shapes)
        assert window.shares.shape == (rows, len(window.ids))
        assert window.characters.shape == (rows, HEAD + TAIL)
        assert window.flags.shape == (rows, word_features.FLAGS)
        assert set(np.round(window.shares.sum(axis=1), 5)) <= {0.0, 1.0}
        assert window.cases.max() < word_features.CASE_NUMBERS
        for name in window.__struct_fields__:
            assert np.array_equal(getattr(window, name), getattr(again, name))


def test_no_words_no_windows() -> None:
    assert FEATURES.windows([]) == []


def test_a_word_is_the_mean_of_its_sub_words() -> None:
    """The first five; what the tokenizer does not see has none."""
    window = FEATURES.windows(["my", "card-card-card-card", "\u200d"])[0]
    assert window.ids.tolist() == [2, 5, 14, 1, 14, 1, 14, 1, 3]
    assert window.shares[0].tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert window.shares[1] == pytest.approx([0, 0] + [1 / SUBWORDS] * SUBWORDS + [0, 0])
    first, rest = window.cases[2], window.cases[3]
    assert rest == first + 1
    assert window.cases[[0, -1]].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("word", "seen"),
    [
        ("https://t.co/x", "http"),
        ("WWW.example.org", "http"),
        ("@somebody", "user"),
        ("@", "@"),
        ("#NewYorkCity", "New York City"),
        ("#BBCNews", "BBC News"),
        ("#", "#"),
        ("iPhone", "iPhone"),
    ],
)
def test_what_the_tokenizer_is_given(word: str, seen: str) -> None:
    """A hashtag is a word like others; an address and an account are no words."""
    assert plain(word) == seen


def test_casing_is_told_apart() -> None:
    """Ten kinds of words, ten numbers."""
    words = ["http://x", "@x", "#X", "!?", "1,000", "word", "WORD", "Word", "McWord", "iWord"]
    window = WordFeatures(tiny.tokenizer().to_str().encode(), [], 128).windows(words)[0]
    firsts = [window.cases[row.argmax()] for row in window.shares]
    assert len(set(firsts)) == word_features.CASES == len(words)


def test_capitals_say_less_where_all_are() -> None:
    """The share of capital words, and each capital's weight beside it."""
    loud, quiet = (FEATURES.windows(words)[0].flags for words in (["A", "B"], ["A", "b"]))
    assert loud[:, -2:].tolist() == [[1, 0], [1, 0]]
    assert quiet[:, -2:].tolist() == [[0.5, 0.5], [0.5, 0]]


def test_shapes_are_learnt_in_order() -> None:
    """The frequent first; the rest is unknown."""
    words = [word for row in tagged.examples(30, 5) for word in row.text.split()]
    assert word_features.learn_shapes(words, 9) == ["x", "Xx"]
    assert shape("iPhone-7000") == "xXx-d"
    window = FEATURES.windows(["Ann", "card", "PIN"])[0]
    assert window.shapes.tolist() == [1, 2, 0]


def test_both_ends_of_a_long_word_are_looked_at() -> None:
    """And a character that is not listed is one like any other."""
    window = FEATURES.windows(["ab", "a" * 30 + "zz", "\U0001f600é"])[0]
    numbers = window.characters
    assert numbers[0].tolist() == [2, 3] + [0] * 12
    assert numbers[1].tolist() == [2] * 12 + [27] * 2
    assert numbers[2].tolist() == [1, 1] + [0] * 12


def test_what_is_remembered_of_long_words_is_short() -> None:
    """Shapes are kept for the next request, and words come from users."""
    tracemalloc.start()
    try:
        for number in range(20):
            assert shape(f"{number}{'x' * 1_000_000}") == "dx"
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_000_000
