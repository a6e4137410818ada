"""Is a text one SELECT and nothing else?

A first fence, for mistakes. The second is a user of the database who may only read.
"""

from __future__ import annotations

import re

_WRITES = re.compile(
    "ALTER|ATTACH|CALL|COPY|CREATE|DELETE|DETACH|DROP|EXECUTE|GRANT|INSERT|INTO|LOCK|MERGE|PRAGMA|"
    "REVOKE|SET|TRUNCATE|UPDATE|VACUUM"
)
"""Words that no reading query has outside of quotes."""

_QUOTED = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/""", re.DOTALL
)
_HIDING = re.compile(r"\$[A-Za-z_]*\$|\b[eE]'")
"""Quotes that only some databases know ($tag$ and E'…'): what one takes for the end of a text, the
other does not, so that a statement could hide in between."""

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


def refusal(query: str) -> str | None:
    """Why a query is not one that only reads, or None if it is."""
    if _HIDING.search(query):
        return "it has a text in dollar signs or E'…'; write plain quotes"
    bare = _QUOTED.sub(" ", query).strip().removesuffix(";")
    words = [word.upper() for word in _WORD.findall(bare)]
    if not words or words[0] not in ("SELECT", "WITH"):
        return f"it begins with {words[0] if words else 'nothing'}; write one SELECT"
    if ";" in bare:
        return "there is more than one statement; write one SELECT"
    found = next((word for word in words if _WRITES.fullmatch(word)), None)
    if found is not None:
        return f"{found} has no place in a query that only reads; put it in quotes if it is a name"
    return None
