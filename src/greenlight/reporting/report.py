"""The whole report of a task: gathered from the store, written as a page and picture files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from greenlight.core.records import Approval
from greenlight.lookup import everything
from greenlight.ports import Store
from greenlight.reporting import html, style
from greenlight.reporting.gallery import pictures
from greenlight.reporting.history import histories
from greenlight.reporting.summary import summarise

PAGE = "report.html"


def gather(
    store: Store,
    task: str,
    *,
    now: int,
    notes: Sequence[str] = (),
    files: Sequence[tuple[str, str]] = (),
) -> html.Context:
    """Read and draw everything that a report of a task shows.

    Args:
        store: records and events; only read.
        task: the task's name.
        now: microseconds since 1970-01-01 UTC.
        notes: what a reader must know of this run.
        files: (what it is, path) of everything that the run wrote.
    """
    told = histories(store, task)
    summary = summarise(store, task, told)
    words = [
        word
        for version in summary.versions
        for word in everything(store, Approval, {"version": version.digest})
    ]
    return html.Context(
        summary=summary,
        histories=told,
        approvals=sorted(words, key=lambda word: (word.at, word.id)),
        pictures=pictures(summary, told, style.colours([v.digest for v in summary.versions])),
        notes=notes,
        files=files,
        made_at=now,
    )


def write(folder: str | Path, context: html.Context) -> Path:
    """Write `report.html` and, under `figures/`, every figure as PNG; returns the page's path."""
    root = Path(folder)
    images = root / "figures"
    images.mkdir(parents=True, exist_ok=True)
    for picture in context.pictures:
        (images / f"{picture.name}.png").write_bytes(style.png(picture.figure))
    html.write(root / PAGE, context)
    return root / PAGE
