"""Writing records together with their entries on the ledger, in one transaction."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from greenlight import artifacts
from greenlight.core import jsonl, ledger
from greenlight.core.errors import Conflict
from greenlight.core.records import Dataset, Lease, LedgerEntry, Record
from greenlight.ports import Blobs, Records

ATTEMPTS = 20
"""How often to extend the chain anew when another writer extended it first."""


def record(
    records: Records,
    entries: Sequence[tuple[str, dict[str, Any]]],
    *,
    now: int,
    append: Sequence[Record] = (),
    swap: Sequence[tuple[Record, Record]] = (),
    fence: Lease | None = None,
) -> None:
    """Commit records and their ledger entries (kind, body), all or nothing.

    Raises:
        Conflict: a record's key is taken or a record to swap has changed.
        LostLease: the fence no longer holds.
    """
    for attempt in range(ATTEMPTS):
        last = head(records)
        links = ledger.chain(last, entries, at=now)
        try:
            records.commit(append=[*append, *links], swap=swap, fence=fence, now=now)
            return
        except Conflict:
            if head(records) == last or attempt == ATTEMPTS - 1:
                raise


def record_dataset(
    records: Records,
    blobs: Blobs,
    splits: Mapping[str, Sequence[msgspec.Struct]],
    body: Mapping[str, Any],
    *,
    now: int,
    workdir: str | Path,
) -> Dataset:
    """Seal rows in a folder named by its content, and record it; the same again changes nothing.

    Args:
        records: where the dataset and its ledger entry go.
        blobs: takes the folder, one file of JSON lines per split.
        splits: rows by the name of their split.
        body: what the manifest says beside files and counts; `name`, `task`, and `parent` if any.
        now: microseconds since 1970-01-01 UTC.
        workdir: where the folder is put together; nothing stays there.

    Raises:
        Conflict: somebody recorded it at the same moment; again returns what they recorded.
    """
    Path(workdir).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dataset-", dir=workdir) as folder:
        for split, rows in splits.items():
            Path(folder, f"{split}.jsonl").write_bytes(jsonl.encode(rows))
        counts = {split: len(rows) for split, rows in splits.items()}
        artifacts.seal(folder, {**body, "counts": counts})
        digest = blobs.add(folder)
    known = records.get(Dataset, digest)
    if known is not None:
        return known
    manifest = artifacts.unseal(blobs.path(digest), digest)
    named = {"task": body["task"], "name": body["name"]}
    dataset = Dataset(digest=digest, manifest=manifest, at=now, **named)
    entry = {"dataset": digest, "parent": body.get("parent"), **named}
    record(records, [("dataset", entry)], now=now, append=[dataset])
    return dataset


def head(records: Records) -> LedgerEntry | None:
    """The newest ledger entry."""
    newest = records.scan(LedgerEntry, newest_first=True, limit=1)
    return newest[0] if newest else None
