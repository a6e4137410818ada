"""Writing records together with their entries on the ledger, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from greenlight.core import ledger
from greenlight.core.errors import Conflict
from greenlight.core.records import Lease, LedgerEntry, Record
from greenlight.ports import Records

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


def head(records: Records) -> LedgerEntry | None:
    """The newest ledger entry."""
    newest = records.scan(LedgerEntry, newest_first=True, limit=1)
    return newest[0] if newest else None
