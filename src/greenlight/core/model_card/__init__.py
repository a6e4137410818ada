"""The model card: what a version is for, what it can do, and what is known against it.

A card is sections of paragraphs, lists and tables; `core.markdown` writes them as text, and
`reporting.card` as a page. Whatever the records do not hold reads "not measured".
"""

from __future__ import annotations

from greenlight.core.model_card import beyond, fairness, measured, notes, origins
from greenlight.core.model_card.parts import Cell, Code, Facts, Link, Section, Table

__all__ = ["Cell", "Code", "Facts", "Link", "Section", "Table", "sections", "title"]


def title(facts: Facts) -> str:
    """What the card is called."""
    return f"Model card: {facts.version.label}"


def sections(facts: Facts) -> list[Section]:
    """Everything that a card says."""
    document = facts.document
    return [
        notes.intended(facts),
        measured.warnings(document),
        measured.metrics(document),
        measured.live(document),
        measured.usage(document),
        measured.sanity(document),
        beyond.out_of_scope(document),
        beyond.entities(document),
        measured.weakest(document),
        measured.confusions(document),
        *fairness.notes(document),
        notes.risks(document),
        notes.limits(document),
        *origins.data(facts),
        origins.personal_data(facts.dataset),
        notes.retention(facts),
        notes.security(facts),
        notes.failures(facts),
        beyond.drift(document),
        origins.gates(facts.gates),
        origins.approvals(facts.approvals),
        origins.lineage(facts),
        origins.conditions(facts),
    ]
