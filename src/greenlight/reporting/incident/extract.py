"""The part of the ledger that tells of one rollout, so that its chain can be checked by itself.

Every entry of the rollout is there as it stands on the ledger. Entries of others that lie between
them are links, with their number and digest alone: what they say is nobody's business here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from greenlight.core import fingerprint
from greenlight.core.records import MINUTE, LedgerEntry, Rollout
from greenlight.ports import Records
from greenlight.recording import head

FILE = "ledger.jsonl"

_AFTER = MINUTE
"""Entries of a rollout come no later than this after its end, or its incident's."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of others: enough to follow the chain past it."""

    seq: int
    prev: str
    digest: str


def extract(
    records: Records, rollout: Rollout, decisions: Collection[str], end: int | None
) -> list[LedgerEntry | Link]:
    """The entries from the rollout's first one to its last one, in order.

    Args:
        records: the store.
        rollout: the rollout.
        decisions: ids of its decisions.
        end: when the last thing happened to it (µs since 1970); None: it may go on.
    """
    found: list[LedgerEntry | Link] = []
    last = 0
    for entry in _since(records, rollout.at):
        if end is not None and entry.at > end + _AFTER:
            break
        if _is_own(entry, rollout, decisions):
            found.append(entry)
            last = len(found)
        elif found:
            found.append(Link(seq=entry.seq, prev=entry.prev, digest=entry.digest))
    return found[:last]


def lines(found: Sequence[LedgerEntry | Link]) -> bytes:
    """The extract as JSON lines in canonical form."""
    return b"".join(fingerprint.canonical(entry) + b"\n" for entry in found)


def _since(records: Records, at: int) -> Iterator[LedgerEntry]:
    """The entries from a moment on: their times rise with their numbers."""
    newest = head(records)
    low, high = 0, newest.seq if newest else 0
    while low < high:  # entries up to `low` are before it
        middle = (low + high + 1) // 2
        entry = records.get(LedgerEntry, middle)
        if entry is not None and entry.at < at:
            low = middle
        else:
            high = middle - 1
    after = records.get(LedgerEntry, low) if low else None
    where = None if after is None else after.key
    while page := records.scan(LedgerEntry, after=where, limit=1000):
        yield from page
        where = page[-1].key


def _is_own(entry: LedgerEntry, rollout: Rollout, decisions: Collection[str]) -> bool:
    body = entry.body
    if body.get("rollout") == rollout.id or body.get("id") == rollout.id:
        return True
    if entry.kind == "epoch":
        return body.get("decision") in decisions
    # What moves with a decision is written together with it.
    mine = body.get("version") in (rollout.control, rollout.candidate)
    ended = rollout.ended_at is not None and entry.at == rollout.ended_at
    return entry.kind == "status" and mine and (entry.at == rollout.at or ended)
