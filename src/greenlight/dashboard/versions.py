"""The pages of versions: what there is, and of one what it can do, where it comes from, who signed.

A version's page is its model card, drawn from the same sections that `greenlight card` writes, with
what a card has no room for: every label, more confusions, the stages of its run, its rollouts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from greenlight.core import model_card
from greenlight.core.approval import Quorum
from greenlight.core.evaluation import Judged, judgement
from greenlight.core.model_card import Code, Facts, Section
from greenlight.core.records import Evaluation, Rollout, StageResult, Version
from greenlight.dashboard.http import Answer, Page, Request

PATH = "/versions"
MOST = 50
"""Versions on the list."""
MOST_CONFUSED = 30
"""Pairs of labels shown of those that were taken for each other."""

_SPLITS = ("test", "validation", "train")
_ROOM = 0.02
"""How much of the scale of a drawing is left free beyond the outermost interval."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A data set on the way to a version, the prepared one first."""

    digest: str
    name: str
    gone: str | None
    """Why its rows cannot be read any more; None while they are there."""
    facts: Mapping[str, Any]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Everything on record of a version that its page shows."""

    facts: Facts
    quorum: Quorum | None
    """How its sign-off stands; None where its task is not configured any more."""
    evaluations: Sequence[tuple[Evaluation, bool]]
    """Each with whether it passed its gates when they last judged it, the newest first."""
    stages: Sequence[StageResult]
    sources: Sequence[Source]
    rollouts: Sequence[Rollout]
    """Those that it was in, the newest first."""
    labels: Mapping[str, str]
    """Digest → label of every version that is named."""
    problem: str = ""
    """Why its rows could not be counted."""


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """What these pages ask of an installation."""

    versions: Callable[[], Sequence[Version]]
    """All of them, the newest first."""
    told: Callable[[str], Told]
    """Of a version by its label, its digest or the beginning of it; raises NotFound."""


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """An interval with its middle, as places on a line from 0 to 100."""

    name: str
    text: str
    low: float
    value: float
    high: float


class Versions:
    """Answers for `/versions` and `/versions/{label}`."""

    def __init__(self, archive: Archive) -> None:
        """Know whom to ask."""
        self._archive = archive

    def all(self, request: Request) -> Answer:
        """GET: the newest versions, of one task if the query names it."""
        task = request.query.get("task")
        found = [v for v in self._archive.versions() if task is None or v.task == task]
        values = {"versions": found[:MOST], "left_out": max(0, len(found) - MOST), "task": task}
        return Page("versions.html", values)

    def one(self, request: Request) -> Answer:
        """GET: one version."""
        told = self._archive.told(request.query["label"])
        evaluation = told.facts.evaluation
        document = {} if evaluation is None else evaluation.document
        judged, said = judgement(document)
        test = said.get("test", {})
        bars, scale = _bars(judged, said)
        values = {
            "told": told,
            "version": told.facts.version,
            "sections": _sections(told.facts),
            "warnings": [str(warning["reason"]) for warning in document.get("warnings", ())],
            "judged": judged,
            "found": test.get(judged.key, {}),
            "rows": test.get("sentences", test.get(judged.key, {}).get("n")),
            "bars": bars,
            "scale": scale,
            "per_label": _per_label(test),
            "confusions": _confusions(test),
            "is_code": lambda cell: isinstance(cell, Code),
        }
        return Page("version.html", values)


def _sections(facts: Facts) -> list[Section]:
    """The sections of the card; warnings stand at the head of the page."""
    return [section for section in model_card.sections(facts) if section.title != "Warnings"]


def _bars(judged: Judged, said: Mapping[str, Any]) -> tuple[list[Bar], tuple[float, float]]:
    """The number on each split with its interval, and the two ends of the scale."""
    found = {split: said.get(split, {}).get(judged.key, {}) for split in _SPLITS}
    blocks = {
        name: block
        for name, block in found.items()
        if all(isinstance(block.get(key), int | float) for key in ("low", "value", "high"))
    }
    if not blocks:
        return [], (0.0, 1.0)
    start = max(0.0, min(block["low"] for block in blocks.values()) - _ROOM)
    end = min(1.0, max(block["high"] for block in blocks.values()) + _ROOM)

    def place(value: float) -> float:
        share: float = (value - start) / (end - start)
        return round(100 * share, 2)

    bars = [
        Bar(
            name=name,
            text=f"{block['value']:.2%} ({block['low']:.2%} to {block['high']:.2%})",
            low=place(block["low"]),
            value=place(block["value"]),
            high=place(block["high"]),
        )
        for name, block in blocks.items()
    ]
    return bars, (start, end)


def _per_label(test: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Every label, or type of entity, with its numbers, the weakest first; without an F1 last."""
    types = [{"label": entry["type"], **entry} for entry in test.get("per_type", [])]
    entries = test.get("per_label", types)
    return sorted(entries, key=lambda it: (it["f1"] is None, it["f1"] or 0.0, it["label"]))


def _confusions(test: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """(true label, label given, times), the most frequent first."""
    labels = test.get("labels", [])
    pairs = [
        (labels[row], labels[column], count)
        for row, counts in enumerate(test.get("confusion", []))
        for column, count in enumerate(counts)
        if count and row != column
    ]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))[:MOST_CONFUSED]
