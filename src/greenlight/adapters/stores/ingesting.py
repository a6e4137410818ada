"""How events enter a SQL store, and how the derived tables follow.

Everything runs inside one write transaction that no other writer shares, so reading what is there
and then writing the difference is safe. Only events that are new count.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from greenlight.adapters.stores import common, tables
from greenlight.adapters.stores.common import Arm, UnitKey
from greenlight.adapters.stores.questions import chunks
from greenlight.adapters.stores.tables import INSERT, codec, execute_many
from greenlight.core.metrics import BAD, GOOD
from greenlight.core.records import Feedback, Inference, Rollout

E = TypeVar("E", Inference, Feedback)


def _among(query: Select[Any], column: Column[Any]) -> Select[Any]:
    """The query, for the values of the column that are given as `some`."""
    return query.where(column.in_(bindparam("some", expanding=True)))


_KNOWN = {
    kind: _among(select(codec(kind).table.c.id), codec(kind).table.c.id)
    for kind in (Inference, Feedback)
}
_ARMS = _among(
    select(
        tables.inferences.c.id,
        tables.inferences.c.rollout,
        tables.inferences.c.epoch,
        tables.inferences.c.variant,
    ),
    tables.inferences.c.id,
)
_WORDS = _among(
    select(
        tables.feedback.c.inference_id,
        tables.feedback.c.at,
        tables.feedback.c.id,
        tables.feedback.c.value,
    ).where(tables.feedback.c.metric == common.QUALITY),
    tables.feedback.c.inference_id,
)
_WRITTEN = _among(
    select(
        tables.journal.c.rollout,
        tables.journal.c.unit,
        tables.journal.c.epoch,
        tables.journal.c.test,
    ).where(tables.journal.c.rollout == bindparam("rollout")),
    tables.journal.c.unit,
)

_POLICIES = _among(
    select(codec(Rollout).table.c.id, codec(Rollout).table.c.policy), codec(Rollout).table.c.id
)

Tally = dict[Arm, Counter[str]]
"""By how much the counts of each arm change; the names are columns of `tallies`."""

Word = tuple[int, str, float]
"""(received at, feedback id, value): the greatest is the latest."""


def ingest(
    connection: Connection, inferences: Sequence[Inference], feedback: Sequence[Feedback]
) -> None:
    """Store what is new and bring exposures, first events, pending and tallies up to date.

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
            rows = [made.row(event) for event in events]
            execute_many(connection, INSERT[made.table], rows)
    exposed = [inference for inference in arrived if inference.rollout is not None]
    _count(exposed, tally)
    _expose(connection, exposed, tally)
    _follow_events(connection, exposed)
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
            execute_many(connection, _SETTLE_EXPOSURE, places)
        elif test in common.EVENT_KINDS:
            execute_many(connection, _SETTLE_EVENT, places)


def _new(connection: Connection, kind: type[E], events: Sequence[E]) -> list[E]:
    """The events whose ids are not stored, each once."""
    fresh: dict[str, E] = {}
    for event in events:
        fresh.setdefault(event.id, event)
    for some in chunks(list(fresh)):
        for (known,) in connection.execute(_KNOWN[kind], {"some": some}):
            del fresh[known]
    return list(fresh.values())


def _arm(inference: Inference) -> Arm:
    rollout, _, epoch = common.unit_key(inference)
    return (rollout, epoch, str(inference.variant))


def _count(exposed: Iterable[Inference], tally: Tally) -> None:
    for inference in exposed:
        tally[_arm(inference)].update(common.tallied(inference))


def _follow_events(connection: Connection, exposed: Iterable[Inference]) -> None:
    """Keep the first events of every kind up to date."""
    by_rollout: defaultdict[str, list[Inference]] = defaultdict(list)
    for inference in exposed:
        rollout, _, _ = common.unit_key(inference)
        by_rollout[rollout].append(inference)
    # A rollout that the store does not know has no bars.
    bars = {
        id: common.bars_of(msgspec.json.decode(policy))
        for some in chunks(list(by_rollout))
        for id, policy in connection.execute(_POLICIES, {"some": some})
    }
    events: defaultdict[str, list[Inference]] = defaultdict(list)
    for id, inferences in by_rollout.items():
        for inference in inferences:
            for kind in common.kinds_of(inference, bars.get(id, {})):
                events[kind].append(inference)
    for kind, found in events.items():
        _EVENTS[kind].follow(connection, found)


def _expose(connection: Connection, exposed: Sequence[Inference], tally: Tally) -> None:
    """Keep exposures up to date; a unit counts in the arm of its first inference of the epoch."""
    for first, before in _EXPOSURES.follow(connection, exposed):
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
    spoken = _words(connection, [*stored, *fresh])
    for place, arm in stored.items():
        _score(tally[arm], spoken[place], -1)
    for word in words:
        spoken[word.inference_id].append((word.at, word.id, word.value))
    for place, arm in (*stored.items(), *fresh.items()):
        _score(tally[arm], spoken[place], 1)


def _score(counts: Counter[str], words: Sequence[Word], by: int) -> None:
    """Count the last of these words, if there is one."""
    for _, _, value in sorted(words)[-1:]:
        counts["good"] += by * (value == GOOD)
        counts["bad"] += by * (value == BAD)


