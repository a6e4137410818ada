"""From an answer and what people said of it to the label that is learnt (REQUIREMENTS D3).

    relabelled by a person                 their label
    masked, or nothing was answered        out
    a condition of the filter not met      out
    GOOD                                   the answer, unless a correction names another label
    BAD, corrected                         the correction
    BAD, its reason code flips the answer  the other one of the two labels
    BAD otherwise                          to relabelling
    corrected, but never judged            the correction
    neither judged nor corrected           out; the answer, where the filter selects

Where the filter selects (`by_filter`), nobody need say GOOD: what users did with an answer says
it, such as how many of them it engaged (D2).

In a chat the label is the whole answer. Nothing is learnt of messages or answers that are not words
alone.

Where words have tags, a label is a tag for each word of the text; one that does not fit the text
teaches nothing.

An answer that came with a reason is learnt with one: with its own while its label stands, else with
the comment of whoever set it right. Without a comment the label is all that is known.

Of several words on one answer the newest counts. Where people contradict each other (GOOD and
corrected, BAD and corrected to the very answer, two corrections beside an uncorrected judgement)
a person decides by relabelling, and so where a label is none of those there are, or holds personal
data: anybody may write a correction, and no correction may stop a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from greenlight.core import filters, fingerprint, messages, pii, reasoned, tagging
from greenlight.core.curation import CHAT, CLASSIFY, MISFIT, TAG, Kind
from greenlight.core.errors import BadInput
from greenlight.core.filters import Condition
from greenlight.core.metrics import GOOD, RELABEL
from greenlight.core.records import Feedback, Inference

TAKEN = ("good", "corrected", "flipped", "relabelled", "selected")
"""Ways to a label."""

WAITING = ("relabel", "conflicting", "unknown_label", MISFIT)
"""Reasons that a person can settle by relabelling."""

PROMPT_UNKNOWN = "prompt_unknown"
"""The reason of an answer of which nobody can tell any more what it was asked for with."""

NOT_TEXT = "not_text"
"""The reason of a chat in which something is no words: an image, a sound, a call of a tool."""

OUT = ("masked", "unanswered", "filtered", "unjudged", NOT_TEXT, PROMPT_UNKNOWN)
"""Reasons to leave a row out that nobody can settle."""


class LabelPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How feedback becomes labels. `labels` are those there are (tags, where words have them);
    empty, any will do. `by_filter`: what meets the conditions is learnt unless somebody said
    BAD."""

    kind: Kind = CLASSIFY
    conditions: tuple[Condition, ...] = ()
    flip: frozenset[str] = frozenset()
    labels: tuple[str, ...] = ()
    by_filter: bool = False


class Labelled(NamedTuple):
    """The label and one of `TAKEN`; without a label, one of `WAITING` or `OUT`.

    `answer` is the whole answer to learn, where that is more than the label.
    """

    label: str | None
    how: str
    answer: str = ""


def label(inference: Inference, words: Iterable[Feedback], policy: LabelPolicy) -> Labelled:
    """What an answer teaches, by everything that was said of it."""
    said = sorted(words, key=lambda word: (word.at, word.id))
    found = _label(inference, said, policy)
    if inference.reason is None or found.label is None:
        return found
    reason = _reason(inference, found, said, policy)
    return found if reason is None else found._replace(answer=reasoned.whole(found.label, reason))


def _label(inference: Inference, said: Sequence[Feedback], policy: LabelPolicy) -> Labelled:
    if not inference.input:
        return Labelled(None, "masked")
    if policy.kind == CHAT and not _is_text(inference.input):
        return Labelled(None, NOT_TEXT)
    relabelled = [word.correction for word in said if word.metric == RELABEL and word.correction]
    if relabelled:
        return _known(Labelled(relabelled[-1], "relabelled"), inference.input, policy)
    if not inference.output:
        return Labelled(None, "unanswered")
    if not filters.holds(policy.conditions, {word.metric: word.value for word in said}):
        return Labelled(None, "filtered")
    if policy.kind == CHAT and messages.calls_tools(inference.output):
        return Labelled(None, NOT_TEXT)
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
    if not verdicts and policy.by_filter and not corrections:
        return Labelled(answer, "selected")
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


def _reason(
    inference: Inference, found: Labelled, said: Sequence[Feedback], policy: LabelPolicy
) -> str | None:
    """Why the label is what it is, as far as anybody said."""
    relabelled, flipped = found.how == "relabelled", found.how == "flipped"
    setting_right = [
        word.comment or ""
        for word in said
        if (word.metric == RELABEL) == relabelled
        and (word.metric == "quality" if flipped else word.correction == found.label)
    ]
    given = reasoned.short(setting_right[-1]) if setting_right and found.how != "good" else None
    if given is not None and reasoned.plain(given) in map(reasoned.plain, policy.labels):
        given = None  # "REJECT: approve" is no answer that could be read, and gives no reason
    return given or (inference.reason if found.label == inference.output else None)


def _is_text(conversation: str) -> bool:
    try:
        messages.read(conversation)
    except BadInput:
        return False
    return True


def _corrected(corrections: set[str], otherwise: str) -> Labelled:
    """The correction, if there is one and all agree on it."""
    if len(corrections) > 1:
        return Labelled(None, "conflicting")
    return Labelled(corrections.pop(), "corrected") if corrections else Labelled(None, otherwise)


def _known(found: Labelled, text: str, policy: LabelPolicy) -> Labelled:
    # An answer in a chat is words, and personal data is taken out of them where they are collected.
    if found.label is None or policy.kind == CHAT:
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
