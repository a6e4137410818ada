"""What curation does to one row: clean it, name it for comparison, give it a place.

Everything here follows from the row and the seed alone, never from the rows around it, so that a
data set of any size passes through in chunks. `stages.curate` compares rows with each other.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from greenlight.core import tagging

Kind = Literal["classify", "tag", "chat"]
"""What the label of a row is: one for its text, a tag for each word of it (`core.tagging`), or the
answer to the messages that its text holds (`core.messages`)."""

CLASSIFY: Kind = "classify"
TAG: Kind = "tag"
CHAT: Kind = "chat"

MISFIT = "misfit"
"""The reason of a row that is left out because its tags do not fit its text."""

VALIDATION_SHARE = 0.1
"""Of the training rows, where a source has its own train and test."""

SPLITS = ("train", "validation", "test")
"""Every split; the place of a row is an index of this."""

TRAIN, VALIDATION, TEST = range(3)

_TENTHS = (TRAIN,) * 8 + (VALIDATION, TEST)
_WORD = re.compile(r"[^\W_]+")
_REPLACEMENT = "\ufffd"
_CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], " ")
_CONTROLS_IN_WORDS = dict.fromkeys(_CONTROLS, _REPLACEMENT)
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_ENCODER = msgspec.json.Encoder(order="sorted")


class Row(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """A text and its label, and where it came from.

    `unit` is the pseudonym of whom the text came from and `inference` the id of the request.
    `prompt` is the digest of the bundle with the instructions that the answer was asked for with,
    and `answer` what a model is to say where that is more than the label. All are empty, and left
    out of files, where a row has none.
    """

    text: str
    label: str
    unit: str = ""
    inference: str = ""
    prompt: str = ""
    answer: str = ""


class Keys(NamedTuple):
    """16 bytes each; equal where two texts are the same text by that notion.

    `exact` is the text as it came, `lower` overlooks case and white space and decides what is a
    duplicate or a leak, `words` overlooks punctuation too and is only reported.
    """

    exact: bytes
    lower: bytes
    words: bytes


def readable(text: str) -> str:
    """The text with U+FFFD in place of each lone surrogate, which no UTF-8 can hold."""
    return _SURROGATES.sub(_REPLACEMENT, text)


def normalise(text: str) -> str:
    """NFC, with every run of white space as one space and none at the ends.

    Control characters, NUL among them, count as white space: no tool after this one has to cope
    with them.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if not text.isprintable():
        text = text.translate(_CONTROLS)
    return " ".join(text.split())


def normalise_words(text: str) -> str:
    """NFC word by word, one space between words: as many words as there were, in their order.

    Control characters within a word become U+FFFD. As white space they would make two words of one;
    gone, they would join what the search for personal data has seen apart.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return tagging.join(word.translate(_CONTROLS_IN_WORDS) for word in tagging.words(text))


def lower(text: str) -> str:
    """The form under which two texts are the same text."""
    return normalise(text).lower()


def words(text: str) -> str:
    """The words of letters and digits, lower-cased: equal for texts that differ in punctuation."""
    return " ".join(_WORD.findall(lower(text)))


def clean(row: Row, kind: Kind = CLASSIFY) -> Row:
    """The row with its text normalised and no white space around its label.

    The words of a row of kind `tag` stay as many, and one space stands between its tags. What was
    asked with instructions is learnt as it was served, and so is what was said in a chat
    (REQUIREMENTS D4): such a text stays as it is.
    """
    if kind == CHAT:
        return row
    if row.prompt:
        text, label = row.text, row.label.strip()
    elif kind == TAG:
        text, label = normalise_words(row.text), tagging.join(tagging.tags(row.label))
    else:
        text, label = normalise(row.text), row.label.strip()
    if text == row.text and label == row.label:
        return row
    return msgspec.structs.replace(row, text=text, label=label)


def keys(came: str, normalised: str) -> Keys:
    """What a text is compared by: as it came, and normalised."""
    low = normalised.lower()
    return Keys(_short(came), _short(low), _short(" ".join(_WORD.findall(low))))


def place(seed: int, row: Row) -> int:
    """The split of a row whose source has none: 80 % train, 10 % validation, 10 % test.

    It follows from the unit, so that a unit is in one split only. A row without one counts as a
    unit of its own, by its text.
    """
    return _TENTHS[_draw(seed, row.unit or lower(row.text)) * 10 >> 64]


def is_held_out(seed: int, unit: str) -> bool:
    """Whether a unit's training rows go to validation, where a source has train and test."""
    return _draw(seed, unit) < VALIDATION_SHARE * 2**64


def rank(seed: int, text: str) -> int:
    """The rank by which rows without a unit are drawn for validation, in [-2⁶³, 2⁶³).

    It is SHA-256 of seed and text: no generator whose stream could change with a library, and a
    row's rank does not depend on the rows around it.
    """
    return _draw(seed, text) - 2**63


def held_out(count: int) -> int:
    """How many of a label's `count` training rows go to validation: at least one of two."""
    return min(max(1, round(count * VALIDATION_SHARE)), count - 1)


def encode(rows: Sequence[Row]) -> bytes:
    """The bytes of `core.jsonl.encode`, many times faster: a row is text alone."""
    return _ENCODER.encode_lines(rows)


def _draw(seed: int, text: str) -> int:
    """Uniform in [0, 2⁶⁴)."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{text}".encode()).digest()[:8])


def _short(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
