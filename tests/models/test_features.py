"""TF-IDF: the same as scikit-learn's, and the same in training and serving."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from greenlight.core.errors import BadInput
from greenlight.models.features import CHARACTERS, WORDS, TermSettings, Tfidf
from tests.models import tiny

TEXTS = [
    "Why has my card not arrived yet?",
    "why, WHY has it not arrived... yet yet yet",
    "I'd like £50.00 in Łódź — naïve façade 东京 ½",
    "a",
    "   top-up\tfailed \n twice  ",
    "",
    "!?!",
    "snake_case_is_one_word 4 you",
]
THEIRS = {
    "word": TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b"),
    "char_wb": TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
}


@pytest.mark.parametrize("terms", [WORDS, CHARACTERS])
def test_equals_scikit_learn(terms: TermSettings) -> None:
    """Vocabulary, order and values agree on awkward texts, seen and unseen."""
    seen = [*TEXTS, *(example.text for example in tiny.examples(40, 3))]
    theirs = THEIRS[terms.analyzer]
    wanted = theirs.fit_transform(seen)
    ours = Tfidf.fit(seen, terms)
    assert list(ours.terms) == list(theirs.get_feature_names_out())
    assert abs(ours.matrix(seen) - wanted).max() < 1e-6
    unseen = ["my card arrived twice, not yet", "東京 a card", "nothing known: zzz"]
    assert abs(ours.matrix(unseen) - theirs.transform(unseen)).max() < 1e-6


@settings(max_examples=60)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_terms_equal_scikit_learn_on_any_text(texts: list[str]) -> None:
    """Whatever characters come: the same features as scikit-learn's."""
    for terms in (WORDS, CHARACTERS):
        ours = Tfidf.fit(TEXTS, terms)
        theirs = THEIRS[terms.analyzer].fit(TEXTS)
        assert abs(ours.matrix(texts) - theirs.transform(texts)).max() < 1e-6


@pytest.mark.parametrize("terms", [WORDS, CHARACTERS])
def test_a_row_served_is_the_row_trained_on(terms: TermSettings) -> None:
    """One text and many texts give the same numbers to the last bit."""
    tfidf = Tfidf.fit(TEXTS, terms)
    matrix = tfidf.matrix(TEXTS)
    for number, text in enumerate(TEXTS):
        indices, values = tfidf.row(text)
        assert np.array_equal(matrix[number].indices, indices)
        assert np.array_equal(matrix[number].data, values)


def test_texts_without_terms_are_refused() -> None:
    """Nothing to learn from is said so, not fitted."""
    with pytest.raises(BadInput, match="no term"):
        Tfidf.fit(["?", ""], WORDS)


def test_vocabulary_and_weights_must_match() -> None:
    """A vocabulary that lost a term is noticed."""
    with pytest.raises(BadInput, match="2 terms but 3 weights"):
        Tfidf(WORDS, ["a", "b"], np.ones(3, np.float32))
