"""How the predictions of each kind of task are judged, and held against those of another version.

The rules themselves are the protocol's (`eval`); here stands which rules go with which kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from eval import chat_eval, intent_eval, ner_eval, slices
from greenlight.core import tagging
from greenlight.core.comparison import Comparison, compare
from greenlight.core.errors import BadInput
from greenlight.core.records import Version
from greenlight.core.stats.resampling import micro_f1, paired_bootstrap
from greenlight.core.usage import Taken, prices_of
from greenlight.ports import Example, Prediction


class Judging(NamedTuple):
    """What is particular to a kind of task."""

    part: str
    """The part of the evaluation that holds the judgement."""
    module: ModuleType
    """The protocol."""
    reported: str
    """What a trainer reports of its fit, after `train_` and `validation_`."""
    test: Callable[[Sequence[Example], Sequence[Prediction], Sequence[str]], dict[str, Any]]
    """Judges predictions; takes rows, predictions and every label there is."""
    differ: Callable[[Sequence[str], Sequence[str], Sequence[str]], dict[str, Any]]
    """Holds a candidate's answers against the live version's; takes gold, live and candidate."""
    units: Callable[[Sequence[str]], list[str]]
    """What is right or wrong by itself: the labels, or the tags of each of their words."""
    joined: Callable[[Sequence[str], Sequence[str]], list[str]]
    """Labels as these, of other units."""
    sort: Callable[[str], str]
    """What a row is like, by its label, for a draw in proportion."""
    cut: Callable[..., dict[str, Any]] | None
    """Judges predictions slice by slice (`eval.slices`); None where rows cannot be cut."""
    plain: Callable[[str], str]
    """The form under which two answers are the same."""
    chance: bool = True
    """Whether there is a level of chance, which what was trained on shuffled labels must be at."""


def judging(manifest: Mapping[str, Any]) -> Judging:
    """How the rows of a prepared dataset are judged.

    Raises:
        BadInput: a kind that there is not.
    """
    kind = manifest.get("kind", "classify")
    if kind not in KINDS:
        raise BadInput(f"kind {kind!r}: not one of {', '.join(KINDS)}; curate the dataset again")
    return KINDS[kind]


def protocols() -> dict[str, str]:
    """The digest of every module that judges: what a change of any makes out of date."""
    found = {kind.module.__name__: digest(kind) for kind in KINDS.values()}
    return {**found, slices.__name__: slices.protocol_digest()}


def digest(kind: Judging) -> str:
    """The digest of the rules."""
    return str(kind.module.protocol_digest())


def cut(
    kind: Judging,
    rows: Sequence[Example],
    made: Sequence[Prediction],
    train: Iterable[Example],
) -> dict[str, Any]:
    """How predictions are slice by slice, given the rows that there were to learn from."""
    if kind.cut is None:
        return {"reason": "cannot cut: conversations are neither short texts nor of any label"}
    counts: Counter[str] = Counter()
    known: set[str] = set()
    for row in train:
        counts.update(kind.units([row.label]))
        known.update(slices.words(row.text))
    flags = {"flagged": [one.oos for one in made]} if kind.part == "intent" else {}
    found = kind.cut(
        [row.text for row in rows],
        [row.label for row in rows],
        [one.label for one in made],
        train=counts,
        known=known,
        **flags,
    )
    return {"protocol": slices.protocol_digest(), **found}


def taken(version: Version, made: Sequence[Prediction]) -> Taken:
    """What a version's answers took, for being told or held against another's."""
    return Taken(
        label=version.label,
        milliseconds=[one.took for one in made],
        tokens=[one.tokens for one in made],
        prices=prices_of(version.runtime),
    )


def training(kind: Judging, report: Mapping[str, Any]) -> dict[str, Any]:
    """What a trainer reports of the fit on train alone, and the gap between the two numbers.

    The shipped model is fitted on both splits, so its own figures there would flatter it.
    """
    train = report.get(f"train_{kind.reported}")
    validation = report.get(f"validation_{kind.reported}")
    gap = None if train is None or validation is None else train - validation
    words = kind.reported.replace("_", " ")
    return {
        "validation": {kind.reported: _reported(f"validation {words}", validation)},
        "train": {kind.reported: _reported(f"train {words}", train)},
        "train_val_gap": _reported(f"train and validation {words}", gap),
    }


def _reported(what: str, value: float | None) -> dict[str, Any]:
    """A number, or why there is none: what cannot be computed never looks like a number."""
    return {"reason": f"no run reports {what}"} if value is None else {"value": value}


def _labels(
    rows: Sequence[Example], made: Sequence[Prediction], labels: Sequence[str]
) -> dict[str, Any]:
    return intent_eval.evaluate(
        [row.label for row in rows],
        [one.label for one in made],
        [one.score for one in made],
        labels,
    )


def _tags(
    rows: Sequence[Example], made: Sequence[Prediction], labels: Sequence[str]
) -> dict[str, Any]:
    return ner_eval.evaluate([row.label for row in rows], [one.label for one in made], labels)


def _labels_differ(
    gold: Sequence[str], live: Sequence[str], candidate: Sequence[str]
) -> dict[str, Any]:
    found = compare(gold, live, candidate)
    return {
        "accuracy": _difference(found),
        **_counts(found),
        "per_label": [
            {
                "label": entry.label,
                "n": entry.n,
                "only_live": entry.only_a,
                "only_candidate": entry.only_b,
            }
            for entry in found.labels
        ],
    }


def _tags_differ(
    gold: Sequence[str], live: Sequence[str], candidate: Sequence[str]
) -> dict[str, Any]:
    """By whole sentences, for the paired test, and by the F1 of words, with a bootstrap."""
    found = compare(gold, live, candidate)
    a, b = ner_eval.token_counts(gold, live), ner_eval.token_counts(gold, candidate)
    first, second = micro_f1(a), micro_f1(b)
    rng = np.random.default_rng(ner_eval.SEED)
    interval = paired_bootstrap(micro_f1, a, b, rng=rng)
    f1: dict[str, Any] = {"reason": "cannot compute: there is no entity"}
    if first is not None and second is not None and interval is not None:
        f1 = {"value": second - first, "low": interval[0], "high": interval[1]}
    return {"exact_match": _difference(found), "token_micro_f1": f1, **_counts(found)}


def _answers(
    rows: Sequence[Example], made: Sequence[Prediction], labels: Sequence[str]
) -> dict[str, Any]:
    return chat_eval.evaluate([row.label for row in rows], [one.label for one in made])


def _answers_differ(
    gold: Sequence[str], live: Sequence[str], candidate: Sequence[str]
) -> dict[str, Any]:
    """By whole answers, for the paired test, and by the overlap of words, with a bootstrap."""
    found = compare(*([chat_eval.plain(text) for text in side] for side in (gold, live, candidate)))
    a, b = chat_eval.overlaps(gold, live), chat_eval.overlaps(gold, candidate)
    rng = np.random.default_rng(chat_eval.SEED)
    interval = paired_bootstrap(chat_eval.mean, a, b, rng=rng)
    assert interval is not None, "there is always a mean"
    difference = chat_eval.mean(b) - chat_eval.mean(a)
    overlap = {"value": difference, "low": interval[0], "high": interval[1]}
    return {"agreement": _difference(found), "overlap": overlap, **_counts(found)}


def _difference(found: Comparison) -> dict[str, float]:
    told = found.paired
    return {"value": told.difference, "low": told.low, "high": told.high}


def _counts(found: Comparison) -> dict[str, Any]:
    told = found.paired
    return {
        "p_value": told.p_value,
        "n": told.n,
        "both": told.both,
        "only_live": told.only_a,
        "only_candidate": told.only_b,
        "neither": told.neither,
    }


KINDS: Mapping[str, Judging] = {
    "classify": Judging(
        part="intent",
        module=intent_eval,
        reported="accuracy",
        test=_labels,
        differ=_labels_differ,
        units=list,
        joined=lambda _, units: list(units),
        sort=str,
        cut=slices.evaluate,
        plain=str,
    ),
    "tag": Judging(
        part="ner",
        module=ner_eval,
        reported="token_micro_f1",
        test=_tags,
        differ=_tags_differ,
        units=tagging.of_words,
        joined=tagging.relabel,
        sort=tagging.types,
        cut=slices.evaluate_tags,
        plain=str,
    ),
    "chat": Judging(
        part="chat",
        module=chat_eval,
        reported="overlap",
        test=_answers,
        differ=_answers_differ,
        units=list,
        joined=lambda _, units: list(units),
        sort=lambda _: "",
        cut=None,
        plain=chat_eval.plain,
        chance=False,
    ),
}
"""Kind of a task → how its predictions are judged."""
