"""Queries: streamed, read-only, and what is said of those that cannot be."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from greenlight.core.curation import Row
from greenlight.core.errors import BadInput, DataError, GreenlightError, MissingData
from greenlight.core.labelling import pseudonym
from greenlight.sources.rows import OVER, Bounds, Columns
from greenlight.sources.sql import SqlSource
from tests.peaks import peaks

ALL = "SELECT text, label FROM tickets ORDER BY id"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with desk.db: three tickets."""
    with contextlib.closing(sqlite3.connect(tmp_path / "desk.db")) as database:
        database.execute(
            "CREATE TABLE tickets (id INTEGER, text TEXT, label TEXT, customer INTEGER)"
        )
        tickets = [(1, " a ", "x", 7), (2, "b", "y", 8), (3, "c", "x", None)]
        database.executemany("INSERT INTO tickets VALUES (?, ?, ?, ?)", tickets)
        database.commit()
    return tmp_path


def source(root: Path, query: str = ALL, **fields: Any) -> SqlSource:
    """A source on the tickets."""
    defaults: dict[str, Any] = {
        "url": "sqlite:///desk.db",
        "password": None,
        "task": "intent",
        "columns": Columns(),
        "bounds": Bounds(),
        "licence": "CC0",
        "citation": "nobody",
        "progress": lambda share, words: None,
    }
    given = defaults | fields
    return SqlSource(given.pop("url"), root=root, query=query, **given)


def rows(made: SqlSource, size: int = 2) -> list[list[Row]]:
    return [list(chunk) for _, chunk in made.chunks(lambda: size)]


def test_rows_come_in_chunks(root: Path) -> None:
    made = source(root)
    assert rows(made) == [[Row(" a ", "x"), Row("b", "y")], [Row("c", "x")]]
    assert made.queries == 1 and dict(made.exclusions) == {}
    assert made.name == "desk.db" and str(root) not in f"{made.origin} {made.details}"


def test_columns_units_and_bounds(root: Path) -> None:
    """D11: who asked is a pseudonym, also where units are numbers."""
    query = "SELECT upper(text) AS q, label, customer FROM tickets ORDER BY id"
    made = source(root, query, columns=Columns("q", "label", "customer"), bounds=Bounds(2, 2))
    assert rows(made) == [
        [Row(" A ", "x", pseudonym("intent", "7")), Row("B", "y", pseudonym("intent", "8"))]
    ]
    assert dict(made.exclusions) == {OVER: 1}
    with pytest.raises(MissingData, match=r"desk\.db: 3 rows, min_rows asks for 4"):
        rows(source(root, bounds=Bounds(least=4)))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT text, label AS lable FROM tickets", "no column 'label'; did you mean 'lable'?"),
        ("SELECT text, id AS label FROM tickets", "row 1: 'label' is int, not text; write CAST("),
        ("SELECT text, label FROM tickets UNION ALL SELECT NULL, 'x'", "'text' is NULL; leave"),
        ("SELECT a.text, b.text, a.label FROM tickets a, tickets b", "2 columns go by the name"),
        ("DELETE FROM tickets", "begins with DELETE; write one SELECT"),
        ("SELECT 1; SELECT 2", "more than one statement"),
    ],
)
def test_a_query_that_will_not_do(root: Path, query: str, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        rows(source(root, query))


def test_a_query_is_taken_as_it_is_written(root: Path) -> None:
    """A colon begins no parameter, and a percent sign is one."""
    query = ALL.replace("ORDER", "WHERE text <> ' :a' AND text NOT LIKE '%:b%' ORDER")
    assert rows(source(root, query), size=9) == rows(source(root), size=9)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"url": "sqlite:///dask.db"}, "dask.db: no such SQLite file"),
        ({"query": "SELECT * FROM absent"}, "the database said: no such table: absent"),
        ({"url": "no address"}, "this is no database"),
        ({"url": "postgresql://a:b@host/x"}, 'write password = "env:NAME"'),
        ({"url": "nosuch://host/x"}, "no driver for it"),
        ({"url": "postgresql+nosuch://host/x"}, "no driver for it"),
    ],
)
def test_a_database_that_cannot_be_had(root: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(GreenlightError, match=re.escape(message)) as error:
        rows(source(root, **fields))
    assert "b@host" not in str(error.value)
    assert not (root / "dask.db").exists()


def test_the_password_is_never_shown(root: Path) -> None:
    """Secrets come by env:NAME and stay out of messages and manifests."""
    url = "sqlite+nosuch://reader@host/sales"
    with pytest.raises(DataError) as error:
        rows(source(root, url=url.replace("sqlite", "postgresql"), password="hush"))
    assert "hush" not in str(error.value)


def test_the_database_itself_refuses_to_write(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first fence lets through, the connection does not."""
    made = source(root)
    made._query = "INSERT INTO tickets VALUES (4, 'd', 'x', 1) RETURNING text, label"
    with pytest.raises(MissingData, match="attempt to write a readonly database"):
        rows(made)


def read_through(count: int) -> None:
    series = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
        "SELECT 'question number ' || i AS text, 'x' AS label FROM n"
    )
    with TemporaryDirectory() as folder:
        sqlite3.connect(Path(folder) / "desk.db").close()
        chunks = source(Path(folder), series.format(count)).chunks(lambda: 500)
        assert sum(len(chunk) for _, chunk in chunks) == count


def test_memory_is_flat() -> None:
    """D5: the rows of a query are never held all at once."""
    few, many = peaks(read_through, 2_000, 12_000)
    assert many < 1.2 * few
