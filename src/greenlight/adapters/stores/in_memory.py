"""What data sets ask of the events, answered from plain collections (for `memory`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from greenlight.adapters.stores import common
from greenlight.core import ids
from greenlight.core.records import Feedback, Inference

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
