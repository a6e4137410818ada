"""From an answer and what people said of it to the label that is learnt (REQUIREMENTS D3).

    relabelled by a person                 their label
    masked, or nothing was answered        out
    a condition of the filter not met      out
    GOOD                                   the answer, unless a correction names another label
    BAD, corrected                         the correction
    BAD, its reason code flips the answer  the other one of the two labels
    BAD otherwise                          to relabelling
    corrected, but never judged            the correction
    neither judged nor corrected           out

Where words have tags, a label is a tag for each word of the text; one that does not fit the text
teaches nothing.

Of several words on one answer the newest counts. Where people contradict each other (GOOD and
corrected, BAD and corrected to the very answer, two corrections beside an uncorrected judgement)
a person decides by relabelling, and so where a label is none of those there are, or holds personal
data: anybody may write a correction, and no correction may stop a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from greenlight.core import filters, fingerprint, pii, tagging
from greenlight.core.curation import CLASSIFY, MISFIT, TAG, Kind
from greenlight.core.errors import BadInput
from greenlight.core.filters import Condition
from greenlight.core.metrics import GOOD, RELABEL
from greenlight.core.records import Feedback, Inference

TAKEN = ("good", "corrected", "flipped", "relabelled")
"""Ways to a label."""

WAITING = ("relabel", "conflicting", "unknown_label", MISFIT)
"""Reasons that a person can settle by relabelling."""

OUT = ("masked", "unanswered", "filtered", "unjudged")
"""Reasons to leave a row out that nobody can settle."""


class LabelPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How feedback becomes labels. `labels` are those there are (tags, where words have them);
    empty, any will do."""

    kind: Kind = CLASSIFY
    conditions: tuple[Condition, ...] = ()
    flip: frozenset[str] = frozenset()
    labels: tuple[str, ...] = ()


class Labelled(NamedTuple):
    """The label and one of `TAKEN`; without a label, one of `WAITING` or `OUT`."""

    label: str | None
    how: str


def label(inference: Inference, words: Iterable[Feedback], policy: LabelPolicy) -> Labelled:
    """What an answer teaches, by everything that was said of it."""
    said = sorted(words, key=lambda word: (word.at, word.id))
    if not inference.input:
        return Labelled(None, "masked")
    relabelled = [word.correction for word in said if word.metric == RELABEL and word.correction]
    if relabelled:
        return _known(Labelled(relabelled[-1], "relabelled"), inference.input, policy)
    if not inference.output:
        return Labelled(None, "unanswered")
    if not filters.holds(policy.conditions, {word.metric: word.value for word in said}):
        return Labelled(None, "filtered")
    return _known(_judged(inference.output, said, policy), inference.input, policy)


def pseudonym(task: str, unit: str) -> str:
    """What stands for a unit in a data set: the same for all its rows, and not its name."""
    return fingerprint.digest_bytes(f"{task}\n{unit}".encode())


def unit_of(inference: Inference) -> str:
    """The pseudonym of who asked; empty where the unit was made up for one request."""
    if inference.unit_source == "request":
        return ""
    return pseudonym(inference.task, inference.unit)


def unknown(label: str, labels: Iterable[str], kind: Kind) -> str | None:
    """The first name in a label that is none of those there are; None if all are.

    Where words have tags, that is a tag; `O` is always there.
    """
    if kind == TAG:
        known = {*labels, tagging.OUTSIDE}
        return next((tag for tag in tagging.tags(label) if tag not in known), None)
    return None if label in labels else label


def _judged(answer: str, said: Sequence[Feedback], policy: LabelPolicy) -> Labelled:
    corrections = {word.correction for word in said if word.correction}
    verdicts = [word for word in said if word.metric == "quality"]
    if not verdicts:
        return _corrected(corrections, "unjudged")
    verdict = verdicts[-1]
    if verdict.value == GOOD:
        agreed = corrections <= {answer}
        return Labelled(answer, "good") if agreed else Labelled(None, "conflicting")
    if answer in ({verdict.correction} if verdict.correction else corrections):
        return Labelled(None, "conflicting")
    if verdict.correction:
        return Labelled(verdict.correction, "corrected")
    if not corrections and verdict.reason_code in policy.flip and answer in policy.labels:
        (other,) = (one for one in policy.labels if one != answer)
        return Labelled(other, "flipped")
    return _corrected(corrections, "relabel")


def _corrected(corrections: set[str], otherwise: str) -> Labelled:
    """The correction, if there is one and all agree on it."""
    if len(corrections) > 1:
        return Labelled(None, "conflicting")
    return Labelled(corrections.pop(), "corrected") if corrections else Labelled(None, otherwise)


def _known(found: Labelled, text: str, policy: LabelPolicy) -> Labelled:
    if found.label is None:
        return found
    if policy.kind == TAG:
        try:
            tagging.check(text, found.label)
        except BadInput:
            return Labelled(None, MISFIT)
    if policy.labels:
        known = unknown(found.label, policy.labels, policy.kind) is None
    else:
        known = not pii.find(found.label)
    return found if known else Labelled(None, "unknown_label")
