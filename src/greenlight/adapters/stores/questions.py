"""What evidence asks of the events, as queries (each inside the caller's transaction)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, select

from greenlight.adapters.stores import common, tables
from greenlight.core.records import ArmSummary, Exposure, Failure, Variant

CHUNK = 500
"""How many values one query compares with."""


def chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """The values in pieces that fit into one query."""
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def _waiting(table: Table) -> Select[Any]:
    """Rows of a table of firsts that a test waits for, read in the order of `pending`."""
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
        .where(
            waiting.c.rollout == bindparam("rollout"),
            waiting.c.test == bindparam("test"),
            waiting.c.at <= bindparam("until"),
        )
        .order_by(waiting.c.at, waiting.c.unit, waiting.c.epoch)
        .limit(bindparam("limit"))
    )


EXPOSURES = _waiting(tables.exposures)
FAILURES = _waiting(tables.failures)
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
    )
    .select_from(tables.inferences)
    .join(tables.feedback, tables.feedback.c.inference_id == tables.inferences.c.id)
    .where(
        tables.inferences.c.rollout == bindparam("rollout"),
        tables.inferences.c.unit.in_(bindparam("units", expanding=True)),
        tables.feedback.c.metric == bindparam("metric"),
    )
)
_TALLIES = (
    select(tables.tallies)
    .where(tables.tallies.c.rollout == bindparam("rollout"))
    .order_by(tables.tallies.c.epoch, tables.tallies.c.variant)
)


def _exposure(row: Any) -> Exposure:
    return Exposure(
        rollout=row.rollout,
        epoch=row.epoch,
        unit=row.unit,
        variant=Variant(row.variant),
        weight=row.weight,
        bucket=row.bucket,
        at=row.at,
    )


def exposures(
    connection: Connection, rollout: str, test: str, until: int, limit: int
) -> list[Exposure]:
    """See `ports.Events.exposures`."""
    asked = {"rollout": rollout, "test": test, "until": until, "limit": limit}
    return [_exposure(row) for row in connection.execute(EXPOSURES, asked)]


def failures(connection: Connection, rollout: str, until: int, limit: int) -> list[Failure]:
    """See `ports.Events.failures`."""
    asked = {
        "rollout": rollout,
        "test": common.FAILURE_TEST,
        "until": until,
        "limit": limit,
    }
    return [
        Failure(
            rollout=row.rollout,
            epoch=row.epoch,
            unit=row.unit,
            variant=Variant(row.variant),
            at=row.at,
        )
        for row in connection.execute(FAILURES, asked)
    ]


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
) -> dict[tuple[str, int], list[tuple[str, float, int]]]:
    """See `ports.Events.feedback_on`."""
    since = {(exposure.unit, exposure.epoch): exposure.at for exposure in exposures}
    words: defaultdict[tuple[str, int], list[tuple[int, str, str, float]]] = defaultdict(list)
    for some in chunks(sorted({unit for unit, _ in since})):
        asked = {"rollout": rollout, "metric": metric, "units": some}
        for unit, epoch, at, id, inference, value in connection.execute(_FEEDBACK, asked):
            start = since.get((unit, epoch))
            if start is not None and start <= at < start + window:
                words[unit, epoch].append((at, id, inference, value))
    return {
        place: [(inference, value, at) for at, _, inference, value in sorted(said)]
        for place, said in words.items()
    }


def summarise(connection: Connection, rollout: str) -> list[ArmSummary]:
    """See `ports.Events.summarise`."""
    return [
        ArmSummary(
            epoch=row.epoch,
            variant=Variant(row.variant),
            requests=row.requests,
            served=row.served,
            failed=row.failed,
            units=row.units,
            good=row.good,
            bad=row.bad,
            latency_ms=row.latency_us / row.requests / 1000,
        )
        for row in connection.execute(_TALLIES, {"rollout": rollout})
    ]
