"""How tags of words are judged. Frozen: `protocol_digest` names this file.

Alone: `python -m eval.ner_eval predictions.jsonl`, with a line `{"gold": "B-person O", "predicted":
"O O"}` per sentence. Or on a bundle and labelled rows, and with gates that set the exit code
(`eval.alone`).

Tokens: F1 over all tags but `O` together; a word is a hit where its tag is exactly right and not
`O`. Entities: one is right where its first word, its last and its type are (E. Tjong Kim Sang, F.
De Meulder, "Introduction to the CoNLL-2003 Shared Task", 2003). A tagger that finds nothing scores
0 by both, however many words are `O`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from eval import alone
from greenlight.core import fingerprint, jsonl
from greenlight.core.errors import BadInput
from greenlight.core.stats.intervals import wilson
from greenlight.core.stats.resampling import bootstrap_interval, micro_f1
from greenlight.core.tagging import OUTSIDE, Span, spans, tag_set, tags

SEED = 2017
"""Of the bootstrap: the same predictions have the same interval."""

Counts = NDArray[np.int64]
"""Hits, false alarms and misses."""


class _Line(msgspec.Struct, frozen=True):
    gold: str
    predicted: str


def evaluate(
    gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str]
) -> dict[str, Any]:
    """Judge the tags of sentences.

    Args:
        gold: the true tags of each of n sentences, with a space between them.
        predicted: the tags given, likewise. A sentence that was given another number of tags than
            it has words was not answered: each of its words counts as `O`.
        labels: every tag there is; rows and columns of `confusion` follow this order.

    Returns:
        token_micro_f1, entity_micro_f1: with 95 % intervals, from 2,000 draws of sentences; a
            reason where there is no entity, in gold or predicted.
        token_precision, token_recall, entity_precision, entity_recall: null where nothing defines
            the number.
        per_type: the same of the entities of each type, with their number in gold as `support`.
        exact: share of the sentences whose every tag is right, with its Wilson interval.
        confusion: counts of words; rows are gold, columns predicted.
        labels: the tags.
        words, sentences, unanswered: how many; `outside`: the share of words that are `O` in truth,
            which is what a tagger that finds nothing gets right.

    Raises:
        BadInput: no sentences, unequal lengths, a sentence without words, or a tag that is not in
            `labels`.
    """
    if not gold or len(gold) != len(predicted):
        raise BadInput(f"cannot compute: {len(gold)} sentences, {len(predicted)} predicted", "gold")
    places = {label: place for place, label in enumerate(labels)}
    if len(places) != len(labels) or OUTSIDE not in places:
        raise BadInput(f"labels: a tag is named twice, or {OUTSIDE} is missing", "labels")
    truth, given, unanswered = _paired(gold, predicted)
    rows = [_numbers(sentence, places, "gold") for sentence in truth]
    columns = [_numbers(sentence, places, "predicted") for sentence in given]
    tokens = np.array(
        [_tokens(row, column, places[OUTSIDE]) for row, column in zip(rows, columns, strict=True)]
    )
    found = [(set(spans(true)), set(spans(said))) for true, said in zip(truth, given, strict=True)]
    whole = np.array([_matched(true, said) for true, said in found])
    confusion = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(confusion, (np.concatenate(rows), np.concatenate(columns)), 1)
    right = sum(true == said for true, said in zip(truth, given, strict=True))
    low, high = wilson(right, len(truth))
    words = int(confusion.sum())
    return {
        **_measured("token", tokens),
        **_measured("entity", whole),
        "per_type": _per_type(found, labels),
        "exact": {
            "value": right / len(truth),
            "low": low,
            "high": high,
            "correct": right,
            "n": len(truth),
        },
        "confusion": confusion.tolist(),
        "labels": list(labels),
        "words": words,
        "sentences": len(truth),
        "outside": float(confusion[places[OUTSIDE]].sum() / words),
        "unanswered": unanswered,
    }


def token_counts(gold: Sequence[str], predicted: Sequence[str]) -> Counts:
    """Hits, false alarms and misses of words by sentence, shape (n, 3); see `evaluate`.

    For comparing two versions, and for choosing by: `core.stats.resampling.micro_f1` makes them F1.
    """
    truth, given, _ = _paired(gold, predicted)
    pairs = zip(truth, given, strict=True)
    return np.array([_tokens(np.array(true), np.array(said), OUTSIDE) for true, said in pairs])


def protocol_digest() -> str:
    """The digest of this module's source: what change control covers."""
    return fingerprint.digest_bytes(Path(__file__).read_bytes())


