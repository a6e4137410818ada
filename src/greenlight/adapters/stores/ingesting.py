"""How events enter a SQL store, and how the derived tables follow.

Everything runs inside one write transaction that no other writer shares, so reading what is there
and then writing the difference is safe. Only events that are new count.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, bindparam, delete, insert, select, update

from greenlight.adapters.stores import common, tables
from greenlight.adapters.stores.common import Arm, UnitKey
from greenlight.adapters.stores.questions import chunks
from greenlight.adapters.stores.tables import codec
from greenlight.core.metrics import BAD, GOOD
from greenlight.core.records import Feedback, Inference

E = TypeVar("E", Inference, Feedback)

Tally = dict[Arm, Counter[str]]
"""By how much the counts of each arm change; the names are columns of `tallies`."""

Word = tuple[int, str, float]
"""(received at, feedback id, value): the greatest is the latest."""


def ingest(
    connection: Connection, inferences: Sequence[Inference], feedback: Sequence[Feedback]
) -> None:
    """Store what is new and bring exposures, failures, pending and tallies up to date.

    Raises:
        ValueError: a float that is not finite.
    """
    arrived = _new(connection, Inference, inferences)
    said = _new(connection, Feedback, feedback)
    tally: Tally = defaultdict(Counter)
    _judge(connection, arrived, said, tally)
    for kind, events in ((Inference, arrived), (Feedback, said)):
        if events:
            made = codec(kind)
            connection.execute(insert(made.table), [made.row(event) for event in events])
    exposed = [inference for inference in arrived if inference.rollout is not None]
    _count(exposed, tally)
    _expose(connection, exposed, tally)
    failed = [inference for inference in exposed if inference.status in common.FAILED]
    _Firsts(tables.failures, (common.FAILURE_TEST,)).follow(connection, failed)
    _add(connection, tally)


def settle(connection: Connection, entries: Iterable[Mapping[str, Any]]) -> None:
    """Take away what waited for these journal entries, now written."""
    settled: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in entries:
        settled[entry["test"]].append(
            {f"_{name}": entry[name] for name in ("rollout", "test", "unit", "epoch")}
        )
    for test, places in settled.items():
        if test in common.EXPOSURE_TESTS:
            connection.execute(_SETTLE_EXPOSURE, places)
        elif test == common.FAILURE_TEST:
            connection.execute(_SETTLE_FAILURE, places)


def _new(connection: Connection, kind: type[E], events: Sequence[E]) -> list[E]:
    """The events whose ids are not stored, each once."""
    fresh: dict[str, E] = {}
    for event in events:
        fresh.setdefault(event.id, event)
    ids = codec(kind).table.c.id
    for some in chunks(list(fresh)):
        for (known,) in connection.execute(select(ids).where(ids.in_(some))):
            del fresh[known]
    return list(fresh.values())


def _arm(inference: Inference) -> Arm:
    rollout, _, epoch = common.unit_key(inference)
    return (rollout, epoch, str(inference.variant))


def _count(exposed: Iterable[Inference], tally: Tally) -> None:
    for inference in exposed:
        counts = tally[_arm(inference)]
        counts["requests"] += 1
        counts["served"] += inference.served_version == inference.version
        counts["failed"] += inference.status in common.FAILED
        counts["latency_us"] += common.microseconds(inference.latency_ms)


def _expose(connection: Connection, exposed: Sequence[Inference], tally: Tally) -> None:
    """Keep exposures up to date; a unit counts in the arm of its first inference of the epoch."""
    firsts = _Firsts(tables.exposures, common.EXPOSURE_TESTS)
    for first, before in firsts.follow(connection, exposed):
        tally[_arm(first)]["units"] += 1
        if before is not None:
            tally[before]["units"] -= 1


# What the latest word on each answer is


def _judge(
    connection: Connection,
    arrived: Sequence[Inference],
    said: Sequence[Feedback],
    tally: Tally,
) -> None:
    """Count the change in the latest quality feedback per inference (called before inserting).

    Feedback may be here before its inference: they come through different spools.
    """
    words = [word for word in said if word.metric == common.QUALITY]
    fresh = {i.id: _arm(i) for i in arrived if i.rollout is not None}
    stored = _arms(connection, {word.inference_id for word in words} - fresh.keys())
    before = _latest(connection, [*stored, *fresh])
    after = dict(before)
    for word in words:
        place = word.inference_id
        after[place] = max(after.get(place, _SILENCE), (word.at, word.id, word.value))
    for place, arm in (*stored.items(), *fresh.items()):
        if place in stored:
            _score(tally[arm], before.get(place, _SILENCE), -1)
        _score(tally[arm], after.get(place, _SILENCE), 1)


_SILENCE: Word = (-1, "", -1.0)


def _score(counts: Counter[str], word: Word, by: int) -> None:
    counts["good"] += by * (word[2] == GOOD)
    counts["bad"] += by * (word[2] == BAD)


def _arms(connection: Connection, ids: Iterable[str]) -> dict[str, Arm]:
    """The arms of stored inferences, as far as they belong to a rollout."""
    table = tables.inferences
    query = select(table.c.id, table.c.rollout, table.c.epoch, table.c.variant)
    return {
        id: (rollout, epoch, variant)
        for some in chunks(list(ids))
        for id, rollout, epoch, variant in connection.execute(query.where(table.c.id.in_(some)))
        if rollout is not None
    }


def _latest(connection: Connection, ids: Sequence[str]) -> dict[str, Word]:
    """The latest stored quality feedback on each of these inferences."""
    table = tables.feedback
    query = select(table.c.inference_id, table.c.at, table.c.id, table.c.value)
    latest: dict[str, Word] = {}
    for some in chunks(ids):
        asked = query.where(table.c.inference_id.in_(some), table.c.metric == common.QUALITY)
        for place, at, id, value in connection.execute(asked):
            latest[place] = max(latest.get(place, _SILENCE), (at, id, value))
    return latest


# First exposures and first failures


class _Firsts:
    """One of the tables `exposures` and `failures`, and the tests that wait for its rows."""

    def __init__(self, table: Table, tests: Sequence[str]) -> None:
        self.table = table
        self.tests = tests

    def follow(
        self, connection: Connection, inferences: Iterable[Inference]
    ) -> list[tuple[Inference, Arm | None]]:
        """Insert new firsts, and replace those that a late arrival precedes.

        Returns:
            Every first inserted or replaced, with the arm of the one that it replaces.
        """
        firsts = common.earliest(inferences)
        stored = self._stored(connection, firsts)
        fresh = [first for place, first in firsts.items() if place not in stored]
        earlier = [
            (first, stored[place])
            for place, first in firsts.items()
            if place in stored
            and (first.at, first.id) < (stored[place].at, stored[place].inference)
        ]
        if fresh:
            connection.execute(insert(self.table), [self._row(first) for first in fresh])
            self._await(connection, fresh)
        if earlier:
            self._replace(connection, earlier)
        replaced = [(first, (row.rollout, row.epoch, row.variant)) for first, row in earlier]
        return [*((first, None) for first in fresh), *replaced]

    def _stored(self, connection: Connection, firsts: Iterable[UnitKey]) -> dict[UnitKey, Any]:
        found: dict[UnitKey, Any] = {}
        for rollout, units in _by_rollout(firsts):
            for some in chunks(units):
                query = select(self.table).where(
                    self.table.c.rollout == rollout, self.table.c.unit.in_(some)
                )
                for row in connection.execute(query):
                    found[row.rollout, row.unit, row.epoch] = row
        return found

    def _row(self, first: Inference) -> dict[str, Any]:
        row = {
            "rollout": first.rollout,
            "unit": first.unit,
            "epoch": first.epoch,
            "variant": str(first.variant),
            "weight": first.weight,
            "bucket": first.bucket,
            "at": first.at,
            "inference": first.id,
        }
        return {column.name: row[column.name] for column in self.table.c}

    def _await(self, connection: Connection, fresh: Sequence[Inference]) -> None:
        """List new firsts as lacking each test, but for what is in the journal already."""
        written = _written(connection, [common.unit_key(first) for first in fresh])
        rows = [
            {
                "rollout": first.rollout,
                "test": test,
                "at": first.at,
                "unit": first.unit,
                "epoch": first.epoch,
            }
            for first in fresh
            for test in self.tests
            if (*common.unit_key(first), test) not in written
        ]
        if rows:
            connection.execute(insert(tables.pending), rows)

    def _replace(self, connection: Connection, earlier: Sequence[tuple[Inference, Any]]) -> None:
        """Put an earlier first in the place of a later one; what is journaled stays so."""
        table, waiting = self.table, tables.pending
        for first, row in earlier:
            rollout, unit, epoch = common.unit_key(first)
            connection.execute(
                update(table)
                .where(table.c.rollout == rollout, table.c.unit == unit, table.c.epoch == epoch)
                .values(self._row(first))
            )
            connection.execute(
                update(waiting)
                .where(
                    waiting.c.rollout == rollout,
                    waiting.c.test.in_(self.tests),
                    waiting.c.at == row.at,
                    waiting.c.unit == unit,
                    waiting.c.epoch == epoch,
                )
                .values(at=first.at)
            )


def _by_rollout(places: Iterable[UnitKey]) -> list[tuple[str, list[str]]]:
    units: defaultdict[str, set[str]] = defaultdict(set)
    for rollout, unit, _ in places:
        units[rollout].add(unit)
    return [(rollout, sorted(some)) for rollout, some in units.items()]


def _written(connection: Connection, places: Iterable[UnitKey]) -> set[tuple[str, str, int, str]]:
    """What the journal holds of these units, as (rollout, unit, epoch, test)."""
    table = tables.journal
    query = select(table.c.rollout, table.c.unit, table.c.epoch, table.c.test)
    return {
        (row.rollout, row.unit, row.epoch, row.test)
        for rollout, units in _by_rollout(places)
        for some in chunks(units)
        for row in connection.execute(
            query.where(table.c.rollout == rollout, table.c.unit.in_(some))
        )
    }


def _settle(table: Table) -> Any:
    """Delete what waits for one journal entry; its time, part of the key, is the first's."""
    waiting = tables.pending
    here: dict[str, Any] = {name: bindparam(f"_{name}") for name in ("rollout", "unit", "epoch")}
    at = (
        select(table.c.at).where(*(table.c[name] == value for name, value in here.items()))
    ).scalar_subquery()
    return delete(waiting).where(
        *(waiting.c[name] == value for name, value in here.items()),
        waiting.c.test == bindparam("_test"),
        waiting.c.at == at,
    )


_SETTLE_EXPOSURE = _settle(tables.exposures)
_SETTLE_FAILURE = _settle(tables.failures)


# Counts


def _add(connection: Connection, tally: Tally) -> None:
    table = tables.tallies
    names = ("requests", "served", "failed", "units", "good", "bad", "latency_us")
    for (rollout, epoch, variant), counts in tally.items():
        here = {"rollout": rollout, "epoch": epoch, "variant": variant}
        grown = {name: table.c[name] + counts[name] for name in names}
        done = connection.execute(
            update(table).where(*(table.c[n] == v for n, v in here.items())).values(grown)
        )
        if not done.rowcount:
            fresh = {name: counts[name] for name in names}
            connection.execute(insert(table), here | fresh)
