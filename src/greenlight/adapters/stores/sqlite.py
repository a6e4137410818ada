"""How an SQLite file is opened.

Write-ahead logging, so that readers never wait for the writer. `synchronous=FULL`: every commit is
on the disk before it returns. `NORMAL` would survive a killed process but could lose the last
commits when power fails, and two promises rest on them: the gateway empties its spool once
`ingest` returns (a feedback was acknowledged to a client, so it must not vanish), and a decision
that gateways already follow must not be forgotten by the store. The price is one fsync per commit,
and commits are few: events come in batches, the controller writes once per pass.

Transactions begin explicitly (the driver would begin late and upgrade a read lock to a write
lock, which fails at once when another process writes): writers with BEGIN IMMEDIATE, readers
with BEGIN. Whoever finds the file locked waits up to `BUSY_MS`.

SQLite does not notice when its file is moved away, removed or replaced: it would go on writing to
one that has no name any more, and what was stored there would be gone with it. So the name is held
against the file whenever a connection is used, and only the first opening of a store makes a file:
a gateway whose store is away must wait for it, not begin an empty one in its place. (SQLite, "How
To Corrupt An SQLite Database File".)

A deleted row's bytes stay in the file until their place is needed again, and SQLite may have left
copies of them elsewhere while it moved rows between pages. `PRAGMA secure_delete` would only
overwrite what is deleted from then on, so a purge ends by writing the whole file anew (`compact`).
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError

from greenlight.core.errors import StoreError

BUSY_MS = 10_000

CACHE_KIB = 16_384
"""Pages kept in memory per connection (SQLite's own default is 2 MiB)."""


_HELD = "another process holds it; wait for that one or end it, and try again"
_REMEDIES = {
    sqlite3.SQLITE_BUSY: _HELD,
    sqlite3.SQLITE_LOCKED: _HELD,
    sqlite3.SQLITE_READONLY: "give this user the right to write to the file and its folder",
    sqlite3.SQLITE_IOERR: "is the disk full, or a limit on the size of files reached (ulimit -f)?",
    sqlite3.SQLITE_FULL: "free some space",
    sqlite3.SQLITE_CANTOPEN: "see that it is a file, that its folder is there, and that this user "
    "may write to both",
    sqlite3.SQLITE_CORRUPT: "restore a backup of it",
    sqlite3.SQLITE_NOTADB: "name another file, or restore a backup of it",
}
"""SQLite's primary result code → what to do (https://sqlite.org/rescode.html)."""


def engine_for(url: str) -> tuple[Engine, Engine]:
    """The engine for reading and the one for writing; they share one pool of connections.

    Makes the folder of the file where it is missing.

    Raises:
        StoreError: not the address of an SQLite file, or one whose folder cannot be made.
    """
    address = _parse(url)
    path = Path(address.database or "").absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{url}: its folder cannot be made ({error}); name another file"
        ) from error
    # Errors end up in logs, where what people wrote has no place.
    engine = create_engine(address, hide_parameters=True)
    _File(path, engine)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine, engine.execution_options(begin="BEGIN IMMEDIATE")


def explain(cause: BaseException) -> str:
    """What SQLite says is wrong, and what to do about it."""
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the rest says where it was noticed
    remedy = _REMEDIES.get(code)
    return str(cause) if remedy is None else f"{cause}; {remedy}"


def compact(engine: Engine) -> None:
    """Write the file anew, without what was deleted, and empty the write-ahead log.

    Writers wait meanwhile (some 10 s for 1 GB), readers do not. Needs as much free space as the
    file takes, twice.

    Raises:
        StoreError: no space, or somebody was at work for longer than `BUSY_MS`.
    """
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        try:
            raw.execute("VACUUM")
            emptied = _empty_log(raw)
        except sqlite3.Error as error:
            raise StoreError(
                f"{engine.url.database}: could not be written anew: {error}"
            ) from error
    if not emptied:
        raise StoreError(f"{engine.url.database}: somebody is reading it; try again in a moment")


def _empty_log(connection: sqlite3.Connection) -> bool:
    """Whether nothing is left in the write-ahead log.

    SQLite does not wait here while another connection is moving the log into the file, so this
    does.
    """
    give_up = time.monotonic() + BUSY_MS / 1000
    while True:
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy or time.monotonic() > give_up:
            return not busy
        time.sleep(0.01)


class _File:
    """The file of an engine, known by its inode as long as it has its name."""

    def __init__(self, path: Path, engine: Engine) -> None:
        """Watch every connection of an engine."""
        self._path = path
        self._made = False
        event.listen(engine, "do_connect", self._connecting)
        event.listen(engine, "connect", self._connected)
        event.listen(engine, "checkout", self._check)

    def _connecting(self, _dialect: Any, record: Any, args: list[Any], named: Any) -> None:
        # Asked before opening: a file that takes its place meanwhile is noticed at first use.
        record.info["file"] = self._now()
        args[0] = f"{self._path.as_uri()}?mode={'rw' if self._made else 'rwc'}"
        named["uri"] = True

    def _connected(self, _connection: sqlite3.Connection, record: Any) -> None:
        if not self._made:
            record.info["file"] = self._now()
            self._made = True

    def _check(self, _connection: sqlite3.Connection, record: Any, _proxy: Any) -> None:
        """Have a connection opened anew whose file has lost its name."""
        if record.info["file"] is None or record.info["file"] != self._now():
            raise DisconnectionError(f"{self._path} is another file now, or none")

    def _now(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _parse(url: str) -> URL:
    try:
        address = make_url(url)
    except ArgumentError:
        raise StoreError(f"store address {url!r}: write sqlite:///folder/name.db") from None
    if address.drivername != "sqlite" or address.database in (None, "", ":memory:"):
        raise StoreError(f"store address {url!r}: only files, as in sqlite:///folder/name.db")
    return address


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to write-ahead logging; a no-op from the second opening on.

    SQLite does not wait for other openers here (it could not without a deadlock), so this does.
    """
    give_up = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))
