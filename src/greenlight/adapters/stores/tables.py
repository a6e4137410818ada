"""The tables: one per record, with one column per field, and a few that `ingest` keeps up to date.

Types follow from the fields' types in one place (`_TYPES`): documents are canonical JSON in text,
enums are text, times and durations are 64-bit integers. The records' tables are generated here;
what they were at each revision is written out in `migrations/`, and a test holds the two equal.
"""

from __future__ import annotations

import enum
import functools
import operator
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar, get_args, get_origin

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Dialect,
    Double,
    Executable,
    Index,
    Insert,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    insert,
)
from sqlalchemy.types import TypeEngine

from greenlight.adapters.stores import common
from greenlight.adapters.stores.common import check_finite, documents, hints
from greenlight.core.fingerprint import canonical
from greenlight.core.records import RECORDS, Record

R = TypeVar("R", bound=Record)

NAMES = {
    "Dataset": "datasets",
    "Run": "runs",
    "StageResult": "stage_results",
    "RunProgress": "run_progress",
    "Version": "versions",
    "Evaluation": "evaluations",
    "Approval": "approvals",
    "Rollout": "rollouts",
    "Epoch": "epochs",
    "Inference": "inferences",
    "Feedback": "feedback",
    "Shadow": "shadows",
    "Replica": "replicas",
    "JournalEntry": "evidence_journal",
    "EvidenceState": "evidence_states",
    "Decision": "decisions",
    "LedgerEntry": "ledger",
    "ApiKey": "api_keys",
    "Incident": "incidents",
    "Delivery": "deliveries",
    "StagingRecord": "staging_records",
}
"""Record → table."""

INDEXES: Mapping[str, Sequence[tuple[str, ...]]] = {
    "runs": [("task", "number")],
    "stage_results": [("name", "inputs")],
    "versions": [("task", "label")],
    "evaluations": [("version",)],
    "approvals": [("version",)],
    "rollouts": [("task",)],
    "decisions": [("rollout",)],
    "incidents": [("task", "at")],
    "staging_records": [("bundle",)],
    "ledger": [("kind", "seq")],
    "inferences": [("rollout", "unit", "epoch", "id"), ("task", "id")],
    "shadows": [("rollout", "id")],
    "feedback": [("inference_id", "metric"), ("metric", "at")],
}
"""Table → what is looked for besides the key. Rows without the first of the columns are in no such
index: nobody looks for them there, and units in no order cost as much as the rows themselves."""

_TYPES: dict[type, type[TypeEngine[Any]]] = {
    str: Text,
    int: BigInteger,
    float: Double,
    bool: Boolean,
}

metadata = MetaData()


def _split(hint: Any) -> tuple[type, bool]:
    """The plain type of a field, and whether it may be None."""
    options = get_args(hint) if get_origin(hint) is types.UnionType else (hint,)
    (plain,) = [option for option in options if option is not types.NoneType]
    return get_origin(plain) or plain, len(options) > 1


def _column(name: str, hint: Any) -> Column[Any]:
    plain, optional = _split(hint)
    stored = str if plain is dict or issubclass(plain, enum.Enum) else plain
    return Column(name, _TYPES[stored](), nullable=optional)


def _table(kind: type[Record]) -> Table:
    name = NAMES[kind.__name__]
    columns = [_column(field, hint) for field, hint in hints(kind).items()]
    table = Table(name, metadata, *columns, PrimaryKeyConstraint(*kind.KEY))
    for fields in INDEXES.get(name, ()):
        first = table.c[fields[0]]
        where = first.is_not(None) if first.nullable else None
        columns = [table.c[field] for field in fields]
        Index(f"ix_{name}_{'_'.join(fields)}", *columns, sqlite_where=where)
    return table


TABLES: dict[type[Record], Table] = {kind: _table(kind) for kind in RECORDS}

