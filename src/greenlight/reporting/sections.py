"""A section of a paper (`core.model_card.Section`) as a part of a page."""

from __future__ import annotations

from greenlight.core.model_card import Code, Link, Section
from greenlight.reporting.markup import Cell, Markup, escape, section, table


def told_section(told: Section, caption: str) -> str:
    """A section under its heading.

    Args:
        told: what it says.
        caption: of its table, if it has one.
    """
    parts = []
    if told.warnings:
        rows = "".join(f"<li>{escape(line)}</li>" for line in told.warnings)
        parts.append(f"<ul>{rows}</ul>")
    if told.text:
        parts.append(f"<p>{escape(told.text)}</p>")
    if told.items:
        rows = "".join(f"<li>{escape(name)}: {_cell(it)}</li>" for name, it in told.items)
        parts.append(f"<ul>{rows}</ul>")
    if told.table is not None:
        cells = [[_cell(cell) for cell in row] for row in told.table.rows]
        head: list[Cell] = list(told.table.head)
        parts.append(table(caption, head, cells) if cells else "<p>None.</p>")
    return section(told.title, parts)


def _cell(cell: str) -> Markup:
    if isinstance(cell, Link):
        return Markup(f'<a href="{escape(cell.target)}">{escape(str(cell))}</a>')
    return (
        Markup(f"<code>{escape(str(cell))}</code>")
        if isinstance(cell, Code)
        else Markup(escape(cell))
    )
