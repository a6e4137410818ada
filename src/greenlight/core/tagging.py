"""Tags of words: how a text and its entities are written down for a task of the kind `tag`.

A row's text is its words with one space between them, its label their tags with one space between
them, as many. A tag is `O`, or `B-TYPE` where an entity begins and `I-TYPE` where it goes on (L.
Ramshaw, M. Marcus, "Text Chunking using Transformation-Based Learning", 1995; the form IOB2). An
`I-TYPE` that follows nothing of its type begins an entity too, as in conlleval (E. Tjong Kim Sang,
S. Buchholz, "Introduction to the CoNLL-2000 Shared Task: Chunking", 2000).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from greenlight.core.errors import BadInput

OUTSIDE = "O"
"""The tag of a word that is part of no entity."""

_TAG = re.compile(r"O|[BI]-\S+")


class Span(NamedTuple):
    """An entity: words [start, end) and its type."""

    start: int
    end: int
    type: str


def words(text: str) -> list[str]:
    """The words of a text: what stands between white space."""
    return text.split()


def tags(label: str) -> list[str]:
    """The tags of a label."""
    return label.split()


def join(parts: Iterable[str]) -> str:
    """Words as a text, or tags as a label."""
    return " ".join(parts)


def is_tag(name: str) -> bool:
    """Whether this is `O`, `B-TYPE` or `I-TYPE`."""
    return _TAG.fullmatch(name) is not None


def check(text: str, label: str) -> None:
    """See that a label tags the words of a text.

    Raises:
        BadInput: another number of tags than of words, or something that is no tag.
    """
    given, wanted = tags(label), len(words(text))
    for tag in given:
        if not is_tag(tag):
            raise BadInput(f"tag {tag!r}: not O, B-TYPE or I-TYPE", "label")
    if len(given) != wanted:
        raise BadInput(f"{len(given)} tags for {wanted} words; give every word a tag", "label")


def spans(given: Sequence[str]) -> list[Span]:
    """The entities that tags say there are, in order."""
    found: list[Span] = []
    start, kind = 0, ""
    for place, tag in enumerate((*given, OUTSIDE)):
        if kind and tag == f"I-{kind}":
            continue
        if kind:
            found.append(Span(start, place, kind))
        start, kind = place, tag[2:]
    return found


def of_words(labels: Iterable[str]) -> list[str]:
    """All tags of many labels, one after the other."""
    return [tag for label in labels for tag in tags(label)]


def tag_set(labels: Iterable[str]) -> list[str]:
    """The tags that stand in labels, and `O`, sorted by code point."""
    return sorted({OUTSIDE, *of_words(labels)})


def types(label: str) -> str:
    """The types of the entities of a label, each once; empty where there is none."""
    return join(sorted({span.type for span in spans(tags(label))}))


def relabel(labels: Sequence[str], dealt: Sequence[str]) -> list[str]:
    """Labels as long as these, of other tags.

    Args:
        labels: whose lengths count.
        dealt: the tags of all words, one after the other.
    """
    rest = iter(dealt)
    return [join(next(rest) for _ in tags(label)) for label in labels]
