"""What a tagger sees of words: their sub-words, characters, shape and casing.

Computed by the same code in training and in serving, from the words alone. The encoder knows no
capitals, so casing is told to it beside the sub-words, and to the layers above it once more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec
import numpy as np
from tokenizers import Tokenizer

from greenlight.models.features import Floats, Integers

CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@#.,'-_/:!?&$()\"*;"
"""Each has a number of its own, from 2; 1 stands for any other, 0 for none."""
HEAD, TAIL = 8, 6
"""Characters of a word that are looked at: its first and, of a longer one, its last."""
SUBWORDS = 5
"""Sub-words of a word that are looked at."""
SHAPE_LENGTH = 8
FLAGS = 12
CASES = 10
"""Kinds of casing (`_case`); each has two numbers, for a word's first sub-word and the others."""
CASE_NUMBERS = 1 + 2 * CASES
"""0 is for what belongs to no word."""

_CHARACTER = {character: number for number, character in enumerate(CHARACTERS, start=2)}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_")
_ADDRESS = re.compile(r"https?:|www\.", re.IGNORECASE)
_REPEATED = re.compile(r"(.)\1+", re.DOTALL)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive words of a text, as many as the encoder reads at once."""

    ids: Integers
    """Sub-words by number, those of the start and the end of a text included, [tokens]."""
    cases: Integers
    """Casing of each sub-word's word, in [0, CASE_NUMBERS), [tokens]."""
    shares: Floats
    """What each sub-word contributes to each word, [words, tokens]: a word's sum is 1, or 0 where
    the tokenizer sees nothing in it."""
    characters: Integers
    """[words, HEAD + TAIL]."""
    shapes: Integers
    """[words]; 0 is a shape that is not listed."""
    flags: Floats
    """[words, FLAGS]."""


class WordFeatures:
    """Cuts words into what a tagger sees. Immutable once made, so any thread may use it."""

    def __init__(self, tokenizer: bytes, shapes: Sequence[str], token_limit: int) -> None:
        """Make a featurizer.

        Args:
            tokenizer: the content of tokenizer.json.
            shapes: the known shapes, in the order of their numbers from 1.
            token_limit: sub-words in a window, those of its start and end included.
        """
        self._tokenizer = Tokenizer.from_buffer(tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        edges = self._tokenizer.encode("").ids
        self._start, self._end = edges[:1], edges[1:]
        self.shapes = tuple(shapes)
        self._shapes = {shape: number for number, shape in enumerate(shapes, start=1)}
        self._room = token_limit - len(edges)
        numbers = map(self._tokenizer.token_to_id, ("[MASK]", "[UNK]"))
        self.mask = next((number for number in numbers if number is not None), 0)
        """The number of the sub-word that stands for a hidden one."""

    def windows(self, words: Sequence[str]) -> list[Window]:
        """The words in windows, in order: each holds as many as there is room for."""
        if not words:
            return []
        pieces = self._pieces(words)
        flags = _flags(words)
        found, first, used = [], 0, 0
        for number, ids in enumerate(pieces):
            if used + len(ids) > self._room and number > first:
                found.append(self._window(words, pieces, flags, first, number))
                first, used = number, 0
            used += len(ids)
        return [*found, self._window(words, pieces, flags, first, len(words))]

    def _pieces(self, words: Sequence[str]) -> list[list[int]]:
        """The first sub-words of each word."""
        encoding = self._tokenizer.encode(
            [plain(word) for word in words], is_pretokenized=True, add_special_tokens=False
        )
        found: list[list[int]] = [[] for _ in words]
        for number, word in zip(encoding.ids, encoding.word_ids, strict=True):
            if word is not None and len(found[word]) < SUBWORDS:
                found[word].append(number)
        return found

    def _window(
        self,
        words: Sequence[str],
        pieces: list[list[int]],
        flags: Floats,
        first: int,
        end: int,
    ) -> Window:
        ids, cases = list(self._start), [0] * len(self._start)
        spans = []
        for word, tokens in zip(words[first:end], pieces[first:end], strict=True):
            spans.append((len(ids), len(tokens)))
            ids += tokens
            number = 1 + 2 * _case(word)
            cases += [number + (place > 0) for place in range(len(tokens))]
        ids += self._end
        cases += [0] * len(self._end)
        shares = np.zeros((end - first, len(ids)), np.float32)
        for row, (start, count) in enumerate(spans):
            shares[row, start : start + count] = 1 / max(count, 1)
        return Window(
            ids=np.array(ids, np.int64),
            cases=np.array(cases, np.int64),
            shares=shares,
            characters=np.array([_characters(word) for word in words[first:end]], np.int64),
            shapes=np.array(
                [self._shapes.get(shape(word), 0) for word in words[first:end]], np.int64
            ),
            flags=flags[first:end],
        )


def learn_shapes(words: Iterable[str], limit: int) -> list[str]:
    """The most frequent shapes, the frequent first; of equals the lesser."""
    counts = Counter(map(shape, words))
    return sorted(counts, key=lambda found: (-counts[found], found))[:limit]


def plain(word: str) -> str:
    """A word as the tokenizer is given it: no name's sign, and humps apart ("BigDay", "Big Day").

    Addresses and names of accounts say little by their letters; each becomes one word.
    """
    if _ADDRESS.match(word):
        return "http"
    if word.startswith("@") and len(word) > 1:
        return "user"
    if word.startswith("#") and len(word) > 1:
        return _HUMP.sub(" ", word[1:])
    return word


def shape(word: str) -> str:
    """Letters by case and digits by kind, runs as one: "iPhone7" is "xXxd"."""
    return _shape(word[: HEAD * TAIL])


@lru_cache(maxsize=4096)
def _shape(word: str) -> str:
    kinds = "".join(
        "X" if c.isupper() else "x" if c.islower() else "d" if c.isdigit() else c for c in word
    )
    return _REPEATED.sub(r"\1", kinds)[:SHAPE_LENGTH]


def _case(word: str) -> int:
    """A word's kind of casing, in [0, CASES)."""
    kinds = (
        _ADDRESS.match(word) is not None,
        word.startswith("@"),
        word.startswith("#"),
        not any(map(str.isalnum, word)),
        not any(map(str.isalpha, word)),
        word.islower(),
        word.isupper() and len(word) > 1,
        word[:1].isupper() and word[1:].islower(),
        word[:1].isupper(),
    )
    return kinds.index(True) if True in kinds else CASES - 1


def _characters(word: str) -> list[int]:
    kept = word if len(word) <= HEAD + TAIL else word[:HEAD] + word[-TAIL:]
    numbers = [_CHARACTER.get(character, 1) for character in kept]
    return numbers + [0] * (HEAD + TAIL - len(numbers))


def _flags(words: Sequence[str]) -> Floats:
    """[words, FLAGS]; the last two tell how much capitals say in this text."""
    letters = sum(word[:1].isalpha() for word in words)
    capitals = sum(word[:1].isupper() for word in words) / max(letters, 1)
    rows = [
        (
            word[:1].isupper(),
            word.isupper() and len(word) > 1,
            word.islower(),
            any(map(str.isdigit, word)),
            word.startswith("@"),
            word.startswith("#"),
            _ADDRESS.match(word) is not None,
            not any(map(str.isalnum, word)),
            any(map(str.isupper, word[1:])) and any(map(str.islower, word)),
            number == 0,
            capitals,
            (1 - capitals) * word[:1].isupper(),
        )
        for number, word in enumerate(words)
    ]
    return np.array(rows, np.float32).reshape(len(words), FLAGS)
