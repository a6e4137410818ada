"""Public data sets: where from, which licence, which bytes, and how to read them."""

from __future__ import annotations

import os

from greenlight.core.errors import NotFound
from greenlight.datasets import banking77, sample, sample_entities, wnut17
from greenlight.datasets.source import Places, PublicSource, places
from greenlight.ports import Progress

__all__ = ["FILES", "NAMES", "Places", "PublicSource", "load", "places"]

NAMES = (banking77.NAME, wnut17.NAME, sample.NAME, sample_entities.NAME)

FILES = {
    banking77.NAME: tuple(f"{split}.csv" for split in banking77.DIGESTS),
    wnut17.NAME: tuple(file for file, _ in wnut17.FILES.values()),
}
"""Data set → its files, in a folder of its name; those that are not named come with Greenlight."""


def _silent(_share: float, _words: str) -> None:
    return None


def load(name: str, where: Places | None = None, progress: Progress = _silent) -> PublicSource:
    """Read a data set by name, from `where` (by default: as the environment says).

    Raises:
        NotFound: no data set of this name.
        MissingData: it is not here and cannot be fetched.
        Tampered: its bytes are not those published.
    """
    if name == banking77.NAME:
        return banking77.load(where or places(os.environ), progress)
    if name == wnut17.NAME:
        return wnut17.load(where or places(os.environ), progress)
    if name == sample.NAME:
        return sample.load()
    if name == sample_entities.NAME:
        return sample_entities.load()
    raise NotFound(f"data set {name!r}: not known; there are {', '.join(NAMES)}")
