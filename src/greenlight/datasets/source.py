"""What a reader hands over, and where readers may look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from greenlight.core.curation import Row
from greenlight.download import cache_folder
from greenlight.ports import Example
from greenlight.ports.source import NO_PROMPTS, Prompts


class PublicSource(msgspec.Struct, frozen=True, kw_only=True):
    """A labelled data set as published, with its own split. Texts are as they came.

    Without validation rows of its own, curation takes them from the training rows.

    `origin` says where the rows were published, never where they lay on this machine, so that
    the same rows have the same digest everywhere.
    """

    name: str
    origin: str
    licence: str
    citation: str
    train: list[Example]
    validation: list[Example] = []
    test: list[Example]

    @property
    def own_split(self) -> bool:
        """As published."""
        return True

    @property
    def details(self) -> Mapping[str, Any]:
        """Every row is taken."""
        return {}

    @property
    def exclusions(self) -> Mapping[str, int]:
        """Every row is taken."""
        return {}

    @property
    def queries(self) -> int:
        """No store is asked."""
        return 0

    @property
    def prompts(self) -> Prompts:
        """Nobody was asked."""
        return NO_PROMPTS

    def chunks(self, size: Callable[[], int]) -> Iterator[tuple[str, Sequence[Row]]]:
        """See `ports.Source.chunks`."""
        splits = (("train", self.train), ("validation", self.validation), ("test", self.test))
        for split, rows in splits:
            start = 0
            while start < len(rows):
                some = rows[start : start + size()]
                start += len(some)
                yield split, [Row(row.text, row.label) for row in some]


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where a data set may lie: a given folder, else the cache, else a canonical address."""

    folder: Path | None
    cache: Path
    base_url: str | None = None
    """In place of the canonical address: a mirror. What comes from it is checked all the same."""


def places(environ: Mapping[str, str]) -> Places:
    """GREENLIGHT_DATASETS (a folder with data sets), GREENLIGHT_CACHE (~/.cache/greenlight)."""
    folder = environ.get("GREENLIGHT_DATASETS")
    return Places(
        folder=Path(folder).expanduser() if folder else None,
        cache=cache_folder(environ) / "datasets",
    )
