"""How events leave a SQL store: in small transactions, the journal kept foldable.

Rows are looked for without the write lock (an event is never changed once it is there), and
erased a batch at a time together with all that was derived from them, so that a killed purge
leaves whole rows or none, and the next one goes on with the rest.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)

from greenlight.adapters.stores import common, tables
from greenlight.adapters.stores.questions import chunks
from greenlight.adapters.stores.tables import TABLES
from greenlight.core import retention
from greenlight.core.records import Rollout
from greenlight.core.retention import Erasure

Transaction = Callable[[], AbstractContextManager[Connection]]
Random = Callable[[int], bytes]
Place = tuple[str, str]
"""(rollout, unit)."""

_PLACE = ("rollout", "unit", "epoch")
_FIRSTS: Sequence[tuple[Table, Sequence[ColumnElement[bool]], Sequence[str]]] = (
    (tables.exposures, (), common.EXPOSURE_TESTS),
    *((tables.firsts, (tables.firsts.c.kind == kind,), (kind,)) for kind in common.EVENT_KINDS),
)


def erasable(connection: Connection, what: Erasure) -> dict[str, int]:
    """See `ports.Events.erasable`."""
    table, words = tables.inferences, tables.feedback
    going = and_(*_matching(what), _beyond(what))
    kept = and_(*_matching(what), table.c.rollout.in_(sorted(what.spare)))
    joined = select(func.count()).select_from(table).join(words, words.c.inference_id == table.c.id)
    counts = {
        "inferences": select(func.count()).select_from(table).where(going),
        "feedback": joined.where(going),
        "kept": select(func.count()).select_from(table).where(kept),
    }
    found = {name: connection.execute(query).scalar_one() for name, query in counts.items()}
    if what.strays_before is not None:
        strays = select(func.count()).select_from(words).where(_astray(what.strays_before))
        found["feedback"] += connection.execute(strays).scalar_one()
    return found


def erase(
    reading: Transaction, writing: Transaction, what: Erasure, random: Random, batch: int
) -> Iterator[Mapping[str, int]]:
    """See `ports.Events.erase`."""
    yield from _events(reading, writing, what, random, batch)
    yield from _names(reading, writing, what, random, batch)
    if what.strays_before is not None:
        yield from _strays(reading, writing, what.strays_before, batch)


def _events(
    reading: Transaction, writing: Transaction, what: Erasure, random: Random, batch: int
) -> Iterator[Mapping[str, int]]:
    table = tables.inferences
    after = ""
    while True:
        query = select(table.c.id, table.c.rollout, table.c.unit).where(
            *_matching(what), _beyond(what), table.c.id > after
        )
        with reading() as connection:
            found = connection.execute(query.order_by(table.c.id).limit(batch)).all()
        if not found:
            return
        after = found[-1].id
        ids = [row.id for row in found]
        with writing() as connection:
            counts: Counter[str] = Counter()
            counts["feedback"] = _delete(connection, tables.feedback, "inference_id", ids)
            places = sorted({(row.rollout, row.unit) for row in found if row.rollout is not None})
            _forget_firsts(connection, places, frozenset(ids), counts)
            gone = _without_exposures(connection, places)
            counts["evidence_journal"] = _rename(connection, gone, random)
            counts["shadows"] = _delete(connection, tables.shadows, "id", ids)
            counts["inferences"] = _delete(connection, table, "id", ids)
        yield counts


def _names(
    reading: Transaction, writing: Transaction, what: Erasure, random: Random, batch: int
) -> Iterator[Mapping[str, int]]:
    """Names left in the journals of ended rollouts whose exposures are gone, or never were."""
    table, ended = tables.journal, TABLES[Rollout]
    query = select(ended.c.id).where(
        ended.c.task == what.task,
        ended.c.ended_at < what.before,
        ended.c.id.not_in(sorted(what.spare)),
    )
    with reading() as connection:
        rollouts = connection.execute(query.order_by(ended.c.id)).scalars().all()
    for rollout in rollouts:
        after = ""
        while True:
            units = (
                select(table.c.unit)
                .distinct()
                .where(
                    table.c.rollout == rollout,
                    table.c.unit > after,
                    func.substr(table.c.unit, 1, len(retention.PREFIX)) != retention.PREFIX,
                    *([] if what.unit is None else [table.c.unit == what.unit]),
                )
            )
            with reading() as connection:
                found = (
                    connection.execute(units.order_by(table.c.unit).limit(batch)).scalars().all()
                )
            if not found:
                break
            after = found[-1]
            with writing() as connection:
                gone = _without_exposures(connection, [(rollout, unit) for unit in found])
                counts = {"evidence_journal": _rename(connection, gone, random)}
            yield counts


def _strays(
    reading: Transaction, writing: Transaction, before: int, batch: int
) -> Iterator[Mapping[str, int]]:
    table = tables.feedback
    after = ""
    while True:
        query = select(table.c.id).where(_astray(before), table.c.id > after)
        with reading() as connection:
            ids = connection.execute(query.order_by(table.c.id).limit(batch)).scalars().all()
        if not ids:
            return
        after = ids[-1]
        with writing() as connection:
            # Its inference may have arrived since; then it is no stray any more.
            counts = {"feedback": _delete(connection, table, "id", ids, _astray(before))}
        yield counts


def _matching(what: Erasure) -> list[ColumnElement[bool]]:
    table = tables.inferences
    found = [table.c.task == what.task, table.c.at < what.before]
    return found if what.unit is None else [*found, table.c.unit == what.unit]


def _beyond(what: Erasure) -> ColumnElement[bool]:
    """In no rollout that is to be spared."""
    table = tables.inferences
    return or_(table.c.rollout.is_(None), table.c.rollout.not_in(sorted(what.spare)))


def _astray(before: int) -> ColumnElement[bool]:
    words, table = tables.feedback, tables.inferences
    known = select(table.c.id).where(table.c.id == words.c.inference_id).exists()
    return and_(words.c.at < before, ~known)


def _delete(
    connection: Connection, table: Table, column: str, values: Sequence[str], *also: Any
) -> int:
    return sum(
        connection.execute(delete(table).where(table.c[column].in_(some), *also)).rowcount
        for some in chunks(values)
    )


def _forget_firsts(
    connection: Connection, places: Sequence[Place], ids: frozenset[str], counts: Counter[str]
) -> None:
    """Take away the exposures and first events that are these inferences, and what waits for
    them."""
    waiting = tables.pending
    for table, own, tests in _FIRSTS:
        firsts = [
            {"_rollout": row.rollout, "_unit": row.unit, "_epoch": row.epoch, "_at": row.at}
            for rollout, units in _by_rollout(places).items()
            for some in chunks(units)
            for row in connection.execute(
                select(table).where(table.c.rollout == rollout, *own, table.c.unit.in_(some))
            )
            if row.inference in ids
        ]
        if not firsts:
            continue
        for test in tests:
            query = delete(waiting).where(
                *(waiting.c[name] == bindparam(f"_{name}") for name in _PLACE),
                waiting.c.test == test,
                waiting.c.at == bindparam("_at"),
            )
            counts["pending"] += connection.execute(query, firsts).rowcount
        here = [*own, *(table.c[name] == bindparam(f"_{name}") for name in _PLACE)]
        counts[table.name] += connection.execute(delete(table).where(*here), firsts).rowcount


def _without_exposures(connection: Connection, places: Sequence[Place]) -> list[Place]:
    """The places where nothing is left that an entry could be traced back to."""
    table = tables.exposures
    left = {
        (rollout, unit)
        for rollout, units in _by_rollout(places).items()
        for some in chunks(units)
        for (unit,) in connection.execute(
            select(table.c.unit).where(table.c.rollout == rollout, table.c.unit.in_(some))
        )
    }
    return [place for place in places if place not in left]


def _rename(connection: Connection, places: Sequence[Place], random: Random) -> int:
    """Give each place's journal entries a name of nobody's, and forget who judged them; returns
    how many entries."""
    if not places:
        return 0
    table = tables.journal
    query = update(table).where(
        table.c.rollout == bindparam("_rollout"), table.c.unit == bindparam("_unit")
    )
    names = [
        {"_rollout": rollout, "_unit": unit, "_nobody": retention.nobody(random)}
        for rollout, unit in places
    ]
    return connection.execute(query.values(unit=bindparam("_nobody"), source=None), names).rowcount


def _by_rollout(places: Sequence[Place]) -> Mapping[str, list[str]]:
    units: defaultdict[str, list[str]] = defaultdict(list)
    for rollout, unit in places:
        units[rollout].append(unit)
    return units
