"""What declared alarms ask of the events, as queries (inside the caller's transaction).

A minute is asked for once it is over, so each question costs what came in it and no more.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, case, select

from greenlight.adapters.stores import common, tables
from greenlight.adapters.stores.minutes import Minutes
from greenlight.core import ids
from greenlight.core.answers import ArmMinute
from greenlight.core.records import MILLISECOND
from greenlight.core.states import Status

_MADE = tables.inferences.c
_SAID = tables.feedback.c
_COPIED = tables.shadows.c


def _calls(*more: Any) -> Select[Any]:
    return select(_MADE.at, _MADE.variant, _MADE.status, _MADE.latency_ms, *more).where(
        # Ids are in the order of their times: their own index is the index of time.
        _MADE.id >= bindparam("first"),
        _MADE.id < bindparam("end"),
        _MADE.task == bindparam("task"),
        _MADE.rollout == bindparam("rollout"),
        _MADE.at >= bindparam("since"),
        _MADE.at < bindparam("until"),
    )


CALLS = _calls()
LABELLED = _calls(
    case(
        (and_(_MADE.status == Status.OK, _MADE.served_version == _MADE.version), _MADE.output),
        else_="",
    )
)
WORDS = (
    select(_SAID.at, _MADE.variant, _SAID.value)
    .select_from(tables.feedback)
    .join(tables.inferences, _SAID.inference_id == _MADE.id)
    .where(
        _SAID.metric == common.QUALITY,
        _SAID.at >= bindparam("since"),
        _SAID.at < bindparam("until"),
        _MADE.task == bindparam("task"),
        _MADE.rollout == bindparam("rollout"),
    )
)
COPIES = select(_COPIED.at, _COPIED.agreed).where(
    _COPIED.rollout == bindparam("rollout"),
    _COPIED.id >= bindparam("first"),
    _COPIED.id < bindparam("end"),
    _COPIED.task == bindparam("task"),
    _COPIED.agreed.is_not(None),
    _COPIED.at >= bindparam("since"),
    _COPIED.at < bindparam("until"),
)


def minutes(
    connection: Connection, task: str, rollout: str, since: int, until: int, labels: bool
) -> list[ArmMinute]:
    """See `ports.Events.minutes`."""
    asked = {
        "task": task,
        "rollout": rollout,
        "since": since,
        "until": until,
        "first": ids.floor(max(since, 0)),
        # Ids tell the time to the millisecond, and the one that `until` is in counts in part.
        "end": ids.floor(max(until, 0) + MILLISECOND),
    }
    found = Minutes(since)
    if labels:
        for row in connection.execute(LABELLED, asked):
            found.call(*row)
    else:
        for at, variant, status, latency_ms in connection.execute(CALLS, asked):
            found.call(at, variant, status, latency_ms, "")
    for row in connection.execute(WORDS, asked):
        found.word(*row)
    for row in connection.execute(COPIES, asked):
        found.copy(*row)
    return found.all()
