"""Whether a text is in a model's scope at all: how far it lies from what the model has learnt.

Four signals, each higher the farther away:

- energy: -ln Σ exp(beta · decision) (Liu et al., "Energy-based Out-of-distribution Detection",
  NeurIPS 2020);
- confidence: less the largest calibrated probability (Hendrycks and Gimpel, "A Baseline for
  Detecting Misclassified and Out-of-Distribution Examples", ICLR 2017);
- label: less the mean similarity to the three nearest learnt texts of the predicted label;
- density: how much less similar the five nearest learnt texts are than they are to their own
  nearest (after Breunig et al., "LOF: Identifying Density-Based Local Outliers", SIGMOD 2000).

Each is put on the scale of texts that are in scope and were not learnt from (validation). The first
two come from the head, which is sure of itself far away: they count up to a bound. The other two
are distances and have none. What the four come to is the score; a text is out of scope above the
threshold, which a known share of in-scope texts exceeds.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from greenlight.core.errors import BadInput
from greenlight.models.features import Floats, Integers
from greenlight.models.linear import Doubles, softmax

NEAR = 3
"""Learnt texts of the predicted label that are looked at."""
AROUND = 5
"""Learnt texts of any label that are looked at, and of each of those."""
SIGNALS = 4
_BLOCK = 1024
_TINY = 1e-9


class Learnt(msgspec.Struct, frozen=True, kw_only=True):
    """Learnt texts that others are compared with."""

    vectors: Floats
    """Embeddings of length 1, [texts, size]."""
    targets: Integers
    """Label numbers [texts]."""
    density: Floats
    """Mean similarity of each to its `AROUND` nearest others, [texts]."""


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Tells what is in scope. Immutable, so any thread may use it."""

    learnt: Learnt
    centre: Doubles
    """Mean of each signal on validation texts."""
    spread: Doubles
    """Standard deviation of each."""
    threshold: float
    """Above this score a text is out of scope."""

    def score(self, vector: Floats, decisions: Doubles) -> float:
        """How far a text lies outside; 0 is as far as in-scope texts lie on average.

        Args:
            vector: its embedding, of length 1.
            decisions: beta · decision values [labels].
        """
        return float(self.scores(vector[None], decisions[None])[0])

    def scores(self, vectors: Floats, decisions: Doubles) -> Doubles:
        """The same of many texts: [texts, size] and [texts, labels]."""
        return combine((signals(self.learnt, vectors, decisions) - self.centre) / self.spread)


def remember(vectors: Floats, targets: Integers, *, most: int, seed: int) -> Learnt:
    """What to compare with: at most so many learnt texts of each label, drawn by lot.

    Args:
        vectors: embeddings of length 1, [texts, size]; of at least `AROUND` + 1 texts.
        targets: label numbers [texts].
        most: of each label.
        seed: of the lot.

    Raises:
        BadInput: too few texts.
    """
    lot = np.random.default_rng(seed)
    kept = [
        np.sort(lot.permutation(np.flatnonzero(targets == label))[:most])
        for label in np.unique(targets)
    ]
    chosen = np.concatenate(kept)
    if len(chosen) <= AROUND:
        raise BadInput(f"{len(chosen)} texts are too few to tell what is in scope")
    some = np.ascontiguousarray(vectors[chosen], np.float32)
    density = np.concatenate(
        [_density(some, start) for start in range(0, len(some), _BLOCK)]
    ).astype(np.float32)
    return Learnt(vectors=some, targets=targets[chosen].astype(np.int64), density=density)


def calibrate(
    learnt: Learnt, vectors: Floats, decisions: Doubles, *, flagged: float
) -> tuple[Doubles, Doubles, float]:
    """Centre and spread of the signals, and the threshold, from in-scope texts not learnt from.

    Args:
        learnt: what the head was fitted on.
        vectors: embeddings of the validation texts.
        decisions: beta · decision values of them.
        flagged: share of in-scope texts that may be called out of scope, in (0, 1).
    """
    found = signals(learnt, vectors, decisions)
    centre = found.mean(axis=0)
    spread = np.maximum(found.std(axis=0), _TINY)
    scores = combine((found - centre) / spread)
    return centre, spread, float(np.quantile(scores, 1 - flagged, method="higher"))


def signals(learnt: Learnt, vectors: Floats, decisions: Doubles) -> Doubles:
    """The four signals of texts, [texts, 4], as they come.

    Args:
        learnt: what to compare with.
        vectors: embeddings of length 1, [texts, size].
        decisions: beta · decision values, [texts, labels].
    """
    parts = [
        _signals(learnt, vectors[start : start + _BLOCK], decisions[start : start + _BLOCK])
        for start in range(0, len(vectors), _BLOCK)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, SIGNALS))


def combine(scaled: Doubles) -> Doubles:
    """One score of the four scaled signals, [texts]."""
    head, distance = scaled[:, :2], scaled[:, 2:]
    score: Doubles = np.tanh(head / 2).sum(axis=1) + distance.sum(axis=1) / 2
    return score


def _signals(learnt: Learnt, vectors: Floats, decisions: Doubles) -> Doubles:
    likeness = vectors @ learnt.vectors.T
    largest = decisions.max(axis=1)
    energy = -(largest + np.log(np.exp(decisions - largest[:, None]).sum(axis=1)))
    confidence = -softmax(decisions).max(axis=1)
    own = np.where(learnt.targets[None] == decisions.argmax(axis=1)[:, None], likeness, -1.0)
    count = own.shape[1]
    label = -np.partition(own, count - NEAR, axis=1)[:, count - NEAR :].mean(axis=1)
    nearest = np.argpartition(likeness, count - AROUND, axis=1)[:, count - AROUND :]
    around = np.take_along_axis(likeness, nearest, axis=1).mean(axis=1)
    density = learnt.density[nearest].mean(axis=1) - around
    found: list[npt.NDArray[Any]] = [energy, confidence, label, density]
    return np.stack(found, axis=1).astype(np.float64)


def _density(vectors: Floats, start: int) -> Floats:
    """Mean similarity of a block of texts to their nearest others."""
    block = vectors[start : start + _BLOCK]
    likeness = block @ vectors.T
    likeness[np.arange(len(block)), np.arange(start, start + len(block))] = -1.0
    nearest = np.partition(likeness, likeness.shape[1] - AROUND, axis=1)
    found: Floats = nearest[:, likeness.shape[1] - AROUND :].mean(axis=1)
    return found