def _arms(connection: Connection, ids: Iterable[str]) -> dict[str, Arm]:
    """The arms of stored inferences, as far as they belong to a rollout."""
    return {
        id: (rollout, epoch, variant)
        for some in chunks(list(ids))
        for id, rollout, epoch, variant in connection.execute(_ARMS, {"some": some})
        if rollout is not None
    }


def _words(connection: Connection, ids: Sequence[str]) -> defaultdict[str, list[Word]]:
    """The stored quality feedback on each of these inferences."""
    words: defaultdict[str, list[Word]] = defaultdict(list)
    for some in chunks(ids):
        for place, at, id, value in connection.execute(_WORDS, {"some": some}):
            words[place].append((at, id, value))
    return words


# First exposures and first events


class _Firsts:
    """`exposures`, or the rows of a kind in `firsts`, and the tests that wait for them."""

    def __init__(self, table: Table, tests: Sequence[str], kind: str | None = None) -> None:
        self.table = table
        self.tests = tests
        self._kind = kind
        self._own = [] if kind is None else [table.c.kind == kind]
        self._found = _among(
            select(table).where(table.c.rollout == bindparam("rollout"), *self._own), table.c.unit
        )

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
            execute_many(connection, INSERT[self.table], [self._row(first) for first in fresh])
            self._await(connection, fresh)
        if earlier:
            self._replace(connection, earlier)
        replaced = [(first, (row.rollout, row.epoch, row.variant)) for first, row in earlier]
        return [*((first, None) for first in fresh), *replaced]

    def _stored(self, connection: Connection, firsts: Iterable[UnitKey]) -> dict[UnitKey, Any]:
        found: dict[UnitKey, Any] = {}
        for rollout, units in _by_rollout(firsts):
            for some in chunks(units):
                asked = {"rollout": rollout, "some": some}
                for row in connection.execute(self._found, asked):
                    found[row.rollout, row.unit, row.epoch] = row
        return found

    def _row(self, first: Inference) -> dict[str, Any]:
        row = {
            "rollout": first.rollout,
            "kind": self._kind,
            "unit": first.unit,
            "epoch": first.epoch,
            "variant": str(first.variant),
            "weight": first.weight,
            "bucket": first.bucket,
            "unit_source": first.unit_source,
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
        execute_many(connection, INSERT[tables.pending], rows)

    def _replace(self, connection: Connection, earlier: Sequence[tuple[Inference, Any]]) -> None:
        """Put an earlier first in the place of a later one; what is journaled stays so."""
        table, waiting = self.table, tables.pending
        for first, row in earlier:
            rollout, unit, epoch = common.unit_key(first)
            connection.execute(
                update(table)
                .where(
                    table.c.rollout == rollout,
                    *self._own,
                    table.c.unit == unit,
                    table.c.epoch == epoch,
                )
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


_EXPOSURES = _Firsts(tables.exposures, common.EXPOSURE_TESTS)
_EVENTS = {kind: _Firsts(tables.firsts, (kind,), kind) for kind in common.EVENT_KINDS}


def _by_rollout(places: Iterable[UnitKey]) -> list[tuple[str, list[str]]]:
    units: defaultdict[str, set[str]] = defaultdict(set)
    for rollout, unit, _ in places:
        units[rollout].add(unit)
    return [(rollout, sorted(some)) for rollout, some in units.items()]


def _written(connection: Connection, places: Iterable[UnitKey]) -> set[tuple[str, str, int, str]]:
    """What the journal holds of these units, as (rollout, unit, epoch, test)."""
    return {
        (row.rollout, row.unit, row.epoch, row.test)
        for rollout, units in _by_rollout(places)
        for some in chunks(units)
        for row in connection.execute(_WRITTEN, {"rollout": rollout, "some": some})
    }


def _settle(table: Table, *own: ColumnElement[bool]) -> Any:
    """Delete what waits for one journal entry; its time, part of the key, is the first's."""
    waiting = tables.pending
    here: dict[str, Any] = {name: bindparam(f"_{name}") for name in ("rollout", "unit", "epoch")}
    at = (
        select(table.c.at).where(*own, *(table.c[name] == value for name, value in here.items()))
    ).scalar_subquery()
    return delete(waiting).where(
        *(waiting.c[name] == value for name, value in here.items()),
        waiting.c.test == bindparam("_test"),
        waiting.c.at == at,
    )


_SETTLE_EXPOSURE = _settle(tables.exposures)
_SETTLE_EVENT = _settle(tables.firsts, tables.firsts.c.kind == bindparam("_test"))


# Counts


def _add(connection: Connection, tally: Tally) -> None:
    table = tables.tallies
    for (rollout, epoch, variant), counts in tally.items():
        here = {"rollout": rollout, "epoch": epoch, "variant": variant}
        grown = {name: table.c[name] + counts[name] for name in common.TALLIED}
        done = connection.execute(
            update(table).where(*(table.c[n] == v for n, v in here.items())).values(grown)
        )
        if not done.rowcount:
            fresh = {name: counts[name] for name in common.TALLIED}
            connection.execute(insert(table), here | fresh)
