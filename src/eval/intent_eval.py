"""How predictions of one label per text are judged. Frozen: `protocol_digest` names this file.

Alone: `python -m eval.intent_eval predictions.jsonl`, with a line
`{"gold": …, "predicted": …, "score": …}` per text.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from greenlight.core import fingerprint, jsonl
from greenlight.core.errors import BadInput
from greenlight.core.stats.intervals import wilson

BINS = 15


class _Line(msgspec.Struct, frozen=True):
    gold: str
    predicted: str
    score: float


def evaluate(
    gold: Sequence[str], predicted: Sequence[str], scores: Sequence[float], labels: Sequence[str]
) -> dict[str, Any]:
    """Judge predictions.

    Args:
        gold: the true labels, n of them.
        predicted: the label given to each text.
        scores: the score of the label given, in [0, 1].
        labels: every label there is; rows and columns of `confusion` follow this order.

    Returns:
        accuracy: share of equal labels with its 95 % Wilson interval, `correct` and `n`.
        macro_f1: mean F1 of the labels that occur, in gold or predicted.
        ece: expected calibration error, 15 bins of equal width (Guo, Pleiss, Sun, Weinberger,
            "On calibration of modern neural networks", ICML 2017).
        per_label: precision, recall, F1 and support; null where nothing defines the number.
        confusion: counts; rows are gold, columns predicted.

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
    if len(places) != len(labels):
        raise BadInput("labels: a label is named twice", "labels")
    rows = _places(gold, places, "gold")
    columns = _places(predicted, places, "predicted")
    for score in scores:
        if not 0 <= score <= 1:
            raise BadInput(f"score {score}: outside [0, 1]", "scores")
    confusion = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(confusion, (rows, columns), 1)
    per_label = [_label(label, confusion, place) for label, place in places.items()]
    hits = rows == columns
    correct, n = int(hits.sum()), len(gold)
    low, high = wilson(correct, n)
    defined = [entry["f1"] for entry in per_label if entry["f1"] is not None]
    return {
        "accuracy": {"value": correct / n, "low": low, "high": high, "correct": correct, "n": n},
        "macro_f1": {"value": math.fsum(defined) / len(defined)},
        "ece": {"value": _ece(hits, np.asarray(scores, dtype=np.float64)), "bins": BINS},
        "per_label": per_label,
        "labels": list(labels),
        "confusion": confusion.tolist(),
    }


def protocol_digest() -> str:
    """The digest of this module's source: what change control covers."""
    return fingerprint.digest_bytes(Path(__file__).read_bytes())


def _places(names: Sequence[str], places: dict[str, int], what: str) -> NDArray[np.int64]:
    for name in names:
        if name not in places:
            raise BadInput(f"{what} label {name!r}: not one of the {len(places)} labels", what)
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


def _ece(hits: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Sum over bins ((i-1)/15, i/15] of their share of rows times |accuracy - mean score|."""
    bins = np.clip(np.ceil(scores * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, weights=hits - scores, minlength=BINS)
    return float(np.abs(gaps).sum() / len(scores))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the judgement of a file of predictions as JSON; 2 if it cannot be judged."""
    parser = argparse.ArgumentParser(prog="python -m eval.intent_eval", description=__doc__)
    parser.add_argument("predictions", type=Path, help="JSON lines: gold, predicted, score")
    path = parser.parse_args(arguments).predictions
    try:
        lines = jsonl.decode(path.read_bytes(), _Line, path.name)
        gold, predicted = [line.gold for line in lines], [line.predicted for line in lines]
        labels = sorted({*gold, *predicted})
        document = evaluate(gold, predicted, [line.score for line in lines], labels)
    except (BadInput, OSError, ValueError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 2
    print(msgspec.json.format(fingerprint.canonical(document)).decode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
