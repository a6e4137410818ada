"""Viterbi under the rules of BIO, against trying every sequence."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from greenlight.core import tagging
from greenlight.models.sequence import Rules

TAGS = ["B-x", "B-y", "I-x", "I-y", "O"]
SCORES = st.integers(0, 7).flatmap(
    lambda words: arrays(np.float64, (words, len(TAGS)), elements=st.floats(-50, 50))
)


def allowed(sequence: list[str]) -> bool:
    pairs = zip(["O", *sequence], sequence, strict=False)
    return all(not tag.startswith("I-") or before[1:] == tag[1:] for before, tag in pairs)


@given(SCORES)
def test_no_forbidden_sequence(scores: np.ndarray) -> None:
    """Whatever the scores: a tag for each word, and no `I-` without its type before it."""
    found = [TAGS[number] for number in Rules(TAGS).best(scores)]
    assert len(found) == len(scores)
    assert allowed(found)
    assert sum(tag.startswith("B-") for tag in found) == len(tagging.spans(found))


@given(arrays(np.float64, (4, len(TAGS)), elements=st.floats(-9, 9)))
def test_no_allowed_sequence_is_better(scores: np.ndarray) -> None:
    """All 625 sequences of four tags are tried."""
    totals = [
        sum(scores[place, TAGS.index(tag)] for place, tag in enumerate(sequence))
        for sequence in product(TAGS, repeat=4)
        if allowed(list(sequence))
    ]
    found = Rules(TAGS).best(scores)
    assert scores[np.arange(4), found].sum() == pytest.approx(max(totals))


def test_a_type_without_a_beginning_begins_with_its_inside() -> None:
    """`I-y` could not occur at all where there is no `B-y`; `I-x` still needs its `B-x`."""
    tags = ["B-x", "I-x", "I-y", "O"]
    scores = np.array([[0.0, 9.0, 5.0, 1.0], [0.0, 9.0, 5.0, 1.0]])
    assert [tags[number] for number in Rules(tags).best(scores)] == ["I-y", "I-y"]
    scores[:, 0] = 6.0
    assert [tags[number] for number in Rules(tags).best(scores)] == ["B-x", "I-x"]