inferences, feedback, shadows, journal, replicas, epochs = (
    next(table for kind, table in TABLES.items() if NAMES[kind.__name__] == name)
    for name in ("inferences", "feedback", "shadows", "evidence_journal", "replicas", "epochs")
)
journal.append_constraint(
    UniqueConstraint("rollout", "unit", "epoch", "test", name="uq_evidence_journal")
)

Index("uq_epochs_follows", epochs.c.task, epochs.c.follows, unique=True)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

exposures = Table(
    "exposures",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("variant", Text, nullable=False),
    Column("weight", Double, nullable=False),
    Column("bucket", Double, nullable=False),
    Column("unit_source", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("inference", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""A unit's first inference in an epoch, and which inference that is."""

firsts = Table(
    "firsts",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("variant", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("inference", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""A unit's first event of a kind in an epoch, and which inference that is."""

pending = Table(
    "pending",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("test", Text, primary_key=True),
    Column("at", BigInteger, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)
"""Exposures and first events without a journal entry for a test, in the order of the questions.

`ingest` adds rows and `commit` takes them away together with writing the journal, so a question
costs what it returns however old the rollout is. `at` is always that of the exposure (event).
"""

tallies = Table(
    "tallies",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("variant", Text, primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in common.TALLIED),
    sqlite_with_rowid=False,
)
"""Running counts per arm; integers, so that they do not depend on the order of arrival."""


def execute_many(
    connection: Connection, statement: Executable, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Run a statement once per row.

    SQLAlchemy would work out the parameters of every row anew, which takes longer than SQLite
    takes to insert it; here only their order is its business. Values must be of the column's
    type already.
    """
    if not rows:
        return
    text, order = _compiled(statement, connection.dialect)
    values: Any = rows if order is None else list(map(operator.itemgetter(*order), rows))
    connection.exec_driver_sql(text, values)


@functools.lru_cache(maxsize=128)
def _compiled(statement: Any, dialect: Dialect) -> tuple[str, tuple[str, ...] | None]:
    """The text of a statement, and the order of its parameters where they go by place."""
    compiled = statement.compile(dialect=dialect)
    return str(compiled), compiled.positiontup and tuple(compiled.positiontup)


INSERT: dict[Table, Insert] = {table: insert(table) for table in metadata.sorted_tables}


class Codec(Generic[R]):
    """Between a record and a row."""

    def __init__(self, kind: type[R]) -> None:
        self.kind = kind
        self.table = TABLES[kind]
        self.names = tuple(hints(kind))
        self._documents = tuple(n for n in self.names if n in documents(kind))
        self._readers: list[tuple[int, Callable[[Any], Any]]] = [
            (i, reader)
            for i, hint in enumerate(hints(kind).values())
            if (reader := _reader(hint)) is not None
        ]

    def row(self, record: R) -> dict[str, Any]:
        """Column → value.

        Raises:
            ValueError: a float that is not finite.
        """
        check_finite(record)
        row: dict[str, Any] = msgspec.to_builtins(record)
        for name in self._documents:
            row[name] = canonical(row[name]).decode()
        return row

    def record(self, row: Sequence[Any]) -> R:
        """The record of a row with every column in order."""
        values = list(row)
        for i, reader in self._readers:
            values[i] = reader(values[i])
        return self.kind(**dict(zip(self.names, values, strict=True)))


def _reader(hint: Any) -> Callable[[Any], Any] | None:
    """What makes a field's value of the column's, where they differ."""
    plain, optional = _split(hint)
    if issubclass(plain, enum.Enum):
        return (lambda value: None if value is None else plain(value)) if optional else plain
    if plain is dict:
        return msgspec.json.Decoder(hint).decode
    return None


_CODECS: dict[type[Record], Codec[Any]] = {kind: Codec(kind) for kind in RECORDS}


def codec(kind: type[R]) -> Codec[R]:
    """The codec of a record.

    Raises:
        ValueError: no table holds such records.
    """
    if kind not in _CODECS:
        raise ValueError(f"no table holds {kind.__name__}")
    return _CODECS[kind]
