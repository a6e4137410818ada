"""The schema's history: one module per revision in `versions/`, applied by Alembic.

A store is brought up to `HEAD` when it is opened. The revision is read directly first, because
importing Alembic takes longer than everything else that opening does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from greenlight.core.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0011"
"""The newest revision. Revisions are four digits that count up."""


def migrate(readers: Engine, writers: Engine) -> None:
    """Bring an empty or older database to `HEAD`; cheap where it is there already.

    Safe when several processes open the same database at once: the revision is read again
    under the write lock, and all steps are one transaction.

    Raises:
        StoreError: the database is newer than this code, or not a store of Greenlight's.
    """
    with readers.begin() as connection:
        if _revision(connection) == HEAD:
            return
    with writers.begin() as connection:
        if _revision(connection) != HEAD:
            from alembic import command

            command.upgrade(config(connection), HEAD)


def config(connection: Connection) -> Config:
    """Alembic's configuration for commands on this connection, inside its transaction."""
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    settings.attributes["connection"] = connection
    return settings


def _revision(connection: Connection) -> str | None:
    """The revision that the database is at; None if it is empty."""
    tables = inspect(connection).get_table_names()
    where = connection.engine.url.render_as_string()
    if not tables:
        return None
    found = (
        connection.scalar(text("SELECT version_num FROM alembic_version"))
        if "alembic_version" in tables
        else None
    )
    if found is None:
        if set(tables) == {"alembic_version"}:
            return None
        raise StoreError(f"{where} is no store of Greenlight's: name another file (store.url)")
    revision = str(found)
    if not revision.isdigit() or revision > HEAD:
        raise StoreError(
            f"{where} was written by a newer Greenlight (schema {revision}, this one knows "
            f"{HEAD}): upgrade Greenlight, or restore the backup made before that upgrade"
        )
    return revision
