"""From rows as published to rows to learn from: normalise, dedupe, find leaks, split.

Every exclusion has a reason and a count. The test rows are the benchmark, so none is taken out;
where a text stands in both, the training row goes.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from greenlight.core.errors import BadInput

VALIDATION_SHARE = 0.1

_WORD = re.compile(r"[^\W_]+")


class Row(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """A text and its label, and where it came from.

    `unit` is the pseudonym of whom the text came from and `inference` the id of the request;
    both are empty, and left out of files, where a data set has none.
    """

    text: str
    label: str
    unit: str = ""
    inference: str = ""


class Curated(NamedTuple):
    """Splits in the order of their source, and what was left out or found on the way.

    `exclusions` counts training rows by reason: `empty`, `duplicate` (an earlier row has the same
    text and label), `contradiction` (the same text under two labels: every copy goes), `in_test`.
    `overlaps` counts training rows whose text stands in test: as it came (`exact`), without regard
    to case and white space (`lower`), by its words of letters and digits (`words`).
    """

    train: list[Row]
    validation: list[Row]
    test: list[Row]
    labels: list[str]
    exclusions: dict[str, int]
    overlaps: dict[str, int]


def normalise(text: str) -> str:
    """NFC, with every run of white space as one space and none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def lower(text: str) -> str:
    """The key under which two texts are the same text."""
    return normalise(text).lower()


def words(text: str) -> str:
    """The words of letters and digits, lower-cased: equal for texts that differ in punctuation."""
    return " ".join(_WORD.findall(lower(text)))


def curate(train: Sequence[Row], test: Sequence[Row], seed: int) -> Curated:
    """Normalise both, clean train of what may not be learnt from, split off validation.

    Raises:
        BadInput: an empty test text, a test label that nothing is left to learn from, or no rows.
    """
    clean = [Row(normalise(row.text), row.label) for row in test]
    if any(not row.text for row in clean):
        raise BadInput("test: a row has no text; a benchmark row cannot be left out")
    kept, exclusions = _select(train, {row.text.lower() for row in clean})
    labels = sorted({row.label for row in kept})
    unknown = sorted({row.label for row in clean} - set(labels))
    if not kept or unknown:
        raise BadInput(f"train: no row to learn from for {', '.join(unknown) or 'any label'}")
    learn, validate = split(kept, VALIDATION_SHARE, seed)
    return Curated(learn, validate, clean, labels, exclusions, overlaps(train, test))


def split(rows: Sequence[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Split off `share` of every label, at least one row of a label that has two.

    Rows are drawn in the order of SHA-256(seed, text): no generator whose stream could change
    with a library, and a row's place does not depend on the rows around it.
    """
    by_label: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_label[row.label].append(row.text)
    drawn = {
        Row(text, label)
        for label, texts in by_label.items()
        for text in sorted(texts, key=lambda text: _rank(seed, text))[: _size(len(texts), share)]
    }
    return [row for row in rows if row not in drawn], [row for row in rows if row in drawn]


def overlaps(train: Iterable[Row], test: Iterable[Row]) -> dict[str, int]:
    """How many training rows stand in test, by three notions of the same text."""
    mine, theirs = list(train), list(test)
    keys: dict[str, Callable[[str], str]] = {"exact": str, "lower": lower, "words": words}
    found = {}
    for name, key in keys.items():
        held = {key(row.text) for row in theirs}
        found[name] = sum(key(row.text) in held for row in mine)
    return found


def _select(rows: Sequence[Row], held: set[str]) -> tuple[list[Row], dict[str, int]]:
    labels: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        labels[lower(row.text)].add(row.label)
    kept: list[Row] = []
    seen: set[str] = set()
    out: Counter[str] = Counter(empty=0, duplicate=0, contradiction=0, in_test=0)
    for row in rows:
        key = lower(row.text)
        if not key:
            out["empty"] += 1
        elif key in held:
            out["in_test"] += 1
        elif len(labels[key]) > 1:
            out["contradiction"] += 1
        elif key in seen:
            out["duplicate"] += 1
        else:
            seen.add(key)
            kept.append(Row(normalise(row.text), row.label))
    return kept, dict(out)


def _rank(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{text}".encode()).digest()


def _size(count: int, share: float) -> int:
    return min(max(1, round(count * share)), count - 1)
