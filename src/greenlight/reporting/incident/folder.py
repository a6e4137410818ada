"""The files of an evidence folder, but for the page of the dashboard and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from greenlight.core import fingerprint
from greenlight.reporting import style
from greenlight.reporting.gallery import Picture, pictures_of
from greenlight.reporting.incident import extract, page, timeline
from greenlight.reporting.incident.figure import timeline as drawn_timeline
from greenlight.reporting.incident.gather import Found

EVIDENCE, DECISIONS, FIGURES = "evidence.json", "decisions.jsonl", "figures"

_WHAT = {
    EVIDENCE: "everything on this page and more, for programs",
    timeline.FILE: "the timeline, as text",
    DECISIONS: "every decision of the rollout, with what it rests on",
    extract.FILE: "the ledger’s entries on it, with their chain",
}

_TIMELINE = (
    "On the left the rollout, in time since its start: the deeper the colour, the more users met "
    "the candidate. On the right what followed the decision, on a logarithmic scale."
)


def write(root: Path, found: Found, more: Sequence[tuple[str, str]]) -> None:
    """Write into a folder that is there.

    Args:
        root: the folder.
        found: what it says.
        more: name and what it is, of files that others write there.
    """
    dossier = found.dossier
    drawn = pictures(found)
    images = root / FIGURES
    images.mkdir()
    for picture in drawn:
        (images / f"{picture.name}.png").write_bytes(style.png(picture.figure))
    told = msgspec.json.format(fingerprint.canonical(dossier), indent=2)
    (root / EVIDENCE).write_bytes(told + b"\n")
    (root / timeline.FILE).write_text(timeline.text(dossier), encoding="utf-8")
    (root / extract.FILE).write_bytes(extract.lines(found.ledger))
    decisions = (fingerprint.canonical(decision) + b"\n" for decision in found.history.decisions)
    (root / DECISIONS).write_bytes(b"".join(decisions))
    files = [
        *_WHAT.items(),
        *more,
        *((f"{FIGURES}/{picture.name}.png", "figure, as a picture") for picture in drawn),
    ]
    (root / page.FILE).write_text(page.page(dossier, drawn, files), encoding="utf-8")


def pictures(found: Found) -> list[Picture]:
    """The figures, each with its caption; a rollout that never had a split has the first alone."""
    dossier, told = found.dossier, found.history
    colours = style.colours(list(dict.fromkeys((told.rollout.control, told.rollout.candidate))))
    colour = colours[told.rollout.candidate]
    drawn = [Picture("timeline", drawn_timeline(dossier, colour), _TIMELINE)]
    if told.own_periods:
        drawn += pictures_of(told, colours)
    return drawn
