"""Who may ask the gateway: one question per request, answered from memory (REQUIREMENTS S8).

Keys are read from the store at the start and again every few seconds, so that a new key opens and
a revoked one stops soon. A request reads no database and pays for one SHA-256.

Without any key the gateway is *open*: everybody may ask, nameless. Start-up lets it be so on the
loopback interface only, unless told otherwise. With the first key that is over for good, as far as
this process goes: a store in which keys are suddenly missing does not open it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import msgspec

from greenlight.core import keys
from greenlight.core.errors import TooMany, Unauthorized
from greenlight.core.keys import Bucket
from greenlight.core.records import SECOND, ApiKey
from greenlight.lookup import everything
from greenlight.ports import Clock, Records
from greenlight.serving.http import Forbidden, NotReady

log = logging.getLogger(__name__)


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: the id of their key (None: nameless, at an open gateway), and what it is good
    for."""

    id: str | None
    scopes: frozenset[str]

    @property
    def sees_versions(self) -> bool:
        """Whether answers may name version and variant. Who judges answers must not know, so
        nobody does by default: it takes a key with the scope `admin`."""
        return self.id is not None and "admin" in self.scopes


ANYBODY = Caller(id=None, scopes=frozenset(keys.SCOPES))
"""The caller at an open gateway."""


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A key, its caller, and what is left of its rate (None: it may ask as often as it likes)."""

    key: ApiKey
    caller: Caller
    bucket: Bucket | None


class Gatekeeper:
    """Lets requests in by their key. `admit` is for one thread, the event loop's."""

    def __init__(self, records: Records, clock: Clock) -> None:
        """Know no key yet and let nobody in; see `refresh`."""
        self._records = records
        self._clock = clock
        self._entries: dict[str, _Entry] | None = None
        self._failing = False

    @property
    def known(self) -> bool:
        """Whether the keys have been read at least once."""
        return self._entries is not None

    @property
    def open(self) -> bool:
        """Whether everybody may ask: the store was read, and has never had a key."""
        return self._entries is not None and not self._entries

    async def refresh(self) -> None:
        """Read the keys; a store that is down leaves them as they are."""
        try:
            found = await asyncio.to_thread(lambda: list(everything(self._records, ApiKey)))
        except Exception:
            if not self._failing:
                log.exception("keys: could not be read; they stay as they are")
            self._failing = True
            return
        self._failing = False
        self._take(found)

    def admit(self, authorization: str | None, scope: str) -> Caller:
        """Let a request in.

        Args:
            authorization: the header of that name.
            scope: what the key must be good for.

        Raises:
            Unauthorized: no key, an unknown one, or one that has expired or was revoked.
            Forbidden: it is not good for this.
            TooMany: it asks more often than it may.
            NotReady: the store has not been read yet.
        """
        if self._entries is None:
            raise NotReady("the keys have not been read from the store yet")
        if self.open:
            return _in_scope(ANYBODY, scope)
        id, secret = keys.parse(authorization)
        entry = self._entries.get(id)
        now = self._clock.now()
        fault = keys.check(None if entry is None else entry.key, secret, now)
        if fault is not None or entry is None:
            raise Unauthorized(str(fault))
        caller = _in_scope(entry.caller, scope)
        wait = entry.bucket.take(now) if entry.bucket is not None else 0
        if wait:
            seconds = -(-wait // SECOND)
            raise TooMany(
                f"key {entry.key.name} ({id}) asks more often than {_allowed(entry.key)}; "
                f"ask again in {seconds} s",
                seconds,
            )
        return caller

    def _take(self, found: Iterable[ApiKey]) -> None:
        before = self._entries or {}
        entries = {key.id: _entry(key, before.get(key.id)) for key in found}
        # Keys are revoked, never taken out: where all of them are gone the store is another one.
        self._entries = entries or before


def _entry(key: ApiKey, before: _Entry | None) -> _Entry:
    """What to keep of a key; what is left of its rate stays, unless the rate is another one."""
    bucket = None
    if before is not None and (before.key.rate, before.key.burst) == (key.rate, key.burst):
        bucket = before.bucket
    elif key.rate is not None and key.burst is not None:
        bucket = Bucket(key.rate, key.burst)
    return _Entry(key=key, caller=Caller(id=key.id, scopes=keys.granted(key)), bucket=bucket)


def _in_scope(caller: Caller, scope: str) -> Caller:
    if scope not in caller.scopes:
        has = ", ".join(name for name in keys.SCOPES if name in caller.scopes) or "none"
        raise Forbidden(
            f"this takes the scope {scope!r}, and the key has {has}; make one that has it: "
            f"greenlight keys create NAME --scope {scope}"
        )
    return caller


def _allowed(key: ApiKey) -> str:
    assert key.rate is not None
    return f"{keys.rate_text(key.rate)}, {key.burst} at once"
