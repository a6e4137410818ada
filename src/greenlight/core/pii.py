"""Personal data in a text: find it, and put a fixed word in its place.

Found are e-mail addresses, bank accounts (IBAN), payment cards, US social security and UK national
insurance numbers, and telephone numbers: British, North American, and international ones with
their `+`. Names and postal addresses are not found: that takes a model, and a model errs.

A text is read as a person would see it: full-width forms, digits of other scripts and typographic
dashes count as their plain counterparts, what has no width does not count at all, and a run of
white space and control characters is one space, as it is for curation. Offsets are those of the
text as it came.

In doubt a finding is one where it costs a word of a training text (ten bare digits that are a valid
number), and none where the shape is that of everyday numbers (money, dates, times, orders).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from greenlight.core import pii_shapes
from greenlight.core.errors import BadInput

PLACEHOLDERS: Mapping[str, str] = {
    "email": "[EMAIL]",
    "iban": "[IBAN]",
    "ssn": "[SSN]",
    "nino": "[NINO]",
    "card": "[CARD]",
    "phone": "[PHONE]",
}
"""What stands for each kind.

Data sets are named by the digest of their rows: a changed placeholder is a changed data set.
"""

ROUNDS = 64
"""Passes that `scrub` may take. One is the rule; what hid behind another finding takes two."""


class Finding(NamedTuple):
    """Personal data of a kind at `text[start:end]`."""

    kind: str
    start: int
    end: int


class Scrubbed(NamedTuple):
    """A text without personal data, and how many findings of each kind it had."""

    text: str
    findings: dict[str, int]


def find(text: str) -> list[Finding]:
    """What one pass finds in `text`, in order, none overlapping another.

    A number that stands so close to another that only one of them can be told is found once the
    other is gone: `scrub` goes on until nothing is left.
    """
    if not _suspicious(text):
        return []
    plain, at = _as_seen(text)
    plain = pii_shapes.masked(plain, (match.span() for match in _IDS.finditer(plain)))
    found = []
    for kind, finder in pii_shapes.FINDERS.items():
        spans = sorted(finder(plain))
        plain = pii_shapes.masked(plain, spans)
        found += [Finding(kind, *_in_text(text, at, span)) for span in spans]
    apart: list[Finding] = []
    for one in sorted(found, key=lambda one: one.start):
        if not apart or one.start >= apart[-1].end:
            apart.append(one)
    return apart


def scrub(text: str, rounds: int = ROUNDS, *, by_word: bool = False) -> Scrubbed:
    """Put a placeholder in the place of each finding, until nothing is found.

    Args:
        text: what may hold personal data.
        rounds: how often to look.
        by_word: put a placeholder in the place of each word that a finding touches, and leave the
            white space between them: as many words come out as went in, for texts whose words have
            tags.

    Raises:
        BadInput: something still is after that many rounds. The message repeats none of the text.
    """
    counts: Counter[str] = Counter()
    found = find(text)
    for _ in range(rounds):
        if not found:
            break
        text = _words_replaced(text, found) if by_word else _replaced(text, found)
        counts.update(one.kind for one in found)
        found = find(text)
    if found:
        left = ", ".join(f"{one.kind} at {one.start} to {one.end}" for one in found)
        raise BadInput(
            f"personal data is left after {rounds} rounds of scrubbing ({left}); "
            "take it out by hand, or leave the text out"
        )
    return Scrubbed(text, dict(counts))


def withheld(message: str) -> str:
    """A message for records and logs, which are kept: with placeholders for what it repeats.

    Databases repeat the value that they choke on, and the first line of a file without a head is
    taken for the names of its columns.
    """
    try:
        return scrub(message).text
    except BadInput as error:
        return str(error)


def _replaced(text: str, found: list[Finding]) -> str:
    parts, done = [], 0
    for kind, start, end in found:
        parts += [text[done:start], PLACEHOLDERS[kind]]
        done = end
    return "".join([*parts, text[done:]])


def _words_replaced(text: str, found: list[Finding]) -> str:
    parts, done, rest = [], 0, list(reversed(found))
    for word in _WORD.finditer(text):
        while rest and rest[-1].end <= word.start():
            rest.pop()
        if rest and rest[-1].start < word.end():
            parts += [text[done : word.start()], PLACEHOLDERS[rest[-1].kind]]
            done = word.end()
    return "".join([*parts, text[done:]])


# --- reading a text as it is seen -----------------------------------------------------------------

_WORD = re.compile(r"\S+")
_SIX_DIGITS = re.compile(r"\d(?:\D*+\d){5}")
_IDS = re.compile(
    r"(?<![\w.+-])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32,})(?![\w+-]|[\w.+-]*@)",
    re.IGNORECASE | re.ASCII,
)
"""UUIDs and digests, in which chance writes telephone numbers; not if they name a mailbox."""
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_DASHES = frozenset("\u2212\u2043\u30fc")


def _suspicious(text: str) -> bool:
    """Cheap, and true of every text with a finding: each has an @ or at least six digits."""
    seen = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return "@" in seen or _SIX_DIGITS.search(seen) is not None


def _as_seen(text: str) -> tuple[str, list[int]]:
    """The text as a person would read it, and the place that each of its characters came from."""
    plain: list[str] = []
    at: list[int] = []
    for place, char in enumerate(text):
        for one in _plain(char):
            if one != " " or plain[-1:] != [" "]:
                plain.append(one)
                at.append(place)
    return "".join(plain), at


@functools.lru_cache(maxsize=4096)
def _plain(char: str) -> str:
    """The plain counterpart of a character: empty for what has no width, accents among it."""
    category = unicodedata.category(char)
    if char.isspace() or category == "Cc":
        return " "
    if category[0] == "M" or category == "Cf" or char in _BLANK:
        return ""
    if category == "Pd" or char in _DASHES:
        return "-"
    if category == "Nd":
        return str(unicodedata.decimal(char))
    folded = unicodedata.normalize("NFKD", char)
    return char if folded == char else "".join(map(_plain, folded))


def _in_text(text: str, at: list[int], span: tuple[int, int]) -> tuple[int, int]:
    """A span of the text as it came, with the accents that its last character bears."""
    start, end = at[span[0]], at[span[1] - 1] + 1
    while end < len(text) and not _plain(text[end]):
        end += 1
    return start, end
