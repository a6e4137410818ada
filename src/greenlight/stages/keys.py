"""Keys: make one for an application, and take it back (REQUIREMENTS S8).

The ledger tells who did it and what the key is good for. It has neither the key nor its digest,
only a digest of that, by which an audit sees that the record was not exchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from greenlight.core import keys, ledger
from greenlight.core.errors import BadInput, Refused
from greenlight.core.records import DAY, ApiKey
from greenlight.lookup import everything
from greenlight.ports import Records
from greenlight.recording import record

MOST_DAYS = 3650
"""A key that is to expire does so within this time."""


def create(
    records: Records,
    *,
    name: str,
    scopes: Iterable[str],
    rate: float | None = None,
    burst: int | None = None,
    expires_at: int | None = None,
    by: str,
    now: int,
    random: Callable[[int], bytes],
) -> tuple[ApiKey, str]:
    """Make a key; returns its record and its text, which is kept nowhere.

    Args:
        records: the store.
        name: what people call it; no other key that is still good has that name.
        scopes: what it is good for, some of `core.keys.SCOPES`.
        rate: requests per second in the long run; None: as many as it likes.
        burst: how many of them at once; by default what a second of the rate is, or 1.
        expires_at: from when on it opens nothing; None: never.
        by: who makes it.
        now: microseconds since 1970-01-01 UTC.
        random: gives that many bytes from a cryptographic generator.

    Raises:
        BadInput: one of these cannot be.
        Refused: the name is another key's.
    """
    keys.check_name(name)
    rate, burst = keys.limits(rate, burst)
    if expires_at is not None and not now < expires_at <= now + MOST_DAYS * DAY:
        raise BadInput(
            f"expires: choose a time from now on, at most {MOST_DAYS}d away, or leave it out for a "
            "key that does not expire",
            "expires",
        )
    wanted = keys.scopes_of(scopes)
    for other in everything(records, ApiKey):
        if other.name == name and keys.state(other, now) == keys.ACTIVE:
            raise Refused(
                f"name {name!r} is key {other.id}'s; choose another, or first: greenlight keys "
                f"revoke {other.id} -m WHY"
            )
    secret = keys.make(random(keys.RANDOM_BYTES))
    key = ApiKey(
        id=secret.removeprefix(keys.PREFIX).partition("_")[0],
        name=name,
        digest=keys.digest(secret),
        scopes=wanted,
        rate=rate,
        burst=burst,
        created_by=by,
        at=now,
        expires_at=expires_at,
    )
    record(records, [("key", ledger.body_of(key))], append=[key], now=now)
    return key, secret


def revoke(records: Records, key: ApiKey, *, by: str, why: str, now: int) -> ApiKey:
    """Take a key back for good; a gateway refuses it once it has read that.

    Raises:
        BadInput: no reason.
        Refused: it is revoked already.
        Conflict: it has changed since it was read.
    """
    if not why.strip():
        raise BadInput("a revocation needs a reason: say why with -m", "why")
    if key.revoked_at is not None:
        raise Refused(f"key {key.name} ({key.id}) is revoked already")
    revoked = msgspec.structs.replace(key, revoked_at=now)
    body = {
        "key": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "revoked_at": now,
        "by": by,
        "why": why.strip(),
    }
    record(records, [("key_status", body)], swap=[(key, revoked)], now=now)
    return revoked
