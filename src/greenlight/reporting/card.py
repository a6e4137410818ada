"""A model card as one page with figures: the same sections that its Markdown has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from greenlight.core import markdown, model_card
from greenlight.core.model_card import Code, Facts, Section
from greenlight.reporting import judged
from greenlight.reporting.markup import Cell, Markup, document, escape, pictures, section, table

MARKDOWN, PAGE = "model_card.md", "model_card.html"

_IN_HEADER = "Warnings"
_FIGURES_AFTER = "Most frequent confusions"

_CAPTIONS = {
    "Metrics": "Of the shipped bundle on the test rows; train and validation of a fit on train.",
    "Against the live version": "A positive difference is in favour of this version.",
    "Trained on shuffled labels": "The share of the most frequent label is what chance can reach.",
    "Weakest labels": "By F1 on the test rows.",
    "Most frequent confusions": "Test rows of one label that were given another.",
    "Gates": "What the gates said of this evaluation.",
    "Approvals": "Each word is signed and names the evaluation that its speaker saw.",
    "Lineage": "Equal digests mean equal content.",
    "Measured on": "Numbers of time are those of this machine.",
}


def write(folder: str | Path, facts: Facts) -> dict[str, Path]:
    """Write the card as Markdown and as a page; returns where each is."""
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    paths = {"markdown": root / MARKDOWN, "page": root / PAGE}
    paths["markdown"].write_text(
        markdown.render(model_card.title(facts), model_card.sections(facts)), encoding="utf-8"
    )
    paths["page"].write_text(page(facts), encoding="utf-8")
    return paths


def page(facts: Facts) -> str:
    """The card as one HTML file: no script, nothing fetched; equal facts give equal pages."""
    found: dict[str, Any] = {} if facts.evaluation is None else facts.evaluation.document
    drawn = judged.pictures(found)
    parts = [_header(facts, found)]
    for told in model_card.sections(facts):
        if told.title != _IN_HEADER:
            parts.append(_section(told))
        if told.title == _FIGURES_AFTER and drawn:
            parts.append(section("Figures", pictures(drawn)))
    parts.append(
        "<footer>Written by Greenlight from its records. The ledger holds the evaluation and every "
        "approval; <code>greenlight audit verify</code> checks it.</footer>"
    )
    return document(model_card.title(facts), parts)


def _header(facts: Facts, found: dict[str, Any]) -> str:
    accuracy = found.get("intent", {}).get("test", {}).get("accuracy", {})
    lead = "No evaluation is on record."
    if "value" in accuracy:
        lead = (
            f"Accuracy {accuracy['value']:.2%} on {accuracy['n']:,} test rows (95% interval "
            f"{accuracy['low']:.2%} to {accuracy['high']:.2%})."
        )
    warned = ""
    if found.get("warnings"):
        items = "".join(f"<li>{escape(str(it['reason']))}</li>" for it in found["warnings"])
        warned = f'<aside class="warning">\n<h2>Warnings</h2>\n<ul>{items}</ul>\n</aside>\n'
    return (
        f'<header>\n<p class="eyebrow">Greenlight · {escape(facts.version.task)} · model card</p>\n'
        f'<h1>{escape(facts.version.label)}</h1>\n<p class="lead">{escape(lead)}</p>\n'
        f"{warned}</header>"
    )


def _section(told: Section) -> str:
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
        parts.append(table(_CAPTIONS[told.title], head, cells) if cells else "<p>None.</p>")
    return section(told.title, parts)


def _cell(cell: str) -> Markup:
    return (
        Markup(f"<code>{escape(str(cell))}</code>")
        if isinstance(cell, Code)
        else Markup(escape(cell))
    )
