"""What is told of texts out of scope (D9, S3), on clusters whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from greenlight.core.errors import BadInput
from greenlight.core.stats.ranking import auroc
from greenlight.models.scope import (
    AROUND,
    SHRINKAGE,
    SIGNALS,
    WEIGHTS,
    Scope,
    Texts,
    calibrate,
    combine,
    remember,
    signals,
)

SIZE, LABELS, EACH, BETA = 24, 4, 60, 3.0


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

    def seen(self, vectors: Any) -> Texts:
        """Texts as the head sees them, each with terms by its number."""
        decisions = 4.0 * (vectors @ self.centres[:LABELS].T) - 0.5
        terms = 3 + np.arange(len(vectors)) % 5
        return Texts(vectors=vectors, decisions=decisions.astype(np.float32), terms=terms)

    def scope(self, flagged: float = 0.05) -> Scope:
        centre, spread, threshold = calibrate(
            self.learnt, BETA, self.seen(self.known), flagged=flagged
        )
        return Scope(
            learnt=self.learnt, beta=BETA, centre=centre, spread=spread, threshold=threshold
        )

    def scores(self, scope: Scope, vectors: Any) -> Any:
        return scope.scores(self.seen(vectors))


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
    found = signals(world.learnt, BETA, world.seen(world.known)) - scope.centre
    assert np.allclose((found / scope.spread).mean(axis=0), 0.0)
    assert combine(np.zeros((1, SIGNALS))) == 0.0


def test_a_text_alone_is_told_the_same_as_among_others() -> None:
    world = World()
    scope = world.scope()
    vectors = world.far[:7]
    many = world.scores(scope, vectors)
    seen = world.seen(vectors)
    alone = [
        scope.score(*one)
        for one in zip(seen.vectors, seen.decisions, seen.terms.tolist(), strict=True)
    ]
    assert alone == pytest.approx(many, abs=1e-5)


@pytest.mark.parametrize(("place", "weight"), list(enumerate(WEIGHTS.values())))
def test_each_signal_counts_by_its_weight(place: int, weight: float) -> None:
    steps = np.zeros((4, SIGNALS))
    steps[:, place] = [0.0, 1.0, 2.0, 100.0]
    assert combine(steps).tolist() == [0.0, weight, 2 * weight, 100 * weight]


def test_signals_are_what_they_are_called() -> None:
    """By brute force, on a handful of texts."""
    world = World()
    seen = world.seen(world.far[:5])
    likeness = seen.vectors @ world.learnt.vectors.T
    spread = np.cov(world.train.astype(np.float64).T)
    ball = np.trace(spread) / SIZE * np.eye(SIZE)
    inverse = np.linalg.inv((1 - SHRINKAGE) * spread + SHRINKAGE * ball)
    away = seen.vectors - world.train.mean(axis=0)
    found = signals(world.learnt, BETA, seen)
    for n, (row, sims, scores) in enumerate(zip(found, likeness, seen.decisions, strict=True)):
        told = dict(zip(WEIGHTS, row, strict=True))
        own = sims[world.learnt.targets == scores.argmax()]
        nearest = np.argsort(sims)[-AROUND:]
        density = world.learnt.density[nearest].mean() - sims[nearest].mean()
        claims = sum(score + 1 for score in scores if score > -1)
        assert told["energy"] == pytest.approx(-np.log(np.exp(BETA * scores).sum()), rel=1e-5)
        assert told["label"] == pytest.approx(-np.sort(own)[-3:].mean(), abs=1e-6)
        assert told["density"] == pytest.approx(density, abs=1e-6)
        assert told["background"] == pytest.approx(away[n] @ inverse @ away[n], rel=1e-3)
        assert told["claims"] == pytest.approx(claims, abs=1e-5)
        assert told["terms"] == -seen.terms[n]


def test_a_label_of_few_texts_is_compared_with_those() -> None:
    world = World()
    kept = np.r_[0, EACH : LABELS * EACH]
    learnt = remember(world.train[kept], world.targets[kept], most=40, seed=0)
    vector = world.known[:1]
    (found,) = signals(learnt, BETA, world.seen(vector))
    assert world.seen(vector).decisions.argmax() == 0
    label = dict(zip(WEIGHTS, found, strict=True))["label"]
    assert label == pytest.approx(-float(vector[0] @ world.train[0]), abs=1e-6)


def test_texts_that_are_all_the_same_have_a_background() -> None:
    """However little there was to learn, every signal is a number."""
    world = World()
    same = np.repeat(world.train[:1], 10, axis=0)
    learnt = remember(same, np.zeros(10, np.int64), most=40, seed=0)
    assert np.isfinite(learnt.whitening).all()
    assert np.isfinite(signals(learnt, BETA, world.seen(world.known[:3]))).all()


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


def test_of_two_labels_the_surest_text_is_in_scope() -> None:
    """One says no as far as the other says yes, so that what claims a text says nothing."""
    world = World()
    known = world.known[world.targets < 2]

    def seen(vectors: Any) -> Texts:
        decisions = 4.0 * (vectors @ (world.centres[0] - world.centres[1]))
        both = np.stack([decisions, -decisions], axis=1).astype(np.float32)
        return Texts(vectors=vectors, decisions=both, terms=np.full(len(vectors), 3))

    learnt = remember(
        world.train[world.targets < 2], world.targets[world.targets < 2], most=40, seed=0
    )
    centre, spread, threshold = calibrate(learnt, BETA, seen(known), flagged=0.05)
    scope = Scope(learnt=learnt, beta=BETA, centre=centre, spread=spread, threshold=threshold)
    surest = seen(world.centres[:2].astype(np.float32))
    assert (scope.scores(surest) < threshold).all()
    assert (scope.scores(seen(world.far)) > threshold).mean() > 0.9
    assert np.abs(scope.scores(seen(known))).max() < 100, "a signal that never varies says nothing"
