"""Whether a text is in a model's scope at all: how far it lies from what the model has learnt.

Six signals:

- energy: -ln Σ exp(beta · decision) (Liu et al., "Energy-based Out-of-distribution Detection",
  NeurIPS 2020);
- label: less the mean similarity to the three nearest learnt texts of the predicted label;
- density: how much less similar the five nearest learnt texts are than they are to their own
  nearest (after Breunig et al., "LOF: Identifying Density-Based Local Outliers", SIGMOD 2000);
- background: the Mahalanobis distance from all learnt texts together. It says how unusual a text is
  whatever its label, and is taken off: what is unusual in itself lies farther from its own kind
  too (after Ren et al., "A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection",
  2021);
- claims: Σ max(0, decision + 1): how far labels are from saying no, one against the rest. A text
  between labels is claimed by several;
- terms: less the number of known terms in the text. Little was said that could be learnt.

Each is put on the scale of texts that are in scope and were not learnt from (validation), and they
are added by weights of whole quarters. The sum is the score; a text is out of scope above the
threshold, which a known share of in-scope texts exceeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec
import numpy as np

from greenlight.core.errors import BadInput
from greenlight.models.features import Floats, Integers
from greenlight.models.linear import Doubles

NEAR = 3
"""Learnt texts of the predicted label that are looked at."""
AROUND = 5
"""Learnt texts of any label that are looked at, and of each of those."""
WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "energy": 1.0,
        "label": 0.5,
        "density": 0.5,
        "background": -0.25,
        "claims": 0.25,
        "terms": 0.25,
    }
)
"""The signals in their order, and what each counts for."""
SIGNALS = len(WEIGHTS)
SHRINKAGE = 0.1
"""Of the covariance towards a ball, so that it has an inverse whatever the number of texts."""
_BLOCK = 1024
_TINY = 1e-9
_NOTHING = 1e9
"""The spread of a signal that is the same for all validation texts: it says nothing."""


class Learnt(msgspec.Struct, frozen=True, kw_only=True):
    """Learnt texts that others are compared with."""

    vectors: Floats
    """Embeddings of length 1, [texts, size]."""
    targets: Integers
    """Label numbers [texts]."""
    density: Floats
    """Mean similarity of each to its `AROUND` nearest others, [texts]."""
    middle: Floats
    """Mean of the embeddings, [size]."""
    whitening: Floats
    """Turns differences from it into ones of spread 1 on all sides, [size, size]."""


class Texts(msgspec.Struct, frozen=True, kw_only=True):
    """Texts as a model sees them."""

    vectors: Floats
    """Embeddings of length 1, [texts, size]."""
    decisions: Floats
    """Decision values of the head, [texts, labels]."""
    terms: Integers
    """How many different known terms are in each, [texts]."""


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Tells what is in scope. Immutable, so any thread may use it."""

    learnt: Learnt
    beta: float
    """Of the head (`fitting.fit_beta`)."""
    centre: Doubles
    """Mean of each signal on validation texts."""
    spread: Doubles
    """Standard deviation of each."""
    threshold: float
    """Above this score a text is out of scope."""

    def score(self, vector: Floats, decisions: Floats, terms: int) -> float:
        """How far a text lies outside; 0 is as far as in-scope texts lie on average.

        Args:
            vector: its embedding, of length 1.
            decisions: of the head, [labels].
            terms: how many different known terms are in it.
        """
        alone = Texts(vectors=vector[None], decisions=decisions[None], terms=np.array([terms]))
        return float(self.scores(alone)[0])

    def scores(self, texts: Texts) -> Doubles:
        """The same of many texts."""
        return combine((signals(self.learnt, self.beta, texts) - self.centre) / self.spread)


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
    middle, whitening = _whitening(vectors)
    density = np.concatenate(
        [_density(some, start) for start in range(0, len(some), _BLOCK)]
    ).astype(np.float32)
    return Learnt(
        vectors=some,
        targets=targets[chosen].astype(np.int64),
        density=density,
        middle=middle,
        whitening=whitening,
    )


def calibrate(
    learnt: Learnt, beta: float, texts: Texts, *, flagged: float
) -> tuple[Doubles, Doubles, float]:
    """Centre and spread of the signals, and the threshold, from in-scope texts not learnt from.

    Args:
        learnt: what the head was fitted on.
        beta: of the head.
        texts: the validation texts, as a head sees them that was not fitted on them.
        flagged: share of in-scope texts that may be called out of scope, in (0, 1).
    """
    found = signals(learnt, beta, texts)
    centre = found.mean(axis=0)
    spread = found.std(axis=0)
    spread = np.where(spread > _TINY, spread, _NOTHING)
    scores = combine((found - centre) / spread)
    return centre, spread, float(np.quantile(scores, 1 - flagged, method="higher"))


