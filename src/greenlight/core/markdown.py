"""Sections as Markdown. Texts of others stay text: no line, cell or markup of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from greenlight.core.model_card import Cell, Code, Link, Section, Table

_SIGNS = re.compile(r"[\\|`<\[\]*~]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")
"""What means something within a line; an underscore within a word does not, nor a lone &."""
_BEGINS = re.compile(r"^(\d+(?=[.)](?: |$))|(?=[-+>=#]))")
"""Where a line needs a stroke to be no heading, list, quotation or rule."""
_CLOSES = re.compile(r"(?<!\S)(?=#+$)")
"""Where a heading needs one, so that its end is its own."""


class Image(NamedTuple):
    """A figure that lies beside the text."""

    path: str
    """Seen from the text; what has a meaning in an address is escaped in it."""
    says: str
    """What it shows, for those who do not see it too."""


def render(
    title: str, sections: Iterable[Section], images: Mapping[str, Sequence[Image]] | None = None
) -> str:
    """Sections under a title, as Markdown.

    Args:
        title: the heading.
        sections: what stands under it, in order.
        images: by the title of the section that they stand at the end of.
    """
    parts = [f"# {_heading(title)}"]
    for section in sections:
        blocks = [f"## {_heading(section.title)}"]
        if section.warnings:
            blocks.append("\n".join(f"- **Warning**: {_text(line)}" for line in section.warnings))
        if section.text:
            blocks.append(_line(section.text))
        if section.items:
            blocks.append("\n".join(f"- {_line(name)}: {_cell(it)}" for name, it in section.items))
        if section.table is not None:
            blocks.append("\n".join(_table(section.table)))
        for image in (images or {}).get(section.title, ()):
            blocks += [f"![{_text(image.says)}]({image.path})", f"*{_text(image.says)}*"]
        parts.append("\n\n".join(blocks))
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> list[str]:
    if not table.rows:
        return ["None."]
    lines = [table.head, ["---"] * len(table.head)]
    lines += [[_cell(cell) for cell in row] for row in table.rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _cell(cell: Cell) -> str:
    if isinstance(cell, Link):
        return f"[{_text(cell)}]({cell.target})"
    return _code(cell) if isinstance(cell, Code) else _text(cell)


def _code(value: str) -> str:
    """A name as it is; a code span knows no escape but that of a table's cell."""
    return "`" + " ".join(value.split()).replace("`", "'").replace("|", "\\|") + "`"


def _text(value: object) -> str:
    """Text of others inside a line of Markdown: no new line, no cell, no markup of its own."""
    return _SIGNS.sub(r"\\\g<0>", " ".join(str(value).split()))


def _heading(value: object) -> str:
    """The same to the end of a heading."""
    return _CLOSES.sub(r"\\", _text(value))


def _line(value: object) -> str:
    """The same where a line begins."""
    return _BEGINS.sub(r"\1\\", _text(value))
