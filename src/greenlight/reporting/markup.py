"""Pages as text: no script, nothing fetched, every text escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from importlib import resources

from greenlight.reporting import style
from greenlight.reporting.gallery import Picture

_CONTROLS = {code: "\ufffd" for code in range(32) if chr(code) not in "\t\n"}


class Markup(str):
    """Text that is HTML already. Everything else is escaped."""

    __slots__ = ()


Cell = str | tuple[str, str]
"""A cell's text, or (its class, its text)."""


def document(title: str, parts: Iterable[str], more: str = "") -> str:
    """A whole page of parts that are HTML; empty ones are left out. `more` is more of its style."""
    css = resources.files("greenlight.reporting").joinpath("report.css").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{css}{more}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(part for part in parts if part) + "\n</main>\n</body>\n"
        "</html>\n"
    )


def pictures(drawn: Sequence[Picture]) -> list[str]:
    """Figures with their captions, numbered from 1."""
    parts = []
    for number, picture in enumerate(drawn, start=1):
        caption = escape(picture.caption)
        opening = f'<svg role="img" aria-label="{caption}" '
        drawing = style.svg(picture.figure, picture.name).replace("<svg ", opening, 1)
        parts.append(
            f"<figure>\n{drawing}\n"
            f"<figcaption><b>Figure {number}.</b> {caption}</figcaption>\n</figure>"
        )
    return parts


def escape(text: str) -> str:
    """Text as it may stand in HTML, in an attribute too; control characters become `\ufffd`."""
    if isinstance(text, Markup):
        return text
    return html.escape(text.translate(_CONTROLS), quote=True)


def section(title: str, parts: Iterable[str]) -> str:
    """A part of a page under a heading; its parts are HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def table(caption: str, head: Sequence[Cell], rows: Sequence[Sequence[Cell]]) -> str:
    """A table whose first cell of a row names the row."""
    top = "".join(_cell("th", cell, ' scope="col"') for cell in head)
    body = "".join(
        "<tr>"
        + _cell("th", row[0], ' scope="row"')
        + "".join(_cell("td", cell) for cell in row[1:])
        + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table>\n<caption>{escape(caption)}</caption>\n'
        f"<thead><tr>{top}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>"
    )


def _cell(tag: str, cell: Cell, more: str = "") -> str:
    kind, text = cell if isinstance(cell, tuple) else ("", cell)
    named = f' class="{kind}"' if kind else ""
    return f"<{tag}{more}{named}>{escape(text)}</{tag}>"
