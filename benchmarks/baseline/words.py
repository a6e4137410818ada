"""Taggers that learn nothing but what they have seen: a floor for anything that is called one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from greenlight.core.tagging import OUTSIDE, join, spans, tags, words
from greenlight.ports import Example

Tagger = Callable[[str], str]
"""From a text to its tags, with a space between them."""

HALF = 0.5
LONGEST = 8
"""Words of the longest phrase that is looked up."""


def silent(_rows: Sequence[Example]) -> Tagger:
    """Finds nothing."""
    return lambda text: join(OUTSIDE for _ in words(text))


def by_word(rows: Sequence[Example]) -> Tagger:
    """Gives each word the tag that it had most often, in whatever case; `O` to a new one."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for word, tag in zip(words(row.text), tags(row.label), strict=True):
            seen[word.lower()][tag] += 1
    best = {word: min(found, key=lambda tag: (-found[tag], tag)) for word, found in seen.items()}
    return lambda text: join(best.get(word.lower(), OUTSIDE) for word in words(text))


def by_phrase(rows: Sequence[Example]) -> Tagger:
    """Finds the entities of its rows again, the longest first, in whatever case.

    A phrase counts if at least half of the places where it stands are an entity; its type is the
    most frequent one.
    """
    kinds: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for row in rows:
        spoken = words(row.text.lower())
        for span in spans(tags(row.label)):
            kinds[tuple(spoken[span.start : span.end])][span.type] += 1
    places: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        places.update(phrase for phrase, _ in _phrases(row.text) if phrase in kinds)
    known = {
        phrase: min(found, key=lambda kind: (-found[kind], kind))
        for phrase, found in kinds.items()
        if len(phrase) <= LONGEST and found.total() >= HALF * places[phrase]
    }

    def tag(text: str) -> str:
        made = [OUTSIDE] * len(words(text))
        for phrase, start in sorted(_phrases(text), key=lambda it: (-len(it[0]), it[1])):
            end = start + len(phrase)
            if phrase in known and made[start:end] == [OUTSIDE] * len(phrase):
                kind = known[phrase]
                made[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (len(phrase) - 1)]
        return join(made)

    return tag


def _phrases(text: str) -> list[tuple[tuple[str, ...], int]]:
    """Every run of words up to the longest, with the place of its first."""
    spoken = words(text.lower())
    return [
        (tuple(spoken[start : start + length]), start)
        for length in range(1, LONGEST + 1)
        for start in range(len(spoken) - length + 1)
    ]


TAGGERS: dict[str, Callable[[Sequence[Example]], Tagger]] = {
    "every word O": silent,
    "each word its most frequent tag": by_word,
    "entities of train, found again": by_phrase,
}
"""Name → how it is made of training rows."""
