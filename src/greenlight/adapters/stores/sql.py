"""A store in a SQL database (SQLite now): records, leases, and the transactions of both halves."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, and_, delete, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from greenlight.adapters.stores import (
    common,
    firsts,
    ingesting,
    purging,
    questions,
    questions_minutes,
    tables,
)
from greenlight.adapters.stores.migrations import migrate
from greenlight.adapters.stores.sqlite import compact, engine_for, explain
from greenlight.adapters.stores.tables import INSERT, codec, execute_many
from greenlight.core.answers import ArmMinute, ArmSummary, Event, Exposure, Lease, Said
from greenlight.core.errors import Conflict, LostLease, StoreError
from greenlight.core.records import (
    Epoch,
    Feedback,
    Inference,
    JournalEntry,
    Record,
    Replica,
    Shadow,
)
from greenlight.core.retention import Erasure

R = TypeVar("R", bound=Record)

_CHUNK = 300
_EVIDENCE = ("rollout", "unit", "epoch", "test")
_FOLLOWS = ("task", "follows")


class SqlStore:
    """Implements `ports.Store`; safe to share between threads, and the file between processes.

    Opening brings an empty or older database to the current schema.

    Raises:
        StoreError: not an SQLite file's address, not a store of Greenlight's, or a newer one.
    """

    def __init__(self, url: str) -> None:
        self._readers, self._writers = engine_for(url)
        self._one_writer = threading.Lock()
        with self._translated():
            migrate(self._readers, self._writers)

    # Records

    def get(self, kind: type[R], *key: str | int) -> R | None:
        """See `ports.Records.get`."""
        common.check_key(kind, key)
        with self._reading() as connection:
            return _held(connection, kind, key)

    def scan(
        self,
        kind: type[R],
        where: Mapping[str, str | int | None] | None = None,
        *,
        after: tuple[str | int, ...] | None = None,
        newest_first: bool = False,
        limit: int = 1000,
    ) -> list[R]:
        """See `ports.Records.scan`."""
        table = codec(kind).table
        common.check_where(kind, where or {})
        keys = [table.c[name] for name in kind.KEY]
        query = select(table).where(*(table.c[n] == v for n, v in (where or {}).items()))
        if after is not None:
            common.check_key(kind, after)
            page = tuple_(*keys)
            query = query.where(page < after if newest_first else page > after)
        order = [key.desc() if newest_first else key.asc() for key in keys]
        with self._reading() as connection:
            rows = connection.execute(query.order_by(*order).limit(limit))
            return [codec(kind).record(row) for row in rows]

    def commit(
        self,
        *,
        append: Sequence[Record] = (),
        swap: Sequence[tuple[Record, Record]] = (),
        fence: Lease | None = None,
        now: int | None = None,
    ) -> None:
        """See `ports.Records.commit`."""
        common.check_commit(append, swap, fence, now)
        by_kind: defaultdict[type[Record], list[dict[str, Any]]] = defaultdict(list)
        for record in append:
            by_kind[type(record)].append(codec(type(record)).row(record))
        pairs = [(old, codec(type(new)).row(new), common.normal(old)) for old, new in swap]
        with self._writing() as connection:
            if fence is not None and now is not None:
                _hold(connection, fence, now)
            for kind, rows in by_kind.items():
                _append(connection, kind, rows)
            for old, row, expected in pairs:
                _swap(connection, expected, row, old.key)
            firsts.settle(connection, by_kind.get(JournalEntry, ()))

    def lease(self, name: str, holder: str, now: int, ttl: int) -> Lease | None:
        """See `ports.Records.lease`."""
        with self._writing() as connection:
            held = _lease(connection, name)
            taken = common.take_lease(held, name, holder, now, ttl)
            if taken is None:
                return None
            row = {
                "name": name,
                "holder": holder,
                "token": taken.token,
                "expires_at": taken.expires_at,
            }
            leases = tables.leases
            if held is None:
                connection.execute(insert(leases), row)
            else:
                connection.execute(update(leases).where(leases.c.name == name), row)
            return taken

    def leased(self, name: str) -> Lease | None:
        """See `ports.Records.leased`."""
        with self._reading() as connection:
            return _lease(connection, name)

    # Events

    def ingest(
        self,
        inferences: Sequence[Inference],
        feedback: Sequence[Feedback],
        shadows: Sequence[Shadow] = (),
    ) -> None:
        """See `ports.Events.ingest`."""
        if not (inferences or feedback or shadows):
            return
        with self._writing() as connection:
            ingesting.ingest(connection, inferences, feedback, shadows)

    def heartbeat(self, replica: Replica) -> None:
        """See `ports.Events.heartbeat`."""
        row = codec(Replica).row(replica)
        table = tables.replicas
        with self._writing() as connection:
            connection.execute(delete(table).where(table.c.id == replica.id))
            connection.execute(insert(table), row)

    def exposures(
        self, rollout: str, *, lacking: str, until: int, limit: int = 5000
    ) -> list[Exposure]:
        """See `ports.Events.exposures`."""
        common.check_test(lacking)
        with self._reading() as connection:
            return questions.exposures(connection, rollout, lacking, until, limit)

    def first_events(
        self, rollout: str, *, kind: str, until: int, limit: int = 5000
    ) -> list[Event]:
        """See `ports.Events.first_events`."""
        common.check_event(kind)
        with self._reading() as connection:
            return questions.first_events(connection, rollout, kind, until, limit)

    def failed_within(
        self, rollout: str, exposures: Sequence[Exposure], window: int
    ) -> set[tuple[str, int]]:
        """See `ports.Events.failed_within`."""
        with self._reading() as connection:
            return questions.failed_within(connection, rollout, exposures, window)

    def past(self, rollout: str, units: Sequence[str]) -> dict[str, list[Exposure]]:
        """See `ports.Events.past`."""
        with self._reading() as connection:
            return questions.past(connection, rollout, units)

    def feedback_on(
        self, rollout: str, metric: str, exposures: Sequence[Exposure], window: int
    ) -> dict[tuple[str, int], list[Said]]:
        """See `ports.Events.feedback_on`."""
        with self._reading() as connection:
            return questions.feedback_on(connection, rollout, metric, exposures, window)

    def summarise(self, rollout: str) -> list[ArmSummary]:
        """See `ports.Events.summarise`."""
        with self._reading() as connection:
            return questions.summarise(connection, rollout)

    def minutes(
        self, task: str, rollout: str, *, since: int, until: int, labels: bool = False
    ) -> list[ArmMinute]:
        """See `ports.Events.minutes`."""
        with self._reading() as connection:
            return questions_minutes.minutes(connection, task, rollout, since, until, labels)

    def answers(
        self, task: str, *, since: int, until: int, after: str | None = None, limit: int = 1000
    ) -> list[tuple[Inference, list[Feedback]]]:
        """See `ports.Events.answers`."""
        with self._reading() as connection:
            return questions.answers(connection, task, since, until, after, limit)

    def count_answers(self, task: str, *, since: int, until: int) -> tuple[int, int]:
        """See `ports.Events.count_answers`."""
        with self._reading() as connection:
            return questions.count_answers(connection, task, since, until)

    def count_feedback(self, task: str, since: int) -> int:
        """See `ports.Events.count_feedback`."""
        with self._reading() as connection:
            return questions.count_feedback(connection, task, since)

    def erasable(self, what: Erasure) -> dict[str, int]:
        """See `ports.Events.erasable`."""
        with self._reading() as connection:
            return purging.erasable(connection, what)

    def erase(
        self, what: Erasure, random: Callable[[int], bytes], *, batch: int = 500
    ) -> Iterator[Mapping[str, int]]:
        """See `ports.Events.erase`."""
        return purging.erase(self._reading, self._writing, what, random, batch)

    def compact(self) -> None:
        """See `ports.Events.compact`."""
        with self._one_writer, self._translated():
            compact(self._writers)

    def close(self) -> None:
        """Close every connection."""
        self._readers.dispose()

    # Transactions

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._translated(), self._readers.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """One write transaction. The lock spares threads of one process the polling for it."""
        with self._one_writer, self._translated(), self._writers.begin() as connection:
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise StoreError(f"{self._readers.url.render_as_string()}: {explain(cause)}") from error


def _held(connection: Connection, kind: type[R], key: Sequence[str | int]) -> R | None:
    table = codec(kind).table
    query = select(table).where(*(table.c[n] == v for n, v in zip(kind.KEY, key, strict=True)))
    row = connection.execute(query).first()
    return None if row is None else codec(kind).record(row)


def _lease(connection: Connection, name: str) -> Lease | None:
    row = connection.execute(select(tables.leases).where(tables.leases.c.name == name)).first()
    return None if row is None else Lease(**row._mapping)


def _hold(connection: Connection, fence: Lease, now: int) -> None:
    reason = common.lost(_lease(connection, fence.name), fence, now)
    if reason is not None:
        raise LostLease(reason)


def _append(connection: Connection, kind: type[Record], rows: list[dict[str, Any]]) -> None:
    """Insert rows of one kind, or say which of them is there already."""
    table = codec(kind).table
    savepoint = connection.begin_nested()
    try:
        execute_many(connection, INSERT[table], rows)
    except IntegrityError as error:
        savepoint.rollback()
        taken = _taken(connection, table, kind.KEY, rows)
        if taken is not None:
            key = "/".join(str(taken[name]) for name in kind.KEY)
            raise Conflict(f"{kind.__name__} {key} is there already") from error
        if kind is JournalEntry and (taken := _taken(connection, table, _EVIDENCE, rows)):
            entry = codec(JournalEntry).record([taken[column.name] for column in table.c])
            raise Conflict(f"{common.evidence_name(entry)} is in the journal already") from error
        if kind is Epoch and (taken := _taken(connection, table, _FOLLOWS, rows)):
            epoch = codec(Epoch).record([taken[column.name] for column in table.c])
            raise Conflict(common.followed(epoch)) from error
        raise
    savepoint.commit()


def _taken(
    connection: Connection, table: Table, unique: Sequence[str], rows: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
    """The first row whose `unique` columns repeat another row's or a stored one's."""
    keys = [tuple(row[name] for name in unique) for row in rows]
    columns = [table.c[name] for name in unique]
    taken: set[tuple[Any, ...]] = set()
    for start in range(0, len(keys), _CHUNK):
        query = select(*columns).where(tuple_(*columns).in_(keys[start : start + _CHUNK]))
        taken.update(tuple(found) for found in connection.execute(query))
    for key, row in zip(keys, rows, strict=True):
        if key in taken:
            return row
        taken.add(key)
    return None


def _swap(
    connection: Connection, expected: Record, row: dict[str, Any], key: Sequence[str | int]
) -> None:
    kind = type(expected)
    held = _held(connection, kind, key)
    if held != expected:
        raise Conflict(common.changed(expected, held))
    table = codec(kind).table
    here = and_(*(table.c[name] == part for name, part in zip(kind.KEY, key, strict=True)))
    connection.execute(update(table).where(here).values(row))
