"""A store whose file goes away, or becomes another one, while it is open (promise 5)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from greenlight.adapters.stores.sql import SqlStore
from greenlight.adapters.stores.sqlite import engine_for
from greenlight.core.errors import StoreError
from greenlight.core.records import Inference
from tests.contracts.making import inference


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqlStore]:
    store = SqlStore(f"sqlite:///{path}")
    yield store
    store.close()


def test_a_file_that_went_away_is_waited_for(path: Path, store: SqlStore) -> None:
    """Nothing is written to a file without a name, and none is made in its place."""
    away = path.with_name("away.db")
    store.ingest([inference("i1")], [])
    path.rename(away)
    for _ in range(2):
        with pytest.raises(StoreError):
            store.ingest([inference("i2")], [])
        with pytest.raises(StoreError):
            store.get(Inference, "i1")
    assert not path.exists()
    away.rename(path)
    store.ingest([inference("i3")], [])
    assert [kept.id for kept in store.scan(Inference)] == ["i1", "i3"]


def test_a_file_that_took_its_place_is_used(path: Path, store: SqlStore) -> None:
    """As after a restored backup: what is said from then on is in the file that has the name."""
    store.ingest([inference("i1")], [])
    for file in path.parent.iterdir():
        file.unlink()
    SqlStore(f"sqlite:///{path}").close()
    store.ingest([inference("i2")], [])
    assert [kept.id for kept in store.scan(Inference)] == ["i2"]


def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    path = tmp_path / "100% of a#1" / "ä b.db"
    SqlStore(f"sqlite:///{path}").close()
    assert path.exists()


def test_what_people_wrote_is_in_no_message(tmp_path: Path) -> None:
    """S8, D6: messages end up in logs."""
    engine, writers = engine_for(f"sqlite:///{tmp_path}/store.db")
    with pytest.raises(SQLAlchemyError) as failed, writers.begin() as connection:
        connection.execute(text("INSERT INTO nowhere VALUES (:said)"), {"said": "call 555 0199"})
    engine.dispose()
    assert "nowhere" in str(failed.value) and "0199" not in str(failed.value)
