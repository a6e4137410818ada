"""The store: whether it is there, is of this schema, and can be written."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from greenlight.wiring.doctor.finding import Finding, Subject, fault, ok, warning
from greenlight.wiring.doctor.machine import nearest

PATIENCE_S = 2.0
"""How long somebody else may be writing. Writers hold the file for milliseconds."""

_BLOCK = b"\0" * 4096


def store(subject: Subject) -> Iterator[Finding]:
    """The SQLite file, without changing it: it is not made, not upgraded, and what is written is
    rolled back."""
    path = subject.settings.store_path
    yield folder(nearest(path.parent))
    if not path.exists():
        yield ok("store", f"{path}: not there yet; the first command that needs it makes it")
        return
    try:
        with closing(_connect(path)) as connection:
            yield from _schema(path, _revision(connection))
            yield _written(path, connection)
    except sqlite3.Error as error:
        yield _refused(path, error)


def folder(where: Path) -> Finding:
    """Whether a file can be written, synced and removed in a folder."""
    try:
        with tempfile.NamedTemporaryFile(dir=where, prefix=".greenlight-doctor-") as file:
            file.write(_BLOCK)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return fault(
            "folder",
            f"{where}: cannot be written: {error.strerror}",
            f"let this user write there (chown, chmod; mount it for writing): {where}",
        )
    return ok("folder", f"{where}: a file was written, synced and removed")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=PATIENCE_S)
    connection.isolation_level = None
    return connection


def _revision(connection: sqlite3.Connection) -> str | None:
    """The schema's revision; None where the file is no store of Greenlight's."""
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if "alembic_version" not in names:
        return None
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if found is None else str(found[0])


def _schema(path: Path, revision: str | None) -> Iterator[Finding]:
    from greenlight.adapters.stores.migrations import HEAD

    if revision is None:
        yield fault(
            "store",
            f"{path}: no store of Greenlight's",
            "name another file in store.url; one that is empty may be deleted",
        )
    elif not revision.isdigit() or revision > HEAD:
        yield fault(
            "store",
            f"{path}: schema {revision} is of a newer Greenlight; this one knows {HEAD}",
            "upgrade Greenlight, or restore the backup made before that upgrade",
        )
    elif revision < HEAD:
        yield warning(
            "store",
            f"{path}: schema {revision}; this Greenlight brings it to {HEAD} when it next opens it",
            "copy the file first if you may want to go back to the older Greenlight",
        )
    else:
        yield ok("store", f"{path}: opened, schema {revision}")


def _written(path: Path, connection: sqlite3.Connection) -> Finding:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("CREATE TABLE doctor (one INTEGER)")
        connection.execute("INSERT INTO doctor VALUES (1)")
    finally:
        connection.execute("ROLLBACK")
    return ok("store", f"{path}: a row was written and rolled back")


def _refused(path: Path, error: sqlite3.Error) -> Finding:
    """Why SQLite said no, and what helps."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    fixes = {
        sqlite3.SQLITE_BUSY: "a process has been writing for too long: find it with `fuser -v "
        f"{path}` and end it",
        sqlite3.SQLITE_READONLY: f"let this user write to it (chown, chmod): {path}",
        sqlite3.SQLITE_CANTOPEN: f"let this user read and write it and its folder: {path.parent}",
        sqlite3.SQLITE_NOTADB: "name another file in store.url, or restore a backup",
        sqlite3.SQLITE_CORRUPT: "restore a backup; what it held can be checked: greenlight audit "
        "verify",
        sqlite3.SQLITE_FULL: "make room on the disk",
    }
    fix = fixes.get(code, "look at the file and its disk; restore a backup if it is damaged")
    return fault("store", f"{path}: {error}", fix)
