"""Reading a file the way a run does."""

from __future__ import annotations

from pathlib import Path

from greenlight.core.curation import Row
from greenlight.sources.files import FileSource
from greenlight.sources.rows import Bounds, Columns


def source(path: Path, columns: Columns | None = None, bounds: Bounds | None = None) -> FileSource:
    """A source on a file of task `intent`."""
    return FileSource(
        path,
        shown=path.name,
        task="intent",
        columns=columns or Columns(),
        bounds=bounds or Bounds(),
        licence="CC0",
        citation="nobody",
        progress=lambda share, words: None,
    )


def rows(
    path: Path, columns: Columns | None = None, bounds: Bounds | None = None, size: int = 1000
) -> list[Row]:
    """All rows of a file."""
    return [
        row
        for split, chunk in source(path, columns, bounds).chunks(lambda: size)
        for row in chunk
        if split == "rows"
    ]
