"""The index on disk: bounded, interruptible, and gone with its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlight.core.errors import Aborted, Unwritable
from greenlight.scratch import Scratch

MANY = (
    "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 10000000) "
)


def quiet() -> None:
    return None


def test_it_answers_what_was_put_in(tmp_path: Path) -> None:
    with Scratch(tmp_path, quiet) as index:
        index.run("CREATE TABLE pair (a INTEGER, b TEXT)")
        index.fill("INSERT INTO pair VALUES (?, ?)", ((n, str(n)) for n in range(3000)))
        assert list(index.ask("SELECT b FROM pair WHERE a < ? ORDER BY a", 2)) == [("0",), ("1",)]
        assert sum(a for (a,) in index.ask("SELECT a FROM pair")) == sum(range(3000))
        assert index.number("SELECT count(*) FROM pair") == 3000
        assert index.number("SELECT sum(a) FROM pair WHERE a < 0") == 0
        assert index.run("DELETE FROM pair WHERE a < ?", 10) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["scratch.db"]


def test_a_long_statement_can_be_ended(tmp_path: Path) -> None:
    """What the pulse raises comes out as it is, after a fraction of the work."""
    beats = 0

    def pulse() -> None:
        nonlocal beats
        beats += 1
        if beats == 2:
            raise Aborted("enough")

    with Scratch(tmp_path, pulse) as index, pytest.raises(Aborted, match="enough"):
        index.number(MANY + "SELECT count(*) FROM number")
    assert beats == 2


def test_no_room_is_said(tmp_path: Path) -> None:
    with Scratch(tmp_path, quiet) as index:
        index.run("PRAGMA max_page_count = 10")
        with pytest.raises(Unwritable, match=f"{tmp_path}: .*full; make room there"):
            index.run(f"CREATE TABLE number AS {MANY} SELECT n FROM number")


def test_no_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unwritable, match="choose another folder"):
        Scratch(tmp_path / "file", quiet)
