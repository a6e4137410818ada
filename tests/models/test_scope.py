"""What is told of texts out of scope (D9, S3), on clusters whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from greenlight.core.errors import BadInput
from greenlight.core.stats.ranking import auroc
from greenlight.models.scope import (
    AROUND,
    SIGNALS,
    Scope,
    calibrate,
    combine,
    remember,
    signals,
)

SIZE, LABELS, EACH = 24, 4, 60


def cloud(centres: Any, labels: Any, seed: int, width: float = 0.15) -> Any:
    """Points of length 1 around centres."""
    rng = np.random.default_rng(seed)
    points = centres[labels] + width * rng.normal(size=(len(labels), SIZE))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


class World:
    """Four labels in corners, and a head that knows them."""

    def __init__(self) -> None:
        self.centres = np.eye(SIZE)[: LABELS + 1]
        self.targets = np.repeat(np.arange(LABELS), EACH)
        self.train = cloud(self.centres, self.targets, 1)
        self.known = cloud(self.centres, self.targets, 2)
        self.far = cloud(self.centres, np.full(200, LABELS), 3)
        self.learnt = remember(self.train, self.targets, most=40, seed=0)

    def decisions(self, vectors: Any) -> Any:
        return 8.0 * (vectors @ self.centres[:LABELS].T).astype(np.float64)

    def scope(self, flagged: float = 0.05) -> Scope:
        centre, spread, threshold = calibrate(
            self.learnt, self.known, self.decisions(self.known), flagged=flagged
        )
        return Scope(learnt=self.learnt, centre=centre, spread=spread, threshold=threshold)

    def scores(self, scope: Scope, vectors: Any) -> Any:
        return scope.scores(vectors, self.decisions(vectors))


def test_what_lies_elsewhere_is_out_of_scope() -> None:
    world = World()
    scope = world.scope()
    fresh = cloud(world.centres, world.targets, 4)
    inside, outside = world.scores(scope, fresh), world.scores(scope, world.far)
    truth = np.r_[np.zeros(len(inside)), np.ones(len(outside))].astype(bool)
    assert auroc(np.r_[inside, outside], truth) == 1.0
    assert (outside > scope.threshold).all()
    assert (inside > scope.threshold).mean() < 0.12, "5 % were to be flagged of as many others"


@pytest.mark.parametrize("flagged", [0.01, 0.05, 0.3])
def test_as_many_texts_in_scope_are_flagged_as_was_asked_for(flagged: float) -> None:
    world = World()
    scope = world.scope(flagged)
    share = (world.scores(scope, world.known) > scope.threshold).mean()
    assert flagged - 2 / len(world.known) <= share <= flagged


def test_zero_is_where_texts_in_scope_are_on_average() -> None:
    world = World()
    scope = world.scope()
    found = signals(world.learnt, world.known, world.decisions(world.known)) - scope.centre
    assert np.allclose((found / scope.spread).mean(axis=0), 0.0)
    assert combine(np.zeros((1, SIGNALS))) == 0.0


def test_a_text_alone_is_told_the_same_as_among_others() -> None:
    world = World()
    scope = world.scope()
    vectors = world.far[:7]
    many = world.scores(scope, vectors)
    alone = [scope.score(v, d) for v, d in zip(vectors, world.decisions(vectors), strict=True)]
    assert alone == pytest.approx(many, abs=1e-5)


@pytest.mark.parametrize("signal", range(SIGNALS))
def test_each_signal_counts_and_more_is_farther(signal: int) -> None:
    """The head's two up to a bound, the distances without one."""
    steps = np.zeros((4, SIGNALS))
    steps[:, signal] = [0.0, 1.0, 100.0, 1000.0]
    told = combine(steps)
    assert (np.diff(told) > 0).sum() == (2 if signal < 2 else 3)
    assert (told[-1] < 1.01) == (signal < 2)


def test_signals_are_what_they_are_called() -> None:
    """By brute force, on a handful of texts."""
    world = World()
    vectors, decisions = world.far[:5], world.decisions(world.far[:5])
    found = signals(world.learnt, vectors, decisions)
    likeness = vectors @ world.learnt.vectors.T
    for row, sims, scores in zip(found, likeness, decisions, strict=True):
        shares = np.exp(scores) / np.exp(scores).sum()
        own = sims[world.learnt.targets == scores.argmax()]
        nearest = np.argsort(sims)[-AROUND:]
        assert row[0] == pytest.approx(-np.log(np.exp(scores).sum()))
        assert row[1] == pytest.approx(-shares.max())
        assert row[2] == pytest.approx(-np.sort(own)[-3:].mean(), abs=1e-6)
        density = world.learnt.density[nearest].mean() - sims[nearest].mean()
        assert row[3] == pytest.approx(density, abs=1e-6)


def test_a_learnt_text_is_no_neighbour_of_itself() -> None:
    world = World()
    likeness = world.learnt.vectors @ world.learnt.vectors.T
    np.fill_diagonal(likeness, -1.0)
    wanted = np.sort(likeness, axis=1)[:, -AROUND:].mean(axis=1)
    assert world.learnt.density == pytest.approx(wanted, abs=1e-6)


def test_so_many_texts_of_each_label_are_kept_and_the_same_by_the_same_lot() -> None:
    world = World()
    assert np.bincount(world.learnt.targets).tolist() == [40] * LABELS
    again = remember(world.train, world.targets, most=40, seed=0)
    assert (again.vectors == world.learnt.vectors).all()
    other = remember(world.train, world.targets, most=40, seed=1)
    assert (other.vectors != world.learnt.vectors).any()


def test_too_few_texts_tell_nothing() -> None:
    world = World()
    with pytest.raises(BadInput, match="5 texts are too few"):
        remember(world.train[:5], world.targets[:5], most=9, seed=0)