def signals(learnt: Learnt, beta: float, texts: Texts) -> Doubles:
    """The signals of texts in the order of `WEIGHTS`, [texts, signals], as they come.

    Args:
        learnt: what to compare with.
        beta: of the head.
        texts: any number of texts.
    """
    parts = [
        _signals(
            learnt,
            beta,
            Texts(
                vectors=texts.vectors[start : start + _BLOCK],
                decisions=texts.decisions[start : start + _BLOCK],
                terms=texts.terms[start : start + _BLOCK],
            ),
        )
        for start in range(0, len(texts.vectors), _BLOCK)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, SIGNALS))


def combine(scaled: Doubles) -> Doubles:
    """One score of the scaled signals, [texts]."""
    score: Doubles = scaled @ np.array(list(WEIGHTS.values()))
    return score


def _signals(learnt: Learnt, beta: float, texts: Texts) -> Doubles:
    likeness = _product(texts.vectors, learnt.vectors.T)
    decisions = texts.decisions.astype(np.float64)
    count = likeness.shape[1]
    nearest = np.argpartition(likeness, count - AROUND, axis=1)[:, count - AROUND :]
    around = np.take_along_axis(likeness, nearest, axis=1).mean(axis=1)
    aside = _product(texts.vectors - learnt.middle, learnt.whitening)
    found = {
        "energy": -_log_sum(beta * decisions),
        "label": _label(learnt, likeness, decisions.argmax(axis=1)),
        "density": learnt.density[nearest].mean(axis=1) - around,
        "background": (aside**2).sum(axis=1),
        "claims": _claims(decisions),
        "terms": -texts.terms,
    }
    return np.stack([found[name] for name in WEIGHTS], axis=1).astype(np.float64)


def _product(vectors: Floats, matrix: Floats) -> Floats:
    """Vectors · matrix, [texts, columns]."""
    if len(vectors) > 1:
        return vectors @ matrix
    # A request: numpy's own sums, half a millisecond. A product of this size would wake the other
    # threads of BLAS, and on a busy machine it would spin for milliseconds until they have come.
    found: Floats = np.einsum("i,ij->j", vectors[0], matrix)[None]
    return found


def _claims(decisions: Doubles) -> Doubles:
    """How far labels are from saying no.

    One of two labels says no as far as the other says yes, so that two never claim the same text.
    """
    if decisions.shape[1] == 2:
        return np.zeros(len(decisions))
    claims: Doubles = np.maximum(decisions + 1, 0).sum(axis=1)
    return claims


def _log_sum(values: Doubles) -> Doubles:
    """ln Σ exp along the last axis."""
    largest = values.max(axis=1)
    total: Doubles = largest + np.log(np.exp(values - largest[:, None]).sum(axis=1))
    return total


def _label(learnt: Learnt, likeness: Floats, labels: Integers) -> Floats:
    """Less the mean similarity to the nearest learnt texts of a label."""
    found = np.zeros(len(likeness), np.float32)
    first = np.searchsorted(learnt.targets, labels, "left")
    last = np.searchsorted(learnt.targets, labels, "right")
    for row in range(len(likeness)):
        own = likeness[row, first[row] : last[row]]  # the learnt texts lie label by label
        near = min(NEAR, len(own))
        found[row] = -np.partition(own, len(own) - near)[len(own) - near :].mean()
    return found


def _whitening(vectors: Floats) -> tuple[Floats, Floats]:
    """The mean of texts, and what makes their covariance a ball."""
    size = vectors.shape[1]
    exact = vectors.astype(np.float64)
    middle = exact.mean(axis=0)
    covariance = np.cov(exact.T)
    ball = max(float(np.trace(covariance)) / size, _TINY) * np.eye(size)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * ball
    whitening = np.linalg.cholesky(np.linalg.inv(shrunk))
    return middle.astype(np.float32), whitening.astype(np.float32)


def _density(vectors: Floats, start: int) -> Floats:
    """Mean similarity of a block of texts to their nearest others."""
    block = vectors[start : start + _BLOCK]
    likeness = block @ vectors.T
    likeness[np.arange(len(block)), np.arange(start, start + len(block))] = -1.0
    nearest = np.partition(likeness, likeness.shape[1] - AROUND, axis=1)
    found: Floats = nearest[:, likeness.shape[1] - AROUND :].mean(axis=1)
    return found