def _paired(
    gold: Sequence[str], predicted: Sequence[str]
) -> tuple[list[list[str]], list[list[str]], int]:
    truth = [tags(label) for label in gold]
    if not all(truth):
        raise BadInput("a sentence without words cannot be judged", "gold")
    given, unanswered = [], 0
    for true, label in zip(truth, predicted, strict=True):
        said = tags(label)
        unanswered += len(said) != len(true)
        given.append(said if len(said) == len(true) else [OUTSIDE] * len(true))
    return truth, given, unanswered


def _numbers(sentence: Sequence[str], places: dict[str, int], what: str) -> Counts:
    for tag in sentence:
        if tag not in places:
            raise BadInput(f"{what} tag {tag!r}: not one of the {len(places)} tags", what)
    return np.array([places[tag] for tag in sentence], np.int64)


def _tokens(true: NDArray[Any], said: NDArray[Any], outside: object) -> Counts:
    equal, named, claimed = true == said, true != outside, said != outside
    return np.array(
        [(equal & named).sum(), (claimed & ~equal).sum(), (named & ~equal).sum()], np.int64
    )


def _matched(true: set[Span], said: set[Span]) -> Counts:
    hits = len(true & said)
    return np.array([hits, len(said) - hits, len(true) - hits], np.int64)


def _measured(what: str, counts: Counts) -> dict[str, Any]:
    """F1 with its interval, precision and recall, of the counts of every sentence."""
    hits, alarms, misses = (int(x) for x in counts.sum(axis=0))
    names = f"{what}_micro_f1", f"{what}_precision", f"{what}_recall"
    value = micro_f1(counts)
    interval = bootstrap_interval(micro_f1, counts, rng=np.random.default_rng(SEED))
    f1: dict[str, Any] = {"reason": "cannot compute: there is no entity, in gold or predicted"}
    if value is not None and interval is not None:
        f1 = {"value": value, "low": interval[0], "high": interval[1]}
    shares = _share(hits, hits + alarms), _share(hits, hits + misses)
    return dict(zip(names, (f1, *shares), strict=True))


def _per_type(
    found: Sequence[tuple[set[Span], set[Span]]], labels: Sequence[str]
) -> list[dict[str, Any]]:
    entries = []
    for kind in sorted({label[2:] for label in labels if label != OUTSIDE}):
        counts = np.zeros(3, np.int64)
        for true, said in found:
            counts += _matched(_of(kind, true), _of(kind, said))
        hits, alarms, misses = (int(x) for x in counts)
        entries.append(
            {
                "type": kind,
                "precision": _share(hits, hits + alarms),
                "recall": _share(hits, hits + misses),
                "f1": micro_f1(counts[None]),
                "support": hits + misses,
            }
        )
    return entries


def _of(kind: str, entities: set[Span]) -> set[Span]:
    return {entity for entity in entities if entity.type == kind}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge what the command line names; see `eval.alone`."""
    return alone.run("eval.ner_eval", __doc__, arguments, of_file=_of_file, of_bundle=_of_bundle)


def _of_file(data: bytes, name: str) -> dict[str, Any]:
    lines = jsonl.decode(data, _Line, name)
    gold, predicted = [line.gold for line in lines], [line.predicted for line in lines]
    return evaluate(gold, predicted, tag_set([*gold, *predicted]))


def _of_bundle(asked: alone.Asked) -> dict[str, Any]:
    gold, said = [row.label for row in asked.rows], [answer.label for answer in asked.answers]
    return evaluate(gold, said, sorted({*asked.labels, *tag_set(gold)}))


if __name__ == "__main__":
    raise SystemExit(main())
