"""How predictions of one label per text are judged. Frozen: `protocol_digest` names this file.

Alone: `python -m eval.intent_eval predictions.jsonl`, with a line
`{"gold": …, "predicted": …, "score": …}` per text; `score` may be left out or null. Or on a bundle
and labelled rows, and with gates that set the exit code (`eval.alone`).
"""

from __future__ import annotations

import math
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

BINS = 15
NONE = ""
"""Stands for a label where none was given."""


class _Line(msgspec.Struct, frozen=True):
    gold: str
    predicted: str
    score: float | None = None


def evaluate(
    gold: Sequence[str],
    predicted: Sequence[str],
    scores: Sequence[float | None],
    labels: Sequence[str],
) -> dict[str, Any]:
    """Judge predictions.

    Args:
        gold: the true labels, n of them.
        predicted: the label given to each text; empty where none was given, which is wrong.
        scores: the score of the label given, in [0, 1]; None where the model gives none.
        labels: every label there is; rows and columns of `confusion` follow this order.

    Returns:
        accuracy: share of equal labels with its 95 % Wilson interval, `correct` and `n`.
        macro_f1: mean F1 of the labels that occur, in gold or predicted.
        ece: expected calibration error, 15 bins of equal width (Guo, Pleiss, Sun, Weinberger,
            "On calibration of modern neural networks", ICML 2017); a reason where a score is
            missing.
        reliability: for each bin that holds predictions its edges (low, high], their number `n`,
            mean `score` and `accuracy`; empty where a score is missing.
        per_label: precision, recall, F1 and support; null where nothing defines the number.
        confusion: counts; rows are gold, columns predicted.
        unanswered: texts that were given no label; they stand in no column.

    Raises:
        BadInput: no rows, unequal lengths, a label that is not in `labels`, a score out of range.
    """
    if not gold:
        raise BadInput("cannot compute: there are no predictions", "gold")
    if not len(gold) == len(predicted) == len(scores):
        raise BadInput(
            f"cannot compute: {len(gold)} gold labels, {len(predicted)} predicted, "
            f"{len(scores)} scores"
        )
    places = {label: place for place, label in enumerate(labels)}
    if len(places) != len(labels) or NONE in places:
        raise BadInput("labels: a label is named twice, or is empty", "labels")
    rows = _places(gold, places, "gold")
    columns = _places(predicted, {**places, NONE: len(labels)}, "predicted")
    confusion = np.zeros((len(labels), len(labels) + 1), dtype=np.int64)
    np.add.at(confusion, (rows, columns), 1)
    per_label = [_label(label, confusion, place) for label, place in places.items()]
    hits = rows == columns
    correct, n = int(hits.sum()), len(gold)
    low, high = wilson(correct, n)
    defined = [entry["f1"] for entry in per_label if entry["f1"] is not None]
    return {
        "accuracy": {"value": correct / n, "low": low, "high": high, "correct": correct, "n": n},
        "macro_f1": {"value": math.fsum(defined) / len(defined)},
        **_calibration(hits, scores),
        "per_label": per_label,
        "labels": list(labels),
        "confusion": confusion[:, : len(labels)].tolist(),
        "unanswered": int(confusion[:, len(labels)].sum()),
    }


def protocol_digest() -> str:
    """The digest of this module's source: what change control covers."""
    return fingerprint.digest_bytes(Path(__file__).read_bytes())


def _places(names: Sequence[str], places: dict[str, int], what: str) -> NDArray[np.int64]:
    for name in names:
        if name not in places:
            count = len(places) - (NONE in places)
            raise BadInput(f"{what} label {name!r}: not one of the {count} labels", what)
    return np.array([places[name] for name in names], dtype=np.int64)


def _label(label: str, confusion: NDArray[np.int64], place: int) -> dict[str, Any]:
    true = int(confusion[place, place])
    support, given = int(confusion[place].sum()), int(confusion[:, place].sum())
    return {
        "label": label,
        "precision": true / given if given else None,
        "recall": true / support if support else None,
        "f1": 2 * true / (support + given) if support + given else None,
        "support": support,
    }


def _calibration(hits: NDArray[np.bool_], scores: Sequence[float | None]) -> dict[str, Any]:
    """Sum over bins ((i-1)/15, i/15] of their share of rows times |accuracy - mean score|."""
    given = [score for score in scores if score is not None]
    for score in given:
        if not 0 <= score <= 1:
            raise BadInput(f"score {score}: outside [0, 1]", "scores")
    if len(given) < len(scores):
        lacking = f"{len(scores) - len(given)} of {len(scores)} predictions have no score"
        return {"ece": {"reason": f"cannot compute: {lacking}"}, "reliability": []}
    values = np.asarray(given, dtype=np.float64)
    bins = np.clip(np.ceil(values * BINS).astype(np.int64) - 1, 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    right = np.bincount(bins, weights=hits, minlength=BINS)
    total = np.bincount(bins, weights=values, minlength=BINS)
    gaps = np.bincount(bins, weights=hits - values, minlength=BINS)
    reliability = [
        {
            "low": place / BINS,
            "high": (place + 1) / BINS,
            "n": int(counts[place]),
            "score": float(total[place] / counts[place]),
            "accuracy": float(right[place] / counts[place]),
        }
        for place in range(BINS)
        if counts[place]
    ]
    value = float(np.abs(gaps).sum() / len(values))
    return {"ece": {"value": value, "bins": BINS}, "reliability": reliability}


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge what the command line names; see `eval.alone`."""
    return alone.run("eval.intent_eval", __doc__, arguments, of_file=_of_file, of_bundle=_of_bundle)


def _of_file(data: bytes, name: str) -> dict[str, Any]:
    lines = jsonl.decode(data, _Line, name)
    gold, predicted = [line.gold for line in lines], [line.predicted for line in lines]
    labels = sorted({*gold, *predicted} - {NONE})
    return evaluate(gold, predicted, [line.score for line in lines], labels)


def _of_bundle(asked: alone.Asked) -> dict[str, Any]:
    return evaluate(
        [row.label for row in asked.rows],
        [answer.label for answer in asked.answers],
        [answer.score for answer in asked.answers],
        asked.labels,
    )


if __name__ == "__main__":
    raise SystemExit(main())
