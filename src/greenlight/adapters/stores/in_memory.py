"""What data sets ask of the events, answered from plain collections (for `memory`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from greenlight.adapters.stores import common
from greenlight.adapters.stores.minutes import Minutes, kept
from greenlight.core import ids
from greenlight.core.answers import ArmMinute
from greenlight.core.records import MILLISECOND, Feedback, Inference, Shadow

Words = dict[str, list[Feedback]]
"""Inference id → what was said of it."""


def answers(
    made: Iterable[Inference], said: Words, after: str | None, limit: int
) -> list[tuple[Inference, list[Feedback]]]:
    """See `ports.Events.answers`."""
    ordered = sorted(made, key=lambda one: one.id, reverse=True)
    found = [one for one in ordered if (after is None or one.id < after) and one.id in said]
    return [
        (one, sorted(said[one.id], key=lambda word: (word.at, word.id))) for one in found[:limit]
    ]


def count_feedback(
    made: Iterable[Inference], feedback: Iterable[Feedback], task: str, since: int
) -> int:
    """See `ports.Events.count_feedback`."""
    known = {one.id for one in made if one.task == task}
    judged = {w.inference_id for w in feedback if w.metric == common.QUALITY and w.at >= since}
    return len(known & judged)


def window(made: Iterable[Inference], task: str, since: int, until: int) -> list[Inference]:
    """A task's inferences of a time."""
    first, end = ids.floor(max(since, 0)), ids.floor(max(until, 0))
    return [one for one in made if one.task == task and first <= one.id < end]


def said_before(feedback: Iterable[Feedback], until: int) -> Words:
    """Everything that was received before a moment."""
    said: defaultdict[str, list[Feedback]] = defaultdict(list)
    for word in feedback:
        if word.at < until:
            said[word.inference_id].append(word)
    return said


def minutes(
    made: Mapping[tuple[str | int, ...], Inference],
    feedback: Iterable[Feedback],
    shadows: Iterable[Shadow],
    whose: tuple[str, str],
    when: tuple[int, int],
    labels: bool,
) -> list[ArmMinute]:
    """See `ports.Events.minutes`; `whose` is (task, rollout) and `when` (since, until)."""
    since, until = when
    first, end = ids.floor(max(since, 0)), ids.floor(max(until, 0) + MILLISECOND)

    def counts(one: Inference | Shadow) -> bool:
        ours = (one.task, one.rollout) == whose
        return ours and first <= one.id < end and since <= one.at < until

    found = Minutes(since)
    for one in filter(counts, made.values()):
        label = kept(one) if labels else ""
        found.call(one.at, one.variant.value, one.status.value, one.latency_ms, label)
    for word in feedback:
        of = made.get((word.inference_id,))
        heard = word.metric == common.QUALITY and since <= word.at < until
        if heard and of is not None and (of.task, of.rollout) == whose:
            found.word(word.at, of.variant.value, word.value)
    for copy in filter(counts, shadows):
        if copy.agreed is not None:
            found.copy(copy.at, copy.agreed)
    return found.all()
