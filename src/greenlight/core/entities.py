"""The entities of a text, as those who asked are told of them."""

from __future__ import annotations

import re
from typing import NamedTuple

from greenlight.core.tagging import check, spans, tags

_BEFORE = "@#_"
"""Signs that may begin an entity, beside letters and digits."""


class Entity(NamedTuple):
    """An entity of a text: characters [start, end), its type, and what stands there."""

    start: int
    end: int
    type: str
    text: str


def entities(text: str, label: str) -> list[Entity]:
    """The entities that tags say there are, by characters, without the punctuation around them.

    Words that are punctuation alone are kept as they are. It takes time in proportion to the text.

    Args:
        text: as it came, with any white space.
        label: a tag for each of its words.

    Raises:
        BadInput: the label does not tag the text.
    """
    check(text, label)
    places = [match.span() for match in re.finditer(r"\S+", text)]
    found = []
    for span in spans(tags(label)):
        start, end = _bare(text, places[span.start][0], places[span.end - 1][1])
        found.append(Entity(start, end, span.type, text[start:end]))
    return found


def _bare(text: str, start: int, end: int) -> tuple[int, int]:
    """The same without signs at its ends; unchanged where there is nothing else."""
    first, last = start, end
    while first < last and not (text[first].isalnum() or text[first] in _BEFORE):
        first += 1
    while first < last and not (text[last - 1].isalnum() or text[last - 1] == "_"):
        last -= 1
    return (first, last) if first < last else (start, end)
