"""Files of words and their tags, as the shared tasks of CoNLL write them.

A word and its tag stand on each line, a tab between them. A sentence ends where a line is empty or
holds only white space: in WNUT-2017 most of them end with a lone tab. A line that begins with `#`
is a hashtag, and no comment.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain

from greenlight.core import tagging


def sentences(
    lines: Iterable[str], fault: Callable[[str], None], known: Collection[str] = ()
) -> Iterator[tuple[str, str] | None]:
    """The sentences of a file as text and label, each as soon as it has ended.

    A word with white space of any kind in it is refused: a text is its words with one space between
    them, so that it would count as two.

    Args:
        lines: with or without their line breaks.
        fault: told what is wrong with the line just taken; it raises, or its sentence is left out.
        known: the tags that there are; without any, all will do.

    Yields:
        A sentence, or None in the place of one that was left out.
    """
    words: list[str] = []
    tags: list[str] = []
    whole = True
    for line in chain(lines, [""]):
        if line.strip():
            word, _, tag = line.rstrip("\r\n").partition("\t")
            wrong = _wrong(word, tag.strip(), known)
            if wrong is not None:
                fault(wrong)
                whole = False
            words.append(word)
            tags.append(tag.strip())
        elif words:
            yield (tagging.join(words), tagging.join(tags)) if whole else None
            words, tags, whole = [], [], True


def _wrong(word: str, tag: str, known: Collection[str]) -> str | None:
    if not word.strip() or not tag:
        return "no word, tab and tag; write both, with a tab between them"
    if word.split() != [word]:
        return "the word holds white space; write it without, or on two lines"
    if len(tag.split()) > 1:
        return "more than one tag; keep the one that is learnt"
    if known and tag not in known:
        return f"no such tag; there are {', '.join(sorted(known))}"
    return None
