"""Mermaid in Markdown."""

from __future__ import annotations

import inspect

FENCE = "```"


def block(diagram: str) -> str:
    """A diagram as a block of a Markdown page."""
    return f"{FENCE}mermaid\n{diagram}\n{FENCE}"


_ESCAPED = str.maketrans({"#": "#35;", "<": "#lt;", ">": "#gt;", ";": "#59;"})


def plain(text: str) -> str:
    """A text as it may stand in a diagram, where `;` ends a statement and `<` begins a tag."""
    return text.translate(_ESCAPED)


def summary(thing: object) -> str:
    """The first sentence of a docstring, on one line."""
    words = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    return words.split(". ")[0].rstrip(".")
