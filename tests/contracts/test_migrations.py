"""What the later revisions of the schema do with what a store holds already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, text

from greenlight.adapters.stores import tables
from greenlight.adapters.stores.migrations import config
from greenlight.adapters.stores.sql import SqlStore
from greenlight.adapters.stores.sqlite import engine_for
from greenlight.adapters.stores.tables import codec
from greenlight.core.records import Inference, JournalEntry, Replica
from greenlight.core.states import Status, Variant
from tests.contracts.making import ROLLOUT, entry, inference, rollout

FOREVER = 10**15
FIRST = {"rollout": ROLLOUT, "unit": "ana", "epoch": 1, "variant": "control", "at": 100}
EXPOSED = {**FIRST, "weight": 0.1, "bucket": 0.625, "inference": "i1"}
FAILED = {**FIRST, "variant": "candidate", "at": 110, "inference": "i2"}
ENTRY = {
    "rollout": ROLLOUT,
    "seq": 1,
    "test": "exposure",
    "unit": "ana",
    "epoch": 1,
    "arm": "control",
    "pi": 0.1,
    "y": 0.0,
    "minute": 1,
    "at": 300,
}
SIGN = {"id": "g-1", "epochs": '{"intent":1}', "applied_at": "{}", "flushed_through": 8, "at": 9}


@pytest.fixture
def url(tmp_path: Any) -> str:
    """Where a store is to be."""
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def raw(url: str) -> Iterator[Connection]:
    """A write transaction on the file itself, at revision 0004; committed by the test."""
    engine, writers = engine_for(url)
    with writers.connect() as connection:
        command.upgrade(config(connection), "0004")
        yield connection
    engine.dispose()


def insert(connection: Connection, table: str, *rows: Mapping[str, Any]) -> None:
    for row in rows:
        names, places = ", ".join(row), ", ".join(f":{name}" for name in row)
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), dict(row))


def older(row: Mapping[str, Any]) -> dict[str, Any]:
    """An inference as it was before revision 0006 (`reason` came with 0011)."""
    added = ("alone", "capture", "input_tokens", "output_tokens", "cost", "caller", "reason")
    return {name: value for name, value in row.items() if name not in added}


def held(connection: Connection, table: str) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()]


def waiting(test: str, at: int, unit: str = "ana") -> dict[str, Any]:
    return {"rollout": ROLLOUT, "test": test, "at": at, "unit": unit, "epoch": 1}


def test_failures_exposures_journal_and_signs_of_life_are_carried_over(
    url: str, raw: Connection
) -> None:
    """Schema 0005: failures are first events of the kind `error`, and wait for their test still."""
    made = inference("i1", unit_source="body"), inference("i2", at=110, status=Status.ERROR)
    insert(raw, "inferences", *(older(codec(Inference).row(one)) for one in made))
    gone = {**EXPOSED, "unit": "ben", "at": 90, "inference": "erased"}
    insert(raw, "exposures", EXPOSED, gone)
    insert(raw, "failures", FAILED, {**FAILED, "unit": "ben"})
    insert(raw, "pending", waiting("fast", 100), waiting("fast", 90, "ben"), waiting("error", 110))
    insert(raw, "evidence_journal", ENTRY)
    insert(raw, "replicas", SIGN)
    raw.commit()
    store = SqlStore(url)
    try:
        exposed = store.exposures(ROLLOUT, lacking="fast", until=FOREVER)
        assert [(e.unit, e.unit_source, e.at, e.bucket) for e in exposed] == [
            ("ben", "unknown", 90, 0.625),
            ("ana", "body", 100, 0.625),
        ]
        [event] = store.first_events(ROLLOUT, kind="error", until=FOREVER)
        assert (event.unit, event.variant, event.at) == ("ana", Variant.CANDIDATE, 110)
        assert store.scan(JournalEntry) == [entry(1)]
        [first, second] = store.scan(Inference)
        assert (first, second) == made
        assert (first.alone, first.capture, first.cost, first.caller) == (False, 1.0, None, None)
        assert first.reason is None
        [sign] = store.scan(Replica)
        assert (sign.epochs, sign.open_since, sign.flushed_through) == ({"intent": 1}, {}, 8)
        store.ingest([inference("i0", at=80, status=Status.TIMEOUT)], [])
        [event] = store.first_events(ROLLOUT, kind="error", until=FOREVER)
        assert (event.at, event.variant) == (80, Variant.CONTROL)
    finally:
        store.close()


def test_going_back_keeps_what_the_older_schema_has_a_place_for(url: str, raw: Connection) -> None:
    """What is in no test, or in one that the older code does not know, would break its fold."""
    raw.commit()
    store = SqlStore(url)
    store.commit(append=[rollout()])
    store.ingest([inference("i1"), inference("i2", at=110, status=Status.TIMEOUT)], [])
    store.commit(
        append=[
            entry(1),
            entry(2, test="latency_p95"),
            entry(3, test="quality", unit="ben", source="s-1"),
            entry(4, test="exposure", unit="eve", excluded="late"),
        ]
    )
    store.heartbeat(
        Replica(
            id="g-1",
            epochs={"intent": 1},
            applied_at={},
            open_since={"v2": 5},
            flushed_through=8,
            at=9,
        )
    )
    store.close()
    command.downgrade(config(raw), "0004")
    assert held(raw, "failures") == [{**FAILED, "variant": "control"}]
    assert held(raw, "exposures") == [EXPOSED]
    assert held(raw, "replicas") == [SIGN]
    assert [(row["seq"], row["test"]) for row in held(raw, "evidence_journal")] == [
        (1, "exposure"),
        (3, "quality"),
    ]
    assert {row["test"] for row in held(raw, "pending")} == {"error", "fast", "presence"}
    raw.commit()
    store = SqlStore(url)
    try:
        assert [e.at for e in store.first_events(ROLLOUT, kind="error", until=FOREVER)] == [110]
        assert store.first_events(ROLLOUT, kind="latency_slo", until=FOREVER) == []
        assert [held.source for held in store.scan(JournalEntry)] == [None, None]
    finally:
        store.close()


def test_the_narrow_tables_stay_in_the_order_of_their_keys(url: str) -> None:
    """SQLite keeps them without a row id, also after they were made anew."""
    SqlStore(url).close()
    engine, _ = engine_for(url)
    with engine.connect() as connection:
        for table in (tables.exposures, tables.firsts, tables.pending, tables.tallies):
            [made] = connection.execute(
                text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": table.name}
            ).scalars()
            assert "WITHOUT ROWID" in made
    engine.dispose()
