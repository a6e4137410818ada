"""Names of tasks and versions for a shell that completes.

Asked at every press of the tab key, so it reads the files themselves and loads nothing of
Greenlight's. Whatever is wrong with them, nothing is offered, and nothing is said.
"""

from __future__ import annotations

import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

import click

_STORE = "sqlite:///.greenlight/greenlight.db"
_SQLITE = "sqlite:///"
_MOST = 200
"""Versions that are offered, the newest ones."""
_PATIENCE_S = 0.2


def tasks(context: click.Context, incomplete: str) -> list[str]:
    """Tasks of greenlight.toml that begin so."""
    found = _document(context).get("tasks", {})
    return [name for name in found if name.startswith(incomplete)]


def versions(context: click.Context, incomplete: str) -> list[str]:
    """Labels of versions in the store that begin so, the newest first."""
    address = str(_document(context).get("store", {}).get("url", _STORE))
    if not address.startswith(_SQLITE):
        return []
    path = (_file(context).parent / address.removeprefix(_SQLITE)).absolute()
    try:
        with closing(
            sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_PATIENCE_S)
        ) as connection:
            rows = connection.execute(
                "SELECT label FROM versions WHERE substr(label, 1, ?) = ? ORDER BY at DESC LIMIT ?",
                (len(incomplete), incomplete, _MOST),
            ).fetchall()
    except sqlite3.Error:
        return []
    return [label for (label,) in rows]


def _file(context: click.Context) -> Path:
    """The configuration file that the words before say."""
    given = context.find_root().params
    return given.get("config") or Path(given.get("directory") or ".", "greenlight.toml")


def _document(context: click.Context) -> dict[str, Any]:
    try:
        return tomllib.loads(_file(context).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
