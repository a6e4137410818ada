"""The hash chain: each entry's digest covers its content and the digest before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from greenlight.core import fingerprint
from greenlight.core.records import LedgerEntry

GENESIS = "sha256:" + "0" * 64
"""What the first entry names as its predecessor."""


def chain(
    last: LedgerEntry | None, entries: Sequence[tuple[str, dict[str, Any]]], at: int
) -> list[LedgerEntry]:
    """Extend the chain after `last` (None: from the beginning) by (kind, body) pairs."""
    seq = last.seq if last else 0
    prev = last.digest if last else GENESIS
    links = []
    for kind, body in entries:
        seq += 1
        name = _digest(seq, prev, kind, body, at)
        links.append(LedgerEntry(seq=seq, prev=prev, digest=name, kind=kind, body=body, at=at))
        prev = name
    return links


def problems(entries: Iterable[LedgerEntry], after: LedgerEntry | None = None) -> list[str]:
    """Check a run of entries in order of seq; each fault is one line, none means intact.

    `after` is the last entry of the page before, None for the beginning of the chain.
    """
    found = []
    seq = after.seq if after else 0
    prev = after.digest if after else GENESIS
    for entry in entries:
        if entry.seq != seq + 1:
            found.append(f"entry {entry.seq} follows {seq}: entries are missing or out of order")
        if entry.prev != prev:
            found.append(f"entry {entry.seq} names {entry.prev} before it, the chain has {prev}")
        if entry.digest != _digest(entry.seq, entry.prev, entry.kind, entry.body, entry.at):
            found.append(f"entry {entry.seq} ({entry.kind}) was changed: its digest does not fit")
        seq, prev = entry.seq, entry.digest
    return found


def _digest(seq: int, prev: str, kind: str, body: dict[str, Any], at: int) -> str:
    return fingerprint.digest({"seq": seq, "prev": prev, "kind": kind, "body": body, "at": at})
