"""Rows of a SELECT, streamed: the database hands them over as they are asked for."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from greenlight.core import fingerprint, queries
from greenlight.core.curation import Row
from greenlight.core.errors import BadInput, MissingData
from greenlight.ports import Progress
from greenlight.ports.source import NO_PROMPTS
from greenlight.sources.rows import Bounds, Cells, Columns, chunked

_READ_ONLY = {
    "sqlite": "PRAGMA query_only = ON",
    "postgresql": "SET TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
}
"""What makes a connection refuse to write, by dialect."""


class SqlSource:
    """Implements `ports.Source`; curation splits the rows."""

    own_split = False
    prompts = NO_PROMPTS

    def __init__(
        self,
        url: str,
        *,
        password: str | None,
        root: Path,
        query: str,
        task: str,
        columns: Columns,
        bounds: Bounds,
        licence: str,
        citation: str,
        progress: Progress,
    ) -> None:
        """Set up the source; the database is asked with the first chunk.

        Args:
            url: the database as SQLAlchemy writes it, without a password.
            password: its password, if it has one; never shown.
            root: where a relative path to an SQLite file starts.
            query: one SELECT.
            task: whose rows they are, for the pseudonyms of units.
            columns: which columns hold what.
            bounds: the least and the most rows.
            licence: what the rows may be used for.
            citation: whose work they are.
            progress: told how many rows came.

        Raises:
            BadInput: the query does more than read, or this is no database.
        """
        refusal = queries.refusal(query)
        if refusal is not None:
            raise BadInput(f"query: {refusal}", "query")
        self._url = _address(url, password, root)
        self.name = str(self._url.database or self._url.drivername).rpartition("/")[2]
        shown = self._url.set(password=None, username=None, host=None, port=None, query={})
        self.origin = f"{shown.drivername}: {self.name}"
        self.licence, self.citation = licence, citation
        self._query, self._task, self._columns = query, task, columns
        self._bounds, self._progress = bounds, progress
        self._exclusions: Counter[str] = Counter()
        self.queries = 0

    @property
    def details(self) -> Mapping[str, Any]:
        """The query and the columns that were taken."""
        return {
            "query": fingerprint.digest_bytes(self._query.encode()),
            "columns": self._columns._asdict(),
        }

    @property
    def exclusions(self) -> Mapping[str, int]:
        """Rows beyond the most that are wanted."""
        return self._exclusions

    def chunks(self, size: Callable[[], int]) -> Iterator[tuple[str, Sequence[Row]]]:
        """See `ports.Source.chunks`.

        Raises:
            MissingData: no such database, no driver for it, or fewer rows than the least.
        """
        rows = 0
        with _connected(self._url) as connection:
            for chunk in chunked(
                self._cells(connection, size()),
                task=self._task,
                name=self.name,
                size=size,
                bounds=self._bounds,
                exclusions=self._exclusions,
            ):
                rows += len(chunk)
                self._progress(0.0, f"{rows} rows of {self.name}")
                yield "rows", chunk

    def _cells(self, connection: Connection, batch: int) -> Iterator[Cells]:
        # Without parameters: a colon or a percent sign in the query is just that.
        streamed = connection.execution_options(
            stream_results=True, yield_per=max(batch, 1), no_parameters=True
        )
        self.queries += 1
        result = streamed.exec_driver_sql(self._query)
        there = list(result.keys())
        wrong = self._columns.missing(there) or self._columns.ambiguous(there)
        if wrong is not None:
            raise BadInput(f"query: {wrong}; name the columns by AS", "query")
        places = [there.index(name) for name in self._columns.names]
        for number, row in enumerate(result, start=1):
            found = [row[place] for place in places]
            if len(found) == 3 and isinstance(found[2], int):
                found[2] = str(found[2])  # a unit is often a number, and only its pseudonym stays
            for name, value in zip(self._columns.names, found, strict=True):
                if not isinstance(value, str) and not (value is None and name == self._columns[2]):
                    raise BadInput(f"query: row {number}: {name!r} is {_kind(value)}", "query")
            yield found[0], found[1], (found[2] or "") if len(found) == 3 else ""


def _kind(value: object) -> str:
    if value is None:
        return "NULL; leave such rows out by WHERE"
    kind = "a time" if isinstance(value, datetime.date | datetime.time) else type(value).__name__
    return f"{kind}, not text; write CAST(… AS TEXT)"


def _address(url: str, password: str | None, root: Path) -> URL:
    try:
        address = make_url(url)
    except ArgumentError:
        raise BadInput("url: this is no database; write dialect://user@host/name", "url") from None
    if address.password is not None:
        raise BadInput('url: no password here; write password = "env:NAME"', "url")
    if address.get_backend_name() == "sqlite":
        path = root / (address.database or "")
        if not path.is_file():
            raise MissingData(f"{path}: no such SQLite file; name one that is there")
        return address.set(database=str(path))
    return address.set(password=password)


@contextmanager
def _connected(url: URL) -> Iterator[Connection]:
    """A connection that cannot write, as far as the database knows how to."""
    shown = url.render_as_string(hide_password=True)
    try:
        engine: Engine = create_engine(url)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise MissingData(f"{shown}: no driver for it ({error}); install it with pip") from error
    try:
        with engine.connect() as connection:
            if url.get_backend_name() in _READ_ONLY:
                connection.exec_driver_sql(_READ_ONLY[url.get_backend_name()])
            yield connection
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise MissingData(f"{shown}: the database said: {cause}") from error
    finally:
        engine.dispose()
