"""Every generated page with diagrams, by its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from scripts.diagrams.classes import page as classes
from scripts.diagrams.lifecycle import page as lifecycle
from scripts.diagrams.sequences import page as sequences
from scripts.diagrams.story import Story

DOCS = Path(__file__).parents[2] / "docs"

PAGES: Mapping[Path, Callable[[Story], str]] = {
    DOCS / "lifecycle.md": lambda story: lifecycle(),
    DOCS / "CLASS_DIAGRAM.md": lambda story: classes(story.store),
    DOCS / "SEQUENCE_DIAGRAM.md": sequences,
}
