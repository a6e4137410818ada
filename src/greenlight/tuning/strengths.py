"""Heads of several strengths, measured on held-out conversations; the best of them is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from greenlight.models import fitting
from greenlight.models.features import WORDS, Floats, Integers
from greenlight.models.linear import Doubles, LinearHead, softmax
from greenlight.tuning.wire import Metrics

STRENGTHS = (0.25, 1.0, 4.0)
"""Times the job's multiplier: what a misplaced conversation costs against large weights."""
HELD_OUT = 5
"""Without a validation file, one in so many of an answer's conversations is held out."""
_LEAST = 1e-12
"""No probability counts as less, so that a loss is finite."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Texts with their features, the numbers of their answers, and how often each counts."""

    matrix: Any
    """TF-IDF, CSR [texts, terms]."""
    vectors: Floats | None
    """Embeddings, [texts, size], where there is an encoder."""
    targets: Integers
    """−1 for an answer that is not among those to learn."""
    counts: Integers

    def of(self, rows: Any) -> Part:
        """Some of the texts, by number or by mask."""
        return Part(
            matrix=self.matrix[rows],
            vectors=None if self.vectors is None else self.vectors[rows],
            targets=self.targets[rows],
            counts=self.counts[rows],
        )


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A head and what it came to."""

    strength: float
    head: LinearHead
    beta: float
    metrics: Metrics


def best_of(
    known: Part,
    unseen: Part,
    answers: int,
    *,
    multiplier: float,
    seed: int,
    tell: Callable[[Metrics], None],
) -> tuple[Tried, list[Metrics]]:
    """The best head.

    Args:
        known: what to learn from.
        unseen: what to measure on. If it is empty, a part of `known` is held out for it, and the
            head of the best strength is fitted once more on all.
        answers: how many there are.
        multiplier: of the strengths.
        seed: of what is held out, and of the solver.
        tell: called after each strength.

    Returns:
        The head with the least loss on what was held out, and the metrics of each.
    """
    alone = not len(unseen.targets)
    learnt = known
    if alone:
        away = _held_out(known.targets, seed)
        # With so few of each answer that none can be spared, the loss is that of learnt texts.
        learnt, unseen = (known.of(~away), known.of(away)) if away.any() else (known, known)
    tried = []
    for step, strength in enumerate(STRENGTHS, start=1):
        recipe = fitting.Recipe(terms=WORDS, penalty=strength * multiplier, seed=seed)
        tried.append(_try(step, learnt, unseen, answers, recipe))
        tell(tried[-1].metrics)
    best = min(tried, key=lambda one: (one.metrics.valid_loss or 0.0, one.strength))
    if alone:
        recipe = fitting.Recipe(terms=WORDS, penalty=best.strength, seed=seed)
        best = msgspec.structs.replace(best, head=_head(known, answers, recipe))
    return best, [one.metrics for one in tried]


def _try(step: int, learnt: Part, unseen: Part, answers: int, recipe: fitting.Recipe) -> Tried:
    head = _head(learnt, answers, recipe)
    sure = unseen.of(unseen.targets >= 0)
    decisions = head.decide_all(sure.matrix, sure.vectors)
    beta = _beta(decisions, sure.targets) if len(sure.targets) else 1.0
    known = head.decide_all(learnt.matrix, learnt.vectors)
    loss = _loss(decisions, sure.targets, beta) if len(sure.targets) else None
    right = (decisions.argmax(axis=1) == sure.targets).sum()
    accuracy = float(right) / len(unseen.targets)
    metrics = Metrics(
        step=step,
        train_loss=_loss(known, learnt.targets, beta),
        train_mean_token_accuracy=float((known.argmax(axis=1) == learnt.targets).mean()),
        valid_loss=loss,
        valid_mean_token_accuracy=accuracy,
        full_valid_loss=loss,
        full_valid_mean_token_accuracy=accuracy,
    )
    return Tried(strength=recipe.penalty, head=head, beta=beta, metrics=metrics)


def _head(part: Part, answers: int, recipe: fitting.Recipe) -> LinearHead:
    # A text that counts twice stands there twice: the same as twice the cost of misplacing it.
    often = part.of(np.repeat(np.arange(len(part.targets)), part.counts))
    return fitting.fit_head(often.matrix, often.targets, answers, recipe, often.vectors)


def _beta(decisions: Floats, targets: Integers) -> float:
    """As `fitting.fit_beta`, with an error on the text of the middle margin added to those found
    (Laplace's rule of succession): a few texts that are all answered rightly prove no certainty."""
    rows = np.arange(len(targets))
    others = decisions.copy()
    others[rows, targets] = -np.inf
    margins = decisions[rows, targets] - others.max(axis=1)
    middle = int(np.argsort(margins)[len(rows) // 2])
    rival = int(others[middle].argmax())
    return fitting.fit_beta(np.vstack([decisions, decisions[middle]]), np.append(targets, rival))


def _loss(decisions: Floats, targets: Integers, beta: float) -> float:
    shares: Doubles = softmax(beta * decisions.astype(np.float64))
    right = shares[np.arange(len(targets)), targets]
    return float(np.abs(np.log(np.maximum(right, _LEAST))).mean())


def _held_out(targets: Integers, seed: int) -> Any:
    """A mask of texts that can be spared: of an answer with n of them, n // HELD_OUT."""
    generator = np.random.default_rng(seed)
    away = np.zeros(len(targets), bool)
    for answer in np.unique(targets):
        of_it = generator.permutation(np.flatnonzero(targets == answer))
        away[of_it[: len(of_it) // HELD_OUT]] = True
    return away
