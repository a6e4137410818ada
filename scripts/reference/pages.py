"""The pages with generated tables, and what stands in their blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from scripts.reference import blocks, commands, http, settings, watched

DOCS = Path(__file__).parents[2] / "docs"
COMMAND = "python -m scripts.reference"

PAGES: Mapping[Path, Callable[[], dict[str, str]]] = {
    DOCS / "cli.md": commands.blocks,
    DOCS / "configuration.md": settings.blocks,
    DOCS / "http.md": http.blocks,
    DOCS / "how-to" / "watch-a-rollout.md": watched.blocks,
}


def made(path: Path) -> str:
    """A page as it should be.

    Raises:
        ValueError: its markers are not those that it should have; the message names the page.
    """
    try:
        return blocks.written(path.read_text(encoding="utf-8"), PAGES[path]())
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
