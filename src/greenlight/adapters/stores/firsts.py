"""The first exposure and the first events of each unit in an epoch, and what waits for them.

A first that arrives late takes the place of one that came after it, until that one is journaled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    delete,
    select,
    update,
)

from greenlight.adapters.stores import common, tables
from greenlight.adapters.stores.common import Arm, E, UnitKey
from greenlight.adapters.stores.questions import chunks
from greenlight.adapters.stores.tables import INSERT, execute_many
from greenlight.core.records import Inference, Shadow


def among(query: Select[Any], column: Column[Any]) -> Select[Any]:
    """The query, for the values of the column that are given as `some`."""
    return query.where(column.in_(bindparam("some", expanding=True)))


_WRITTEN = among(
    select(
        tables.journal.c.rollout,
        tables.journal.c.unit,
        tables.journal.c.epoch,
        tables.journal.c.test,
    ).where(tables.journal.c.rollout == bindparam("rollout")),
    tables.journal.c.unit,
)


class Firsts(Generic[E]):
    """`exposures`, or the rows of a kind in `firsts`, and the tests that wait for them."""

    def __init__(self, table: Table, tests: Sequence[str], kind: str | None = None) -> None:
        self.table = table
        self.tests = tests
        self._kind = kind
        self._own = [] if kind is None else [table.c.kind == kind]
        self._found = among(
            select(table).where(table.c.rollout == bindparam("rollout"), *self._own), table.c.unit
        )

    def follow(self, connection: Connection, inferences: Iterable[E]) -> list[tuple[E, Arm | None]]:
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

    def _row(self, first: E) -> dict[str, Any]:
        own = {"kind": self._kind, "variant": str(common.arm_of(first)), "inference": first.id}
        return {
            column.name: own[column.name] if column.name in own else getattr(first, column.name)
            for column in self.table.c
        }

    def _await(self, connection: Connection, fresh: Sequence[E]) -> None:
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

    def _replace(self, connection: Connection, earlier: Sequence[tuple[E, Any]]) -> None:
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


EXPOSURES: Firsts[Inference] = Firsts(tables.exposures, common.EXPOSURE_TESTS)
EVENTS: dict[str, Firsts[Inference]] = {
    kind: Firsts(tables.firsts, (kind,), kind)
    for kind in common.EVENT_KINDS
    if kind != common.SHADOW
}
SHADOWS: Firsts[Shadow] = Firsts(tables.firsts, (common.SHADOW,), common.SHADOW)


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
