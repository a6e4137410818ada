"""Every generated page with diagrams, by its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from scripts.diagrams import classes, lifecycle, sequences
from scripts.diagrams.story import Story

DOCS = Path(__file__).parents[2] / "docs"

PAGES: Mapping[Path, Callable[[Story], str]] = {
    DOCS / "lifecycle.md": lambda story: lifecycle.page(),
    DOCS / "CLASS_DIAGRAM.md": lambda story: classes.page(story.store),
    DOCS / "SEQUENCE_DIAGRAM.md": sequences.page,
}
