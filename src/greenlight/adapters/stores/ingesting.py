"""How events enter a SQL store, and how the derived tables follow.

Everything runs inside one write transaction that no other writer shares, so reading what is there
and then writing the difference is safe. Only events that are new count.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec
from sqlalchemy import Connection, insert, select, update

from greenlight.adapters.stores import common, tables
from greenlight.adapters.stores.common import Arm
from greenlight.adapters.stores.firsts import EVENTS, EXPOSURES, SHADOWS, among
from greenlight.adapters.stores.questions import chunks
from greenlight.adapters.stores.tables import INSERT, codec, execute_many
from greenlight.core.metrics import BAD, GOOD
from greenlight.core.records import Feedback, Inference, Rollout, Shadow
from greenlight.core.states import Variant

E = TypeVar("E", Inference, Feedback, Shadow)

_KNOWN = {
    kind: among(select(codec(kind).table.c.id), codec(kind).table.c.id)
    for kind in (Inference, Feedback, Shadow)
}
_ARMS = among(
    select(
        tables.inferences.c.id,
        tables.inferences.c.rollout,
        tables.inferences.c.epoch,
        tables.inferences.c.variant,
    ),
    tables.inferences.c.id,
)
_WORDS = among(
    select(
        tables.feedback.c.inference_id,
        tables.feedback.c.at,
        tables.feedback.c.id,
        tables.feedback.c.value,
    ).where(tables.feedback.c.metric == common.QUALITY),
    tables.feedback.c.inference_id,
)
_POLICIES = among(
    select(codec(Rollout).table.c.id, codec(Rollout).table.c.policy), codec(Rollout).table.c.id
)

Tally = dict[Arm, Counter[str]]
"""By how much the counts of each arm change; the names are columns of `tallies`."""

Word = tuple[int, str, float]
"""(received at, feedback id, value): the greatest is the latest."""


def ingest(
    connection: Connection,
    inferences: Sequence[Inference],
    feedback: Sequence[Feedback],
    shadows: Sequence[Shadow],
) -> None:
    """Store what is new and bring exposures, first events, pending and tallies up to date.

    Raises:
        ValueError: a float that is not finite.
    """
    arrived = _new(connection, Inference, inferences)
    said = _new(connection, Feedback, feedback)
    tally: Tally = defaultdict(Counter)
    _judge(connection, arrived, said, tally)
    _insert(connection, Inference, arrived)
    _insert(connection, Feedback, said)
    exposed = [inference for inference in arrived if inference.rollout is not None]
    _count(exposed, tally)
    _expose(connection, exposed, tally)
    _follow_events(connection, exposed)
    _compare(connection, shadows, tally)
    _add(connection, tally)


def _new(connection: Connection, kind: type[E], events: Sequence[E]) -> list[E]:
    """The events whose ids are not stored, each once."""
    fresh: dict[str, E] = {}
    for event in events:
        fresh.setdefault(event.id, event)
    for some in chunks(list(fresh)):
        for (known,) in connection.execute(_KNOWN[kind], {"some": some}):
            del fresh[known]
    return list(fresh.values())


def _insert(connection: Connection, kind: type[E], events: Sequence[E]) -> None:
    made = codec(kind)
    execute_many(connection, INSERT[made.table], [made.row(event) for event in events])


def _compare(connection: Connection, shadows: Sequence[Shadow], tally: Tally) -> None:
    """Store copies of inferences that are there, count them, and follow those that one arm failed
    alone. What was copied may have been erased meanwhile: then its copy goes, too."""
    if not shadows:
        return
    ids = {shadow.id for shadow in shadows}
    there = {
        id
        for some in chunks(list(ids))
        for (id,) in connection.execute(_KNOWN[Inference], {"some": some})
    }
    fresh = _new(connection, Shadow, [shadow for shadow in shadows if shadow.id in there])
    _insert(connection, Shadow, fresh)
    for shadow in fresh:
        tally[shadow.rollout, shadow.epoch, Variant.CANDIDATE.value].update(
            common.tallied_copy(shadow)
        )
    SHADOWS.follow(connection, [shadow for shadow in fresh if shadow.alone is not None])


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
        EVENTS[kind].follow(connection, found)


def _expose(connection: Connection, exposed: Sequence[Inference], tally: Tally) -> None:
    """Keep exposures up to date; a unit counts in the arm of its first inference of the epoch."""
    for first, before in EXPOSURES.follow(connection, exposed):
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
