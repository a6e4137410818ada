"""The linear head and its calibration."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from greenlight.core.errors import BadInput
from greenlight.models import fitting
from greenlight.models.features import WORDS, Tfidf
from greenlight.models.linear import LinearHead, softmax
from greenlight.ports import Example
from tests.models import tiny

RECIPE = fitting.Recipe(terms=WORDS, penalty=1.0, seed=0)


def test_beta_is_found_again() -> None:
    """Labels drawn from softmax(3 · decision) give beta near 3 (T3: calibrated scores)."""
    rng = np.random.default_rng(5)
    decisions = rng.normal(size=(20_000, 4)).astype(np.float32)
    shares = softmax(3.0 * decisions)
    targets = (shares.cumsum(axis=1) < rng.random((len(shares), 1))).sum(axis=1)
    assert fitting.fit_beta(decisions, targets) == pytest.approx(3.0, rel=0.05)


def test_beta_stays_finite_where_nothing_is_wrong() -> None:
    """Perfectly separated validation texts would want an infinite beta."""
    decisions = np.array([[1.0, -1.0], [-1.0, 1.0]], np.float32)
    assert fitting.fit_beta(decisions, np.array([0, 1])) <= np.exp(fitting.LOG_BETA[1])


@pytest.mark.parametrize("labels", [["card", "money", "pin"], ["card", "money"]])
def test_head_decides_as_the_machine_it_came_from(labels: list[str]) -> None:
    """Two labels too, for which scikit-learn keeps one row only; dense features too."""
    chosen = [example for example in tiny.examples(120, 1) if example.label in labels]
    texts = [example.text for example in chosen]
    targets = np.array([labels.index(example.label) for example in chosen])
    tfidf = Tfidf.fit(texts, WORDS)
    matrix = tfidf.matrix(texts)
    vectors = np.random.default_rng(0).normal(size=(len(texts), 5)).astype(np.float32)
    head = fitting.fit_head(matrix, targets, len(labels), RECIPE, vectors)
    machine = LinearSVC(C=1.0, tol=1e-3, random_state=0)
    machine.fit(np.hstack([matrix.toarray(), vectors]), targets)
    wanted = machine.predict(np.hstack([matrix.toarray(), vectors]))
    decisions = head.decide_all(matrix, vectors)
    assert decisions.shape == (len(texts), len(labels))
    assert np.array_equal(decisions.argmax(axis=1), wanted)
    for number in range(5):
        single = head.decide(*tfidf.row(texts[number]), vectors[number])
        assert single == pytest.approx(decisions[number], abs=1e-5)


def test_softmax_bears_large_scores() -> None:
    """No overflow, and shares that add up."""
    shares = softmax(np.array([[1e5, 0.0], [1.0, 1.0]]))
    assert shares.tolist() == [[1.0, 0.0], [0.5, 0.5]]


def test_weights_must_fit_together() -> None:
    """A head of three labels with four biases is refused."""
    with pytest.raises(BadInput, match="do not fit"):
        LinearHead(np.zeros((5, 3), np.float32), np.zeros(4, np.float32))


CARD, PIN = Example("a card", "card"), Example("a pin", "pin")


@pytest.mark.parametrize(
    ("train", "validation", "labels", "problem"),
    [
        ([CARD], [CARD], ["card"], "at least two"),
        ([CARD, PIN], [PIN], ["card", "pin", "card"], "repeat"),
        ([CARD, PIN], [], ["card", "pin"], "no validation"),
        ([CARD], [PIN], ["card", "pin"], "no training example for pin"),
        ([CARD, PIN], [Example("?", "loan")], ["card", "pin"], "not listed: loan"),
    ],
)
def test_data_that_does_not_fit_is_refused(
    train: list[Example], validation: list[Example], labels: list[str], problem: str
) -> None:
    """The message names the labels."""
    with pytest.raises(BadInput, match=problem):
        fitting.fit(train, validation, labels, RECIPE, progress=lambda _share, _words: None)
