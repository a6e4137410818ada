"""What somebody probably meant who wrote a name that nothing goes by."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(word: str, known: Iterable[str]) -> str:
    """What to write instead, to end a message with: the nearest known name, else all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    near += [name for name in names if word.startswith(name) or name.startswith(word)]
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are: {', '.join(names)}" if names else ""
