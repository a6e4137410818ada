"""TF-IDF features, computed by the same code in training and in serving.

A text becomes a sparse vector of length 1: for every known term, (1 + ln count) · idf with
idf = ln((1 + texts) / (1 + texts with the term)) + 1 (Salton and Buckley, "Term-weighting
approaches in automatic text retrieval", 1988, in the smoothed form that scikit-learn's
TfidfVectorizer uses, with which a test compares).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Self

import msgspec
import numpy as np
import numpy.typing as npt

from greenlight.core.errors import BadInput

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

_WORD = re.compile(r"(?u)\b\w+\b")


class TermSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which terms a text is made of."""

    analyzer: Literal["word", "char_wb"]
    """Runs of words, or runs of characters inside words padded by one space on either side."""
    shortest: int
    longest: int
    """Lengths of the runs, in words or characters, both included."""
    min_texts: int = 1
    """A term in fewer texts is left out."""


WORDS = TermSettings(analyzer="word", shortest=1, longest=2)
CHARACTERS = TermSettings(analyzer="char_wb", shortest=2, longest=5, min_texts=2)


class Tfidf:
    """A vocabulary with its weights. Immutable once made, so any thread may use it."""

    def __init__(self, settings: TermSettings, terms: Sequence[str], idf: Floats) -> None:
        """Put a featurizer together from its parts.

        Args:
            settings: how texts are cut into terms.
            terms: the vocabulary in the order of the features.
            idf: one weight per term.

        Raises:
            BadInput: the numbers of terms and weights differ.
        """
        if len(terms) != len(idf):
            raise BadInput(f"{len(terms)} terms but {len(idf)} weights; the vocabulary is damaged")
        self.settings = settings
        self.terms = tuple(terms)
        self.idf = np.asarray(idf, np.float32)
        self._index = {term: number for number, term in enumerate(self.terms)}

    @classmethod
    def fit(cls, texts: Iterable[str], settings: TermSettings) -> Self:
        """Learn the vocabulary (in sorted order) and its weights from texts.

        Raises:
            BadInput: no term is left.
        """
        frequency: Counter[str] = Counter()
        count = 0
        for text in texts:
            count += 1
            frequency.update(set(split(text, settings)))
        terms = sorted(term for term, seen in frequency.items() if seen >= settings.min_texts)
        if not terms:
            raise BadInput(f"{count} texts hold no term to learn from; check the data")
        idf = [math.log((1 + count) / (1 + frequency[term])) + 1 for term in terms]
        return cls(settings, terms, np.array(idf, np.float32))

    def row(self, text: str) -> tuple[Integers, Floats]:
        """The features of one text: their numbers in ascending order, and their values.

        A text without any known term has no features.
        """
        counts = Counter(
            self._index[term] for term in split(text, self.settings) if term in self._index
        )
        indices = np.array(sorted(counts), np.int64)
        weights = np.array([1 + math.log(counts[number]) for number in indices.tolist()])
        values = weights * self.idf[indices]
        length = math.sqrt(float(values @ values))
        return indices, (values / length if length else values).astype(np.float32)

    def matrix(self, texts: Sequence[str]) -> Any:
        """The features of many texts as a scipy CSR matrix [texts, terms]; for training."""
        from scipy import sparse  # serving starts faster and leaner without it

        rows = [self.row(text) for text in texts]
        ends = np.cumsum([0, *(len(indices) for indices, _ in rows)])
        parts = (
            np.concatenate([values for _, values in rows]),
            np.concatenate([indices for indices, _ in rows]),
            ends,
        )
        return sparse.csr_matrix(parts, shape=(len(rows), len(self.terms)))


def split(text: str, settings: TermSettings) -> list[str]:
    """Cut a text into its terms, in lower case, repetitions included."""
    lengths = range(settings.shortest, settings.longest + 1)
    lowered = text.lower()
    if settings.analyzer == "word":
        words = _WORD.findall(lowered)
        return [
            " ".join(words[start : start + length])
            for length in lengths
            for start in range(len(words) - length + 1)
        ]
    return [term for word in lowered.split() for term in _within(f" {word} ", lengths)]


def _within(word: str, lengths: range) -> Iterator[str]:
    """Runs of characters of a padded word; one that is shorter than a run counts whole, once."""
    for length in lengths:
        if length >= len(word):
            yield word
            return
        for start in range(len(word) - length + 1):
            yield word[start : start + length]
