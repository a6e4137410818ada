"""Which queries are taken for one SELECT."""

from __future__ import annotations

import pytest

from greenlight.core.queries import refusal


@pytest.mark.parametrize(
    "query",
    [
        "SELECT text, label FROM rows",
        "select a as text, b as label from t where c = 'x; DELETE FROM t' ;",
        "WITH t AS (SELECT 1 AS text) SELECT * FROM t",
        '/* INSERT */ SELECT "update" AS text, `delete` AS label -- DROP; it\nFROM t\n',
        "SELECT replace(body, 'a', 'it''s; SET') AS text FROM offset_table",
        "  (SELECT a FROM t)".replace("(", "").replace(")", ""),
    ],
)
def test_a_query_that_reads_is_taken(query: str) -> None:
    assert refusal(query) is None


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("", "begins with nothing"),
        ("-- SELECT 1", "begins with nothing"),
        ("DELETE FROM rows", "begins with DELETE"),
        ("PRAGMA writable_schema = 1", "begins with PRAGMA"),
        ("SELECT 1; DROP TABLE rows", "more than one statement"),
        ("SELECT 1; SELECT 2;", "more than one statement"),
        ("WITH x AS (DELETE FROM rows RETURNING *) SELECT * FROM x", "DELETE has no place"),
        ("SELECT * INTO other FROM rows", "INTO has no place"),
        ("SELECT * FROM rows FOR UPDATE", "UPDATE has no place"),
        ("SELECT $$'$$; DROP TABLE rows; --'", "dollar signs"),
        ("SELECT $a$'$a$; DROP TABLE rows; --'", "dollar signs"),
        (r"SELECT E'\''; DROP TABLE rows; --'", "plain quotes"),
    ],
)
def test_a_query_that_does_more_is_refused(query: str, why: str) -> None:
    found = refusal(query)
    assert found is not None and why in found
