"""An answer that says why, `LABEL: reason`: how the two are written as one, and how long it may be.

Only models that talk give reasons. Whatever compares answers compares labels: the same judgement in
other words is the same judgement.
"""

from __future__ import annotations

from greenlight.core import curation

LONGEST = 500
"""Characters of a reason; what goes beyond is cut off."""

AROUND = "\"'`*. "
"""Signs around a label, or before a reason, that are part of neither."""

_READ = 8 * LONGEST
"""Characters that are looked at to find so many."""


def plain(words: str) -> str:
    """What makes a label of words: neither case, nor white space and quotes around it."""
    return curation.lower(words).strip(AROUND)


def short(words: str) -> str | None:
    """The words as one line of at most `LONGEST` characters; None if there are none."""
    return curation.normalise(words[:_READ])[:LONGEST].rstrip() or None


def whole(label: str, reason: str | None) -> str:
    """The answer as it is said."""
    return label if reason is None else f"{label}: {reason}"
