"""What evidence and data sets ask of the events, as queries (inside the caller's transaction)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    case,
    exists,
    func,
    select,
)

from greenlight.adapters.stores import common, tables
from greenlight.adapters.stores.tables import codec
from greenlight.core import ids
from greenlight.core.answers import ArmSummary, Event, Exposure, Said
from greenlight.core.budget import ERROR
from greenlight.core.records import Feedback, Inference
from greenlight.core.states import Variant

CHUNK = 500
"""How many values one query compares with."""


def chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """The values in pieces that fit into one query."""
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def _waiting(table: Table, *also: ColumnElement[bool]) -> Select[Any]:
    """Rows of `exposures` or `firsts` that a test waits for, read in the order of `pending`."""
    waiting = tables.pending
    return (
        select(table)
        .select_from(waiting)
        .join(
            table,
            (table.c.rollout == waiting.c.rollout)
            & (table.c.unit == waiting.c.unit)
            & (table.c.epoch == waiting.c.epoch),
        )
        .where(*also)
        .where(
            waiting.c.rollout == bindparam("rollout"),
            waiting.c.test == bindparam("test"),
            waiting.c.at <= bindparam("until"),
        )
        .order_by(waiting.c.at, waiting.c.unit, waiting.c.epoch)
        .limit(bindparam("limit"))
    )


EXPOSURES = _waiting(tables.exposures)
FIRST_EVENTS = _waiting(tables.firsts, tables.firsts.c.kind == tables.pending.c.test)
_PAST = (
    select(tables.exposures)
    .where(
        tables.exposures.c.rollout == bindparam("rollout"),
        tables.exposures.c.unit.in_(bindparam("units", expanding=True)),
    )
    .order_by(tables.exposures.c.unit, tables.exposures.c.epoch)
)
_FEEDBACK = (
    select(
        tables.inferences.c.unit,
        tables.inferences.c.epoch,
        tables.feedback.c.at,
        tables.feedback.c.id,
        tables.feedback.c.inference_id,
        tables.feedback.c.value,
        tables.feedback.c.reviewer,
    )
    .select_from(tables.inferences)
    .join(tables.feedback, tables.feedback.c.inference_id == tables.inferences.c.id)
    .where(
        tables.inferences.c.rollout == bindparam("rollout"),
        tables.inferences.c.unit.in_(bindparam("units", expanding=True)),
        tables.feedback.c.metric == bindparam("metric"),
    )
)
_FAILED = select(tables.firsts.c.unit, tables.firsts.c.epoch, tables.firsts.c.at).where(
    tables.firsts.c.rollout == bindparam("rollout"),
    tables.firsts.c.kind == ERROR,
    tables.firsts.c.unit.in_(bindparam("units", expanding=True)),
)
_TALLIES = (
    select(tables.tallies)
    .where(tables.tallies.c.rollout == bindparam("rollout"))
    .order_by(tables.tallies.c.epoch, tables.tallies.c.variant)
)

_IN_WINDOW = (
    # Ids are in the order of their times: their own index is the index of time.
    tables.inferences.c.id >= bindparam("first"),
    tables.inferences.c.id < bindparam("end"),
    tables.inferences.c.task == bindparam("task"),
)
_ANSWERED = exists().where(
    tables.feedback.c.inference_id == tables.inferences.c.id,
    tables.feedback.c.at < bindparam("until"),
)
ANSWERS = (
    select(tables.inferences)
    .where(*_IN_WINDOW, _ANSWERED)
    .order_by(tables.inferences.c.id.desc())
    .limit(bindparam("limit"))
)
SAID = (
    select(tables.feedback)
    .select_from(tables.inferences)
    .join(tables.feedback, tables.feedback.c.inference_id == tables.inferences.c.id)
    .where(*_IN_WINDOW, tables.feedback.c.at < bindparam("until"))
)
COUNT_ANSWERS = select(func.count(), func.sum(case((_ANSWERED, 1), else_=0))).where(*_IN_WINDOW)
COUNT_FEEDBACK = (
    select(func.count(tables.feedback.c.inference_id.distinct()))
    .select_from(tables.feedback)
    .join(tables.inferences, tables.feedback.c.inference_id == tables.inferences.c.id)
    .where(
        tables.feedback.c.metric == common.QUALITY,
        tables.feedback.c.at >= bindparam("since"),
        tables.inferences.c.task == bindparam("task"),
    )
)


def _exposure(row: Any) -> Exposure:
    return Exposure(
        rollout=row.rollout,
        epoch=row.epoch,
        unit=row.unit,
        variant=Variant(row.variant),
        weight=row.weight,
        bucket=row.bucket,
        unit_source=row.unit_source,
        at=row.at,
    )


def exposures(
    connection: Connection, rollout: str, test: str, until: int, limit: int
) -> list[Exposure]:
    """See `ports.Events.exposures`."""
    asked = {"rollout": rollout, "test": test, "until": until, "limit": limit}
    return [_exposure(row) for row in connection.execute(EXPOSURES, asked)]


def first_events(
    connection: Connection, rollout: str, kind: str, until: int, limit: int
) -> list[Event]:
    """See `ports.Events.first_events`."""
    asked = {"rollout": rollout, "test": kind, "until": until, "limit": limit}
    return [
        Event(
            rollout=row.rollout,
            kind=row.kind,
            epoch=row.epoch,
            unit=row.unit,
            variant=Variant(row.variant),
            at=row.at,
        )
        for row in connection.execute(FIRST_EVENTS, asked)
    ]


def failed_within(
    connection: Connection, rollout: str, exposures: Sequence[Exposure], window: int
) -> set[tuple[str, int]]:
    """See `ports.Events.failed_within`."""
    since = {(exposure.unit, exposure.epoch): exposure.at for exposure in exposures}
    found: set[tuple[str, int]] = set()
    for some in chunks(sorted({unit for unit, _ in since})):
        for unit, epoch, at in connection.execute(_FAILED, {"rollout": rollout, "units": some}):
            start = since.get((unit, epoch))
            if start is not None and start <= at < start + window:
                found.add((unit, epoch))
    return found


def past(connection: Connection, rollout: str, units: Sequence[str]) -> dict[str, list[Exposure]]:
    """See `ports.Events.past`."""
    found: defaultdict[str, list[Exposure]] = defaultdict(list)
    for some in chunks(sorted(set(units))):
        for row in connection.execute(_PAST, {"rollout": rollout, "units": some}):
            found[row.unit].append(_exposure(row))
    return dict(found)


def feedback_on(
    connection: Connection,
    rollout: str,
    metric: str,
    exposures: Sequence[Exposure],
    window: int,
) -> dict[tuple[str, int], list[Said]]:
    """See `ports.Events.feedback_on`."""
    since = {(exposure.unit, exposure.epoch): exposure.at for exposure in exposures}
    words: defaultdict[tuple[str, int], list[tuple[int, str, Said]]] = defaultdict(list)
    for some in chunks(sorted({unit for unit, _ in since})):
        asked = {"rollout": rollout, "metric": metric, "units": some}
        for unit, epoch, at, id, inference, value, reviewer in connection.execute(_FEEDBACK, asked):
            start = since.get((unit, epoch))
            if start is not None and start <= at < start + window:
                said = Said(inference=inference, value=value, at=at, reviewer=reviewer)
                words[unit, epoch].append((at, id, said))
    return {
        # Ids differ, so that the comparison never comes to the words themselves.
        place: [said for _, _, said in sorted(found)]
        for place, found in words.items()
    }


def summarise(connection: Connection, rollout: str) -> list[ArmSummary]:
    """See `ports.Events.summarise`."""
    return [
        common.summary((rollout, row.epoch, row.variant), row._asdict())
        for row in connection.execute(_TALLIES, {"rollout": rollout})
    ]


def answers(
    connection: Connection, task: str, since: int, until: int, after: str | None, limit: int
) -> list[tuple[Inference, list[Feedback]]]:
    """See `ports.Events.answers`."""
    window = _window(task, since, until)
    if after is not None:
        window["end"] = min(window["end"], after)
    rows = connection.execute(ANSWERS, window | {"until": until, "limit": limit})
    page = [codec(Inference).record(row) for row in rows]
    if not page:
        return []
    said: dict[str, list[Feedback]] = {inference.id: [] for inference in page}
    # From the last of the page to its first, which `end` leaves out.
    span = {"first": page[-1].id, "end": page[0].id + "~", "task": task, "until": until}
    for row in connection.execute(SAID, span):
        word = codec(Feedback).record(row)
        said[word.inference_id].append(word)
    return [(one, sorted(said[one.id], key=lambda word: (word.at, word.id))) for one in page]


def count_answers(connection: Connection, task: str, since: int, until: int) -> tuple[int, int]:
    """See `ports.Events.count_answers`."""
    asked = _window(task, since, until) | {"until": until}
    made, answered = connection.execute(COUNT_ANSWERS, asked).one()
    return made, answered or 0


def count_feedback(connection: Connection, task: str, since: int) -> int:
    """See `ports.Events.count_feedback`."""
    return int(connection.scalar(COUNT_FEEDBACK, {"task": task, "since": since}) or 0)


def _window(task: str, since: int, until: int) -> dict[str, Any]:
    return {"first": ids.floor(max(since, 0)), "end": ids.floor(max(until, 0)), "task": task}
