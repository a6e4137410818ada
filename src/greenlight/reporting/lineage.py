"""Where a version comes from: run, stages, datasets, and in the end the answers it learnt from.

The ids of those answers stand in the rows of the prepared dataset, and nowhere else; who asks for
them has the dataset checked against its digest and read once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from greenlight import artifacts
from greenlight.core.curation import Row
from greenlight.core.errors import NotFound
from greenlight.core.records import Dataset, Run, StageResult, Version
from greenlight.lookup import erasures, everything
from greenlight.ports import Blobs, Records

FIRST = 10
"""Ids that a lineage shows."""

_DULL = frozenset({"citation", "files", "format", "labels", "name", "parent", "per_label", "task"})
"""What a manifest says that tells nothing of where rows come from."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset on the way, the prepared one first."""

    digest: str
    name: str
    gone: str | None
    """Why its rows cannot be read any more; None while they are there."""
    facts: dict[str, Any]
    """Source, window, filter, counts and whatever else its manifest says of its rows."""


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """What is on record of where a version comes from."""

    version: str
    label: str
    origin: dict[str, Any]
    """As registered."""
    run: Run | None
    stages: list[StageResult]
    datasets: list[Link]
    count: int | None
    """Rows that came from answered requests; None where the rows are gone."""
    first: list[str]
    """The ids of the first few of those requests."""


def trace(
    records: Records, raw: Blobs, processed: Blobs, version: Version, *, first: int = FIRST
) -> Lineage:
    """Follow a version back; memory does not grow with the dataset.

    Args:
        records: the store.
        raw: datasets as collected.
        processed: datasets as prepared.
        version: where to begin.
        first: how many ids to name.

    Raises:
        Tampered: the rows are not as they were sealed.
    """
    datasets = links(records, raw, processed, version)
    count, named = None, []
    if not datasets:
        count = 0
    elif datasets[0].gone is None:
        count = 0
        for _, inference in inferences(processed, version):
            count += 1
            if count <= first:
                named.append(inference)
    return Lineage(
        version=version.digest,
        label=version.label,
        origin=version.lineage,
        run=records.get(Run, str(version.lineage.get("run", ""))),
        stages=stages(records, version),
        datasets=datasets,
        count=count,
        first=named,
    )


def inferences(processed: Blobs, version: Version) -> Iterator[tuple[str, str]]:
    """Split and inference id of every row that came from an answered request, one at a time.

    Nothing for a version whose rows are gone, or that came from no dataset.

    Raises:
        Tampered: the rows are not as they were sealed.
    """
    digest = version.lineage.get("dataset")
    folder = None if digest is None else _folder(processed, digest)
    if folder is None:
        return
    manifest = artifacts.unseal(folder, digest)
    for split in artifacts.splits(manifest):
        for row in artifacts.iter_rows(folder, split, Row):
            if row.inference:
                yield split, row.inference


def stages(records: Records, version: Version) -> list[StageResult]:
    """The finished stages of the run that made a version, the first one first."""
    found = everything(records, StageResult, {"run": str(version.lineage.get("run", ""))})
    return sorted(found, key=lambda stage: stage.at)


def links(records: Records, raw: Blobs, processed: Blobs, version: Version) -> list[Link]:
    """The datasets that a version was made from, the prepared one first; no row is read."""
    found: list[Link] = []
    digest = version.lineage.get("dataset")
    while digest is not None:
        dataset = records.get(Dataset, digest)
        if dataset is None:
            return [*found, Link(digest=digest, name="", gone="not on record", facts={})]
        there = any(_folder(shelf, digest) is not None for shelf in (processed, raw))
        manifest = dataset.manifest
        found.append(
            Link(
                digest=digest,
                name=dataset.name,
                gone=None if there else _why_gone(records, digest),
                facts={key: value for key, value in manifest.items() if key not in _DULL},
            )
        )
        digest = manifest.get("parent")
    return found


def _why_gone(records: Records, digest: str) -> str:
    entry = erasures(records).get(digest)
    if entry is None:
        return "gone; restore it from a backup"
    return f"purged (ledger entry {entry.seq})"


def _folder(shelf: Blobs, digest: str) -> str | None:
    try:
        return shelf.path(digest)
    except NotFound:
        return None
