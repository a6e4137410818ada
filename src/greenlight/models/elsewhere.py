"""A bundle for a model of which nothing is here: it says where the model answers, and that is all.

What a model server answers with can be changed without a trace, so a digest of it proves nothing
but the address. It is how a model that ran before Greenlight did can be adopted.
"""

from __future__ import annotations

from pathlib import Path

from greenlight import artifacts

FORMAT = 1
KIND = "elsewhere"


def write(folder: str | Path, url: str) -> str:
    """Write the bundle of a model at an address to an empty folder; returns its digest."""
    return artifacts.seal(folder, {"format": FORMAT, "kind": KIND, "url": url})
