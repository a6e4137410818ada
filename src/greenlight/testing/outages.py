"""What can be wrong with a store's file, while somebody needs it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody else writes, and does not come to an end."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.rollback()
        connection.close()


@contextmanager
def file_away(path: Path) -> Iterator[None]:
    """The file has gone elsewhere for a while."""
    away = path.with_name("elsewhere.db")
    path.rename(away)
    try:
        yield
    finally:
        away.replace(path)


@contextmanager
def folder_away(path: Path) -> Iterator[None]:
    """The folder that it lies in has."""
    away = path.parent.with_name("elsewhere")
    path.parent.rename(away)
    try:
        yield
    finally:
        away.rename(path.parent)
