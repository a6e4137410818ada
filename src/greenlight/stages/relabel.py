"""Relabel: what feedback alone cannot label waits here for a person (REQUIREMENTS D3, D11).

The queue is no list of its own. It is every answer of the window that `core.labelling` sends to a
person; once a label is given, it is feedback like any other, and the next collection takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from greenlight.core import ids, labelling, pii, reasoned, tagging
from greenlight.core.curation import CLASSIFY, TAG, Kind
from greenlight.core.errors import BadInput, NotFound, Refused
from greenlight.core.labelling import WAITING, LabelPolicy
from greenlight.core.metrics import RELABEL
from greenlight.core.nearest import suggest
from greenlight.core.records import Dataset, Feedback, Inference, Version
from greenlight.ports import Events, Records, Store

PAGE = 500
MAX_WHY = 10_000
"""Characters of a reason."""


class Relabel(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that waits for a label. `reason` is one of `core.labelling.WAITING`.

    `reason_code` and `comment` are what the newest BAD said; `at` is when the answer was given.
    """

    inference: str
    text: str
    answer: str
    reason: str
    reason_code: str | None
    comment: str | None
    corrections: list[str]
    at: int


def queue(
    events: Events, task: str, policy: LabelPolicy, *, since: int, until: int, limit: int = 50
) -> list[Relabel]:
    """The answers of a task that wait for a person, the newest first.

    Args:
        events: the store.
        task: the task's name.
        policy: how its feedback becomes labels.
        since: answers from then on (µs); the next collection looks no further back.
        until: answers before then.
        limit: at most so many.
    """
    found: list[Relabel] = []
    after = None
    while True:
        page = events.answers(task, since=since, until=until, after=after, limit=PAGE)
        for inference, words in page:
            how = labelling.label(inference, words, policy).how
            if how in WAITING:
                found.append(_waiting(inference, words, how))
                if len(found) == limit:
                    return found
        if len(page) < PAGE:
            return found
        after = page[-1][0].id


def label(
    store: Store,
    inference_id: str,
    given: str,
    *,
    task: str | None = None,
    kind: Kind = CLASSIFY,
    labels: Sequence[str] = (),
    reviewer: str,
    why: str | None = None,
    now: int,
    random: Callable[[int], bytes],
) -> Feedback:
    """Give an answer its label. It outranks all other feedback; a later label outranks it.

    Evidence does not see it: the judgement of the answer stays as it was given.

    Args:
        store: records and events.
        inference_id: the answer.
        given: its label.
        task: refuse an answer of any other task.
        kind: what a label is.
        labels: those there are (tags, where words have them), as configured; else those that the
            version knows.
        reviewer: who says so.
        why: the reason.
        now: microseconds since 1970-01-01 UTC.
        random: gives that many random bytes (for the id).

    Raises:
        NotFound: no such answer (of this task).
        BadInput: a label that there is none of or that does not fit the text, or a malformed
            field.
        Refused: the text of the answer was not kept, so there is nothing to learn from.
    """
    inference = store.get(Inference, inference_id)
    if inference is None or (task is not None and inference.task != task):
        of = f" of task {task}" if task is not None else ""
        raise NotFound(
            f"inference {inference_id!r}: no such answer{of}; see: greenlight relabel list TASK"
        )
    if not inference.input:
        raise Refused(f"inference {inference_id}: its text was not kept; nothing can be learnt")
    _check(given, why, labels or known_labels(store, inference), kind)
    if kind == TAG:
        tagging.check(inference.input, given)
    word = Feedback(
        id=ids.fresh(now, random),
        inference_id=inference.id,
        metric=RELABEL,
        value=1.0,
        correction=given,
        comment=why,
        reviewer=reviewer,
        at=now,
    )
    store.ingest([], [word])
    return word


def known_labels(records: Records, inference: Inference) -> tuple[str, ...]:
    """The labels (or tags) of the data that the answering version was trained on; empty if not on
    record."""
    version = records.get(Version, inference.served_version or inference.version)
    dataset = records.get(Dataset, str(version.lineage.get("dataset", ""))) if version else None
    return tuple(dataset.manifest.get("labels", ())) if dataset else ()


def _check(given: str, why: str | None, labels: Sequence[str], kind: Kind) -> None:
    if not given or "\0" in given:
        raise BadInput("label: give one, without NUL characters", "label")
    if pii.find(given):
        raise BadInput("label: personal data in it, and labels are shown to everyone", "label")
    if labels and (strange := labelling.unknown(given, labels, kind)) is not None:
        what, hint = "tag" if kind == TAG else "label", suggest(strange, labels)
        raise BadInput(f"{what} {strange!r}: there is none of that name{hint}", "label")
    if why is not None and (len(why) > MAX_WHY or "\0" in why):
        raise BadInput(f"comment: use up to {MAX_WHY} characters, none of them NUL", "comment")


def _waiting(inference: Inference, words: Sequence[Feedback], reason: str) -> Relabel:
    judged = [word for word in words if word.metric == "quality"]
    last = judged[-1] if judged else None
    return Relabel(
        inference=inference.id,
        text=inference.input,
        answer=reasoned.whole(inference.output, inference.reason),
        reason=reason,
        reason_code=last.reason_code if last else None,
        comment=last.comment if last else None,
        corrections=sorted({word.correction for word in words if word.correction}),
        at=inference.at,
    )
