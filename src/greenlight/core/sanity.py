"""Shuffled labels: what a trainer makes of data in which there is nothing to learn.

A model of shuffled labels must answer test texts no better than chance. Where it does better, true
labels reach it by another way than its training rows, and no accuracy can be believed.

Two things look like learning and are luck. A plain permutation lets some label come up too often
among texts of a kind, and the model learns that: so labels are dealt, every true label's rows get
all labels in the proportions of the whole. And texts of a kind get one answer, so that whole labels
are right or wrong together and the hits vary more than a binomial count: so it is also asked how
often the same answers would be as right if the labels had been given other names. (Simulations in
tests/core/test_sanity.py.)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenlight.core.errors import BadInput
from greenlight.core.stats.intervals import wilson

ALPHA = 1e-3
"""The chance that a sound trainer is called unsound."""

FEWEST = 7
"""Labels from which on renaming them can tell: 7! names are more than 1 / `ALPHA`."""

RENAMINGS = 9999

_GOLDEN = (math.sqrt(5) - 1) / 2
_AT_ONCE = 1_000_000


def shuffle(labels: Sequence[str], rng: np.random.Generator) -> list[str]:
    """The labels in an order that has nothing to do with the rows; each keeps its count.

    Rows lie in the order of their labels, at random within a label, and are dealt the sorted pack
    of labels by the golden section: the i-th gets the place in the pack that the fraction of i·φ
    has among all. Any run of rows so gets every label in proportion, give or take a few.

    Args:
        labels: of the rows, in the order of the rows.
        rng: decides the order within a label, that of the labels in the pack, and where to begin.
    """
    count = len(labels)
    names = sorted(set(labels))
    numbers = _numbers(labels, names)
    rows = np.lexsort((rng.random(count), numbers))
    pack = numbers[np.argsort(rng.permutation(len(names))[numbers], kind="stable")]
    places = np.argsort(np.argsort((rng.random() + np.arange(count) * _GOLDEN) % 1))
    dealt = np.empty(count, np.int64)
    dealt[rows] = pack[places]
    return [names[number] for number in dealt]


def some(labels: Sequence[str], most: int, rng: np.random.Generator) -> list[int]:
    """Places of about `most` rows, every label in proportion and at least once, in order.

    Args:
        labels: of the rows, in the order of the rows.
        most: how many to keep; only where there are more labels than that are more kept.
        rng: draws the rows of each label.
    """
    count = len(labels)
    if count <= most:
        return list(range(count))
    names = sorted(set(labels))
    numbers = _numbers(labels, names)
    kept: list[int] = []
    for number in range(len(names)):
        places = np.flatnonzero(numbers == number)
        share = max(1, len(places) * most // count)
        kept += rng.permutation(places)[:share].tolist()
    return sorted(kept)


def judge(
    gold: Sequence[str], predicted: Sequence[str], rng: np.random.Generator
) -> dict[str, Any]:
    """Hold the accuracy of a model of shuffled labels against chance.

    Chance is the share of the most frequent label in `gold`: no answers that have nothing to do
    with the texts can be expected to do better. The accuracy is at chance unless both p-values are
    below `ALPHA`: that of so many hits or more (binomial, one-sided), and, from `FEWEST` labels on,
    that of the mean recall among renamings of the labels.

    Returns:
        accuracy: its value, 95 % interval (Wilson), `correct` and `n`.
        chance: that share.
        at_chance: whether the accuracy is no better than that.
        p_value: the larger of the two.
        alpha: the level.

    Raises:
        BadInput: no rows, or unequal lengths.
    """
    n = len(gold)
    if n == 0 or n != len(predicted):
        raise BadInput(f"cannot compute: {n} true labels, {len(predicted)} predicted")
    correct = sum(true == given for true, given in zip(gold, predicted, strict=True))
    chance = max(Counter(gold).values()) / n
    p_value = max(tail(correct, n, chance), renamed(gold, predicted, rng))
    low, high = wilson(correct, n)
    return {
        "accuracy": {"value": correct / n, "low": low, "high": high, "correct": correct, "n": n},
        "chance": chance,
        "at_chance": p_value >= ALPHA,
        "p_value": p_value,
        "alpha": ALPHA,
    }


def tail(successes: int, trials: int, chance: float) -> float:
    """P(X ≥ successes), X binomial, by the incomplete beta function."""
    from scipy import special  # takes longer to load than everything else in the core together

    if successes <= 0 or chance >= 1:
        return 1.0
    return float(special.betainc(successes, trials - successes + 1, chance))


def renamed(gold: Sequence[str], predicted: Sequence[str], rng: np.random.Generator) -> float:
    """How often the mean recall is as high as it is, or higher, with the answers' labels renamed.

    Where training labels mean nothing, their names are as good as any others. With fewer labels
    than `FEWEST` that says nothing, and the answer is 0.
    """
    names = sorted({*gold, *predicted})
    if len(names) < FEWEST:
        return 0.0
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (_numbers(gold, names), _numbers(predicted, names)), 1)
    recalls = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    seen = np.trace(recalls) - 1e-9
    rows, reached, left = np.arange(len(names)), 0, RENAMINGS
    while left:
        part = min(left, max(1, _AT_ONCE // len(names)))
        order = rng.permuted(np.tile(rows, (part, 1)), axis=1)
        reached += int((recalls[rows, order].sum(axis=1) >= seen).sum())
        left -= part
    return (1 + reached) / (1 + RENAMINGS)


def _numbers(labels: Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
    places = {name: place for place, name in enumerate(names)}
    return np.array([places[label] for label in labels], np.int64)
