"""What only a store on a disk can break: schema, several processes, a process that is killed."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from greenlight.adapters.stores import questions, sqlite, tables
from greenlight.adapters.stores.migrations import HEAD, config
from greenlight.adapters.stores.sql import SqlStore
from greenlight.adapters.stores.sqlite import engine_for
from greenlight.core.errors import StoreError
from greenlight.core.records import Epoch, Feedback, Inference, LedgerEntry, Run, StageResult
from tests.contracts.making import ROLLOUT, entry, epoch, feedback, inference, link

ROOT = Path(__file__).parents[2]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Where a store is to be, in a folder that is not there yet."""
    return f"sqlite:///{tmp_path}/new/folder/store.db"


@contextlib.contextmanager
def opened(url: str) -> Iterator[SqlStore]:
    """A store that is closed in the end."""
    store = SqlStore(url)
    try:
        yield store
    finally:
        store.close()


def file_of(url: str) -> str:
    """The path in an address."""
    return url.removeprefix("sqlite:///")


@contextlib.contextmanager
def writing(url: str) -> Iterator[Connection]:
    """A write transaction on the file itself."""
    engine, writers = engine_for(url)
    with writers.begin() as connection:
        yield connection
    engine.dispose()


def python(program: str, *arguments: str) -> subprocess.Popen[str]:
    """A process that runs a program of a few lines."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended_well(processes: list[subprocess.Popen[str]]) -> list[str]:
    """What the processes printed, once all have ended without an error."""
    printed = []
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        printed.append(out)
    return printed


# Schema


def test_what_was_written_is_there_after_reopening(url: str) -> None:
    with opened(url) as store:
        store.commit(append=[epoch(1)])
        store.ingest([inference("i1")], [feedback("f1", "i1")])
        lease = store.lease("leader", "a", now=0, ttl=10)
    with opened(url) as store:
        assert store.scan(Epoch) == [epoch(1)]
        assert [e.unit for e in store.exposures(ROLLOUT, lacking="fast", until=999)] == ["ana"]
        assert store.lease("leader", "a", now=0, ttl=10) == lease


def test_the_migrations_make_the_tables_of_the_records(url: str) -> None:
    SqlStore(url).close()
    with writing(url) as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == HEAD
        assert compare_metadata(context, tables.metadata) == []
        found = inspect(connection)
        for table in tables.metadata.sorted_tables:
            primary = found.get_pk_constraint(table.name)["constrained_columns"]
            assert primary == [column.name for column in table.primary_key], table.name
            order = [column["name"] for column in found.get_columns(table.name)]
            assert order == [column.name for column in table.c], table.name
        unique = found.get_unique_constraints("evidence_journal")
        assert [constraint["name"] for constraint in unique] == ["uq_evidence_journal"]


def test_head_is_the_last_migration(url: str) -> None:
    with writing(url) as connection:
        scripts = ScriptDirectory.from_config(config(connection))
        assert scripts.get_heads() == [HEAD]
        assert all(step.revision.isdigit() for step in scripts.walk_revisions())


def test_migrations_go_down_and_up_again(url: str) -> None:
    SqlStore(url).close()
    with writing(url) as connection:
        command.downgrade(config(connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    with opened(url) as store:
        store.commit(append=[epoch(1)])
        assert store.scan(Epoch) == [epoch(1)]


def test_trainings_of_the_first_schema_become_runs_and_back(url: str) -> None:
    """Schema 0002 (P1): nothing that was trained is lost in either direction."""
    old = {
        "id": "0192",
        "task": "intent",
        "backend": "encoder-head",
        "dataset": "sha256:d",
        "config": '{"C":2.0}',
        "seed": 7,
        "initiator": "ana",
        "environment": '{"python":"3.11"}',
        "report": '{"accuracy":0.5}',
        "bundle": "sha256:b",
        "started_at": 5,
        "at": 9,
    }
    with writing(url) as connection:
        command.upgrade(config(connection), "0001")
        names = ", ".join(old)
        places = ", ".join(f":{name}" for name in old)
        connection.execute(text(f"INSERT INTO runs ({names}) VALUES ({places})"), old)
    with opened(url) as store:
        (run,) = store.scan(Run)
        assert (run.id, run.number, run.status, run.at, run.ended_at) == (
            "0192",
            1,
            "finished",
            5,
            9,
        )
        assert run.plan == {"backend": "encoder-head", "options": {"C": 2.0}, "seed": 7}
        (trained,) = store.scan(StageResult)
        assert trained.output == {"bundle": "sha256:b", "dataset": "sha256:d"}
        assert (trained.run, trained.name, trained.report) == ("0192", "train", {"accuracy": 0.5})
    with writing(url) as connection:
        command.downgrade(config(connection), "0001")
        assert dict(connection.execute(text("SELECT * FROM runs")).mappings().one()) == old


def test_a_failed_migration_leaves_nothing_behind(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(settings: object, revision: str) -> None:
        upgrade(settings, revision)
        raise KeyboardInterrupt

    upgrade = command.upgrade
    monkeypatch.setattr(command, "upgrade", fail)
    with pytest.raises(KeyboardInterrupt):
        SqlStore(url)
    with contextlib.closing(sqlite3.connect(file_of(url))) as raw:
        assert raw.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    monkeypatch.setattr(command, "upgrade", upgrade)
    SqlStore(url).close()


def test_a_newer_database_is_refused(url: str) -> None:
    SqlStore(url).close()
    with writing(url) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match=f"newer Greenlight .schema 9999, this one knows {HEAD}"):
        SqlStore(url)


def test_somebody_elses_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE versions (x)")
    with pytest.raises(StoreError, match=r"other\.db is no store of Greenlight's"):
        SqlStore(f"sqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == [("versions",)]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be taken for one by its header" * 9)
    with pytest.raises(StoreError, match="not a database"):
        SqlStore(f"sqlite:///{path}")


@pytest.mark.parametrize("address", ["sqlite://", "sqlite:///:memory:", "postgresql://x/y", "file"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(StoreError, match=r"sqlite:///folder/name\.db"):
        SqlStore(address)


def test_every_commit_is_flushed_to_the_disk(url: str) -> None:
    """WAL and synchronous = FULL on every connection (2 is FULL)."""
    engine, _ = engine_for(url)
    with engine.connect() as one, engine.connect() as two:
        for connection in (one, two):
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    engine.dispose()


def test_a_current_store_opens_without_alembic(url: str) -> None:
    SqlStore(url).close()
    program = (
        "import sys; from greenlight.adapters.stores.sql import SqlStore;"
        "SqlStore(sys.argv[1]).close(); print('alembic' in sys.modules)"
    )
    assert ended_well([python(program, url)]) == ["False\n"]


def test_waiting_exposures_are_read_in_order_without_sorting(url: str) -> None:
    """The cost of the question is that of its answer: no sort, no walk over what is settled."""
    SqlStore(url).close()
    with writing(url) as connection:
        for query, table, kind in (
            (questions.EXPOSURES, "exposures", ""),
            (questions.FIRST_EVENTS, "firsts", "kind=? AND "),
        ):
            text = str(query.compile(dialect=connection.dialect))
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", ("r", "t", 1, 1, 0))
            plan = [row[-1] for row in rows]
            assert plan == [
                "SEARCH pending USING PRIMARY KEY (rollout=? AND test=? AND at<?)",
                f"SEARCH {table} USING PRIMARY KEY (rollout=? AND {kind}unit=? AND epoch=?)",
            ]


def test_the_newest_of_a_task_are_found_without_a_walk_over_the_others(url: str) -> None:
    """What a rollout reads at its start, also of a task that is quiet beside busy ones."""
    SqlStore(url).close()
    with writing(url) as connection:
        query = "SELECT * FROM inferences WHERE task = 'quiet' ORDER BY id DESC LIMIT 1000"
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")
        assert [row[-1] for row in rows] == [
            "SEARCH inferences USING INDEX ix_inferences_task_id (task=?)"
        ]


def test_units_are_found_within_a_rollout_and_not_listed_outside_of_any(url: str) -> None:
    """Units come in no order: listing each would cost as much as storing the inference."""
    SqlStore(url).close()
    name = "ix_inferences_rollout_unit_epoch_id"
    with writing(url) as connection:
        for condition in ("unit = ?", "unit IN (?, 'ana')"):
            query = f"SELECT id FROM inferences WHERE rollout = ? AND {condition}"
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", ("r", "u"))
            [row] = rows
            assert row[-1] == (
                f"SEARCH inferences USING COVERING INDEX {name} (rollout=? AND unit=?)"
            )
        made = f"SELECT sql FROM sqlite_master WHERE name = '{name}'"
        assert connection.exec_driver_sql(made).scalar_one().endswith("WHERE rollout IS NOT NULL")


def left_in(url: str, text: str) -> int:
    """How often a text stands in the bytes of the file and its log."""
    paths = [Path(file_of(url)), Path(file_of(url) + "-wal")]
    return sum(path.read_bytes().count(text.encode()) for path in paths if path.exists())


def test_what_was_deleted_leaves_the_disk(url: str) -> None:
    """D11: also rows that were deleted long ago, by an SQLite that does not overwrite them."""
    with opened(url) as store:
        events = [inference(f"i{n:03}", unit=f"ana.smith {n}", at=n) for n in range(200)]
        store.ingest(events, [])
        with contextlib.closing(sqlite3.connect(file_of(url))) as raw:
            raw.execute("PRAGMA secure_delete = OFF")
            for table in ("inferences", "exposures", "pending"):
                raw.execute(f"DELETE FROM {table} WHERE unit <> 'ana.smith 7'")
            raw.commit()
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert left_in(url, "ana.smith 1") > 0
        store.compact()
        assert left_in(url, "ana.smith 1") == 0
        assert [held.unit for held in store.scan(Inference)] == ["ana.smith 7"]


def test_a_reader_is_named_as_what_keeps_the_disk_from_being_cleared(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D11: what was erased still stands in the log then, so nobody may be told it is gone."""
    monkeypatch.setattr(sqlite, "BUSY_MS", 50)
    with opened(url) as store:
        store.ingest([inference("i1")], [])
        with contextlib.closing(sqlite3.connect(file_of(url), isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM inferences").fetchall()
            with pytest.raises(StoreError, match="somebody is reading it"):
                store.compact()
        store.compact()


# Several processes and threads


def test_several_processes_may_open_a_new_store_at_once(url: str) -> None:
    program = (
        "import sys; from greenlight.adapters.stores.sql import SqlStore; import alembic.command;"
        "print('ready', flush=True); sys.stdin.readline();"
        "SqlStore(sys.argv[1]).close()"
    )
    processes = [python(program, url) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ended_well(processes)
    with writing(url) as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


def test_switching_to_wal_waits_for_another_opener(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite refuses that at once while another connection holds the write lock."""
    path = Path(file_of(url))
    path.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(sqlite.time, "sleep", lambda seconds: other.execute("COMMIT"))
        SqlStore(url).close()
        assert not other.in_transaction


APPEND = """
import sys
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.errors import Conflict
from greenlight.core.records import LedgerEntry
store, name = SqlStore(sys.argv[1]), sys.argv[2]
for n in range(100):
    while True:
        last = store.scan(LedgerEntry, newest_first=True, limit=1)
        seq = last[0].seq + 1 if last else 1
        link = LedgerEntry(seq=seq, prev="", digest="", kind=name, body={}, at=n)
        try:
            store.commit(append=[link])
            break
        except Conflict:
            pass
"""


def test_processes_that_append_at_once_lose_nothing(url: str) -> None:
    SqlStore(url).close()
    ended_well([python(APPEND, url, name) for name in ("a", "b")])
    with opened(url) as store:
        held = store.scan(LedgerEntry)
        assert [link.seq for link in held] == list(range(1, 201))
        for name in ("a", "b"):
            assert [link.at for link in held if link.kind == name] == list(range(100))


def test_a_reader_is_not_stopped_by_a_writer(url: str) -> None:
    with opened(url) as store:
        store.commit(append=[link(1)])
        with writing(url) as connection:
            connection.exec_driver_sql("DELETE FROM ledger")
            assert store.scan(LedgerEntry) == [link(1)]
        assert store.scan(LedgerEntry) == []


def test_threads_ingest_commit_and_ask_at_once(url: str) -> None:
    def gateway(name: str) -> None:
        for n in range(40):
            id = f"{name}{n:02}"
            store.ingest([inference(id, unit=id, at=n)], [feedback(id, id)])

    def controller() -> None:
        seq = 0
        while seq < 80:
            waiting = store.exposures(ROLLOUT, lacking="fast", until=999)
            rows = [entry(seq + n, test="fast", unit=e.unit) for n, e in enumerate(waiting, 1)]
            store.commit(append=rows)
            seq += len(rows)

    with opened(url) as store, ThreadPoolExecutor() as threads:
        work = [
            threads.submit(gateway, "a"),
            threads.submit(gateway, "b"),
            threads.submit(controller),
        ]
        for done in work:
            done.result(timeout=60)
        assert store.exposures(ROLLOUT, lacking="fast", until=999) == []
        assert len(store.exposures(ROLLOUT, lacking="presence", until=999)) == 80
        assert [(arm.requests, arm.units, arm.good) for arm in store.summarise(ROLLOUT)] == [
            (80, 80, 80)
        ]


# Kill


WRITE = """
import sys
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.records import Epoch
from tests.contracts.making import epoch, feedback, inference, link
store, n = SqlStore(sys.argv[1]), int(sys.argv[2])
while True:
    store.commit(append=[epoch(n), link(n)])
    store.ingest([inference(f"i{n:06}", at=n, epoch=n)], [feedback(f"f{n:06}", f"i{n:06}")])
    print(n, flush=True)
    n += 1
"""


def test_what_was_acknowledged_survives_kill_9(url: str) -> None:
    SqlStore(url).close()
    acknowledged = 0
    for _ in range(3):
        process = python(WRITE, url, str(acknowledged + 1_000))
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(30)]
        process.kill()
        rest, _ = process.communicate(timeout=60)
        acknowledged = int("".join([*lines, rest]).split()[-1])
        _check(url, acknowledged)


def _check(url: str, acknowledged: int) -> None:
    """Everything acknowledged is there, and every transaction is there whole or not at all."""
    with opened(url) as store:
        epochs = {held.number for held in store.scan(Epoch, limit=10**6)}
        assert acknowledged in epochs
        assert epochs == {held.seq for held in store.scan(LedgerEntry, limit=10**6)}
        ids = {held.id[1:] for held in store.scan(Inference, limit=10**6)}
        assert f"{acknowledged:06}" in ids
        assert ids == {held.id[1:] for held in store.scan(Feedback, limit=10**6)}
        exposures = store.exposures(ROLLOUT, lacking="fast", until=10**9, limit=10**6)
        assert {f"{e.epoch:06}" for e in exposures} == ids
        arms = store.summarise(ROLLOUT)
        assert sum(arm.good for arm in arms) == len(ids)
