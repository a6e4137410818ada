"""Where a model is better and worse than elsewhere. Frozen: `protocol_digest` names this file.

The rows of a test are cut in several ways, each by something that can be seen in the text or
counted in the training rows; every row is in exactly one slice of each cut. The data name no groups
of users, so that these stand in for them: who writes without capitals, with words that nobody wrote
before, or of what is seldom asked.

| family | slices |
|---|---|
| `length` | `short` up to 8 words, `medium` up to 16, `long` above |
| `casing` | `lower` no capital letter, `mixed`, `capitals` no small letter but a capital one |
| `punctuation` | `none` no punctuation mark, `some` |
| `words` | `known` every word stands in a training row, `unknown` one does not: rare words, typos |
| `labels` | `rare` at most the rarest fifth by training rows, `common` |
| `entities` | in place of `labels` where words are tagged: `none`, `common`, `rare` types |

The limits of length were set on training rows of BANKING77 and WNUT-2017 and stay. A slice with
fewer than 50 rows, or whose rest has fewer, has a reason in place of a number.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from eval.ner_eval import token_counts
from greenlight.core import fingerprint
from greenlight.core.errors import BadInput
from greenlight.core.stats.intervals import newcombe, wilson
from greenlight.core.stats.resampling import bootstrap_interval, micro_f1, unpaired_bootstrap
from greenlight.core.tagging import spans, tags

LEAST = 50
"""Rows that a slice, and what is not in it, must have for a number."""

SHORT, MEDIUM = 8, 16
"""Words of the longest short text, and of the longest medium one."""

RARE = 5
"""One label in so many is rare at the most."""

SEED = 2017
"""Of the bootstrap: the same predictions have the same interval."""

_WORD = re.compile(r"[^\W\d_]+")

Flags = NDArray[np.bool_]


class Family(msgspec.Struct, frozen=True):
    """One way to cut the rows."""

    name: str
    slices: Mapping[str, str]
    """Name → what is in it, in order."""
    of: Sequence[str]
    """For each row, the name of its slice."""


def evaluate(
    texts: Sequence[str],
    gold: Sequence[str],
    predicted: Sequence[str],
    *,
    train: Mapping[str, int],
    known: Container[str],
    flagged: Sequence[bool | None] | None = None,
) -> dict[str, Any]:
    """Judge predictions of one label per text, slice by slice.

    Args:
        texts: the n texts.
        gold: their true labels.
        predicted: the label given to each; empty where none was given, which is wrong.
        train: label → training rows.
        known: the words of the training rows (`vocabulary`).
        flagged: whether the model calls each text out of scope, which none of them is.

    Returns:
        `least`, and `families`: each with `family` and its `slices`, each with `slice`, `what`,
        `n`, `accuracy` (`value` with its Wilson interval, `correct`, `n`) and `difference`
        (accuracy less that of the rest, with Newcombe's interval); `false_alarms` and
        `false_alarms_difference`, likewise, are of the texts that were called out of scope. A
        `reason` stands in place of a number where there are too few rows, or no flags.

    Raises:
        BadInput: no rows, or unequal lengths.
    """
    _check(texts, gold, predicted)
    rarest = rare(train)
    kinds = ["rare" if label in rarest else "common" for label in gold]
    names = {
        "rare": f"of the {len(rarest)} rarest of {len(train)} labels",
        "common": "of the other labels",
    }
    right = np.array([true == said for true, said in zip(gold, predicted, strict=True)], np.bool_)
    silent = flagged is None or any(flag is None for flag in flagged)
    called = None if silent else np.array(flagged, np.bool_)

    def judge(inside: Flags) -> dict[str, Any]:
        found = _shares("accuracy", right, inside), _alarms(called, inside)
        return {**found[0], **found[1]}

    return _judged([*families(texts, known), Family("labels", names, kinds)], judge)


def evaluate_tags(
    texts: Sequence[str],
    gold: Sequence[str],
    predicted: Sequence[str],
    *,
    train: Mapping[str, int],
    known: Container[str],
) -> dict[str, Any]:
    """Judge tags of words, slice by slice; a row is a sentence.

    Args:
        texts: the n sentences, words with a space between them.
        gold: their true tags, with a space between them.
        predicted: the tags given, likewise; another number of tags than words counts as `O` each.
        train: tag → training words; a type is as frequent as its `B-` tag.
        known: the words of the training rows (`vocabulary`).

    Returns:
        As `evaluate`, with `exact` (share of sentences whose every tag is right) in place of
        `accuracy`, and beside it `token_micro_f1` and `token_micro_f1_difference`, with intervals
        from 2,000 draws of sentences; a reason where there is no entity.

    Raises:
        BadInput: no rows, or unequal lengths.
    """
    _check(texts, gold, predicted)
    truth = [tags(label) for label in gold]
    counts = token_counts(gold, predicted)
    right = counts[:, 1:].sum(axis=1) == 0
    types = {tag[2:]: count for tag, count in train.items() if tag.startswith("B-")}
    rarest = rare(types)
    kinds = [_kind({span.type for span in spans(true)}, rarest) for true in truth]
    names = {
        "none": "without an entity",
        "common": "with entities, none of a rare type",
        "rare": f"with an entity of the {len(rarest)} rarest of {len(types)} types",
    }

    def judge(inside: Flags) -> dict[str, Any]:
        return {**_shares("exact", right, inside), **_f1(counts, inside)}

    return _judged([*families(texts, known), Family("entities", names, kinds)], judge)


def families(texts: Sequence[str], known: Container[str]) -> list[Family]:
    """The cuts that can be made from the texts alone, and the words that are known."""
    ways: list[tuple[str, dict[str, str], Callable[[str], str]]] = [
        (
            "length",
            {
                "short": f"up to {SHORT} words",
                "medium": f"{SHORT + 1} to {MEDIUM} words",
                "long": f"more than {MEDIUM} words",
            },
            _length,
        ),
        (
            "casing",
            {
                "lower": "without a capital letter",
                "mixed": "with capital and small letters",
                "capitals": "in capital letters",
            },
            _casing,
        ),
        (
            "punctuation",
            {"none": "without a punctuation mark", "some": "with punctuation marks"},
            lambda text: "some" if _marked(text) else "none",
        ),
        (
            "words",
            {
                "known": "every word stands in a training row",
                "unknown": "a word stands in no training row",
            },
            lambda text: "known" if all(word in known for word in words(text)) else "unknown",
        ),
    ]
    return [Family(name, slices, [of(text) for text in texts]) for name, slices, of in ways]


def words(text: str) -> list[str]:
    """The words that are looked up: runs of letters, in lower case."""
    return _WORD.findall(text.lower())


def vocabulary(texts: Iterable[str]) -> set[str]:
    """Every word of some texts."""
    return {word for text in texts for word in words(text)}


def rare(counts: Mapping[str, int]) -> frozenset[str]:
    """The rarest fifth of the labels at the most; labels of one count are rare together or not.

    Where all are equally frequent, none is rare.
    """
    if not counts:
        return frozenset()
    limit = sorted(counts.values())[len(counts) // RARE]
    return frozenset(label for label, count in counts.items() if count < limit)


def protocol_digest() -> str:
    """The digest of this module's source: what change control covers."""
    return fingerprint.digest_bytes(Path(__file__).read_bytes())


def _check(texts: Sequence[str], gold: Sequence[str], predicted: Sequence[str]) -> None:
    if not texts or not len(texts) == len(gold) == len(predicted):
        raise BadInput(
            f"cannot cut: {len(texts)} texts, {len(gold)} gold, {len(predicted)} predicted", "texts"
        )


def _length(text: str) -> str:
    count = len(text.split())
    if count <= SHORT:
        return "short"
    return "medium" if count <= MEDIUM else "long"


def _casing(text: str) -> str:
    if text.isupper():
        return "capitals"
    return "mixed" if any(letter.isupper() for letter in text) else "lower"


def _marked(text: str) -> bool:
    return any(unicodedata.category(letter).startswith("P") for letter in text)


def _kind(types: set[str], rarest: frozenset[str]) -> str:
    if not types:
        return "none"
    return "rare" if types & rarest else "common"


def _judged(cuts: Sequence[Family], judge: Callable[[Flags], dict[str, Any]]) -> dict[str, Any]:
    found = []
    for family in cuts:
        members = np.array(family.of)
        slices = [
            {
                "slice": name,
                "what": what,
                "n": int((members == name).sum()),
                **judge(members == name),
            }
            for name, what in family.slices.items()
        ]
        found.append({"family": family.name, "slices": slices})
    return {"least": LEAST, "families": found}


def _shares(name: str, right: Flags, inside: Flags) -> dict[str, Any]:
    """The share that is right in a slice, and less that of the rest."""
    (k, n), (others, rest) = _counted(right[inside]), _counted(right[~inside])
    why = _too_few(n, rest)
    if n < LEAST:
        return {name: why, "difference": why}
    low, high = wilson(k, n)
    share = {"value": k / n, "low": low, "high": high, "correct": k, "n": n}
    if why is not None:
        return {name: share, "difference": why}
    low, high = newcombe(k, n, others, rest)
    return {name: share, "difference": {"value": k / n - others / rest, "low": low, "high": high}}


def _alarms(called: Flags | None, inside: Flags) -> dict[str, Any]:
    """The share that is called out of scope in a slice, and less that of the rest."""
    names = "false_alarms", "false_alarms_difference"
    if called is None:
        silent = {"reason": "the model does not tell what is out of scope"}
        return {names[0]: silent, names[1]: silent}
    found = _shares(names[0], called, inside)
    share = {key: value for key, value in found[names[0]].items() if key != "correct"}
    return {names[0]: share, names[1]: found["difference"]}


def _f1(counts: NDArray[np.int64], inside: Flags) -> dict[str, Any]:
    """Token F1 of a slice, and less that of the rest."""
    own, others = counts[inside], counts[~inside]
    names = "token_micro_f1", "token_micro_f1_difference"
    why = _too_few(len(own), len(others))
    if len(own) < LEAST:
        return dict.fromkeys(names, why)
    none = {"reason": "cannot compute: there is no entity, in gold or predicted"}
    rng = np.random.default_rng(SEED)
    value, found = micro_f1(own), bootstrap_interval(micro_f1, own, rng=rng)
    if value is None or found is None:
        return dict.fromkeys(names, none)
    share = {"value": value, "low": found[0], "high": found[1]}
    if why is not None:
        return {names[0]: share, names[1]: why}
    rest, apart = micro_f1(others), unpaired_bootstrap(micro_f1, others, own, rng=rng)
    if rest is None or apart is None:
        return {names[0]: share, names[1]: none}
    return {names[0]: share, names[1]: {"value": value - rest, "low": apart[0], "high": apart[1]}}


def _too_few(n: int, rest: int) -> dict[str, str] | None:
    if n < LEAST:
        return {"reason": f"cannot tell: {_rows(n)}, fewer than {LEAST}"}
    if rest < LEAST:
        return {"reason": f"cannot compare: {_rows(rest)} beside it, fewer than {LEAST}"}
    return None


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _counted(right: Flags) -> tuple[int, int]:
    return int(right.sum()), len(right)
