"""Fitting the linear head and its calibration; the only module here that needs scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.svm import LinearSVC

from greenlight.core.errors import BadInput
from greenlight.models.features import Floats, Integers, TermSettings, Tfidf
from greenlight.models.linear import LinearHead
from greenlight.ports import Example, Progress

TOLERANCE = 1e-3
ROUNDS = 1000
LOG_BETA = (-5.0, 5.0)
"""Where the logarithm of beta is looked for: perfectly separated data would drive it to ∞."""

S = TypeVar("S", bound=msgspec.Struct)


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What to fit."""

    terms: TermSettings
    penalty: float
    """C of the support vector machine: what a misplaced text costs against large weights."""
    seed: int
    """Of the solver's random order."""


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """A calibrated head with its features, and what is worth recording of the fit."""

    tfidf: Tfidf
    head: LinearHead
    beta: float
    held_out: Floats
    """Decisions on the validation texts of a head that was fitted on the training texts alone."""
    held_out_terms: Integers
    """How many different terms of the training texts are in each validation text."""
    report: dict[str, Any]


def read_settings(config: Mapping[str, Any], kind: type[S]) -> S:
    """A trainer's settings from its configuration.

    Raises:
        BadInput: an unknown name or an impossible value; the message lists the known names.
    """
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    unknown = sorted(config.keys() - set(known))
    listed = ", ".join(known)
    if unknown:
        raise BadInput(f"config: unknown {', '.join(unknown)}; known: {listed}", "config")
    try:
        return msgspec.convert(dict(config), kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"config: {error}; known: {listed}", "config") from error


def fit(
    train: Sequence[Example],
    validation: Sequence[Example],
    labels: Sequence[str],
    recipe: Recipe,
    *,
    vectors: tuple[Floats, Floats] | None = None,
    progress: Progress,
) -> Fitted:
    """Fit and calibrate a classifier.

    A first fit on `train` alone is measured on `validation`, which gives beta and the reported
    accuracies. The head that is kept is then fitted on both: more data, the same settings.

    Args:
        train: examples to learn from; every label occurs.
        validation: held-out examples.
        labels: every label, in the order of the answers.
        recipe: what to fit.
        vectors: dense features of `train` and `validation`, [texts, size] each.
        progress: called between the steps.

    Raises:
        BadInput: labels and examples do not fit together.
    """
    check(train, validation, labels)
    targets = _numbers(train, labels), _numbers(validation, labels)
    dense = vectors if vectors is not None else (None, None)
    progress(0.0, "fitting on the training texts")
    tfidf, head, known = _fit(_texts(train), targets[0], len(labels), recipe, dense[0])
    matrix = tfidf.matrix(_texts(validation))
    unseen = head.decide_all(matrix, dense[1])
    beta = fit_beta(unseen, targets[1])
    train_accuracy, validation_accuracy = (
        _accuracy(known, targets[0]),
        _accuracy(unseen, targets[1]),
    )
    progress(0.5, f"accuracy {validation_accuracy:.3f} on validation; fitting on all texts")
    everything = None if vectors is None else np.concatenate(vectors)
    final = _fit(
        _texts([*train, *validation]), np.concatenate(targets), len(labels), recipe, everything
    )
    progress(1.0, "fitted")
    report = {
        "train_texts": len(train),
        "validation_texts": len(validation),
        "terms": len(final[0].terms),
        "train_accuracy": train_accuracy,
        "validation_accuracy": validation_accuracy,
        "train_val_gap": train_accuracy - validation_accuracy,
        "beta": beta,
    }
    return Fitted(
        tfidf=final[0],
        head=final[1],
        beta=beta,
        held_out=unseen,
        held_out_terms=matrix.getnnz(axis=1),
        report=report,
    )


def check(train: Sequence[Example], validation: Sequence[Example], labels: Sequence[str]) -> None:
    """Refuse what cannot be fitted.

    Raises:
        BadInput: labels and examples do not fit together.
    """
    listed = set(labels)
    learnt = {example.label for example in train}
    alien = sorted((learnt | {example.label for example in validation}) - listed)
    absent = sorted(listed - learnt)
    for problem, found in (
        ("at least two different labels are needed", len(labels) < 2),
        ("labels repeat", len(listed) != len(labels)),
        ("there are no validation examples", not validation),
        (f"no training example for {', '.join(absent)}", absent),
        (f"examples with labels that are not listed: {', '.join(alien)}", alien),
    ):
        if found:
            raise BadInput(f"{problem}; mend the dataset", "dataset")


def fit_head(
    matrix: Any, targets: Integers, labels: int, recipe: Recipe, vectors: Floats | None = None
) -> LinearHead:
    """Fit a linear support vector machine, one label against the rest (squared hinge loss).

    Fan et al., "LIBLINEAR", JMLR 9 (2008).

    Args:
        matrix: sparse features, CSR [texts, features].
        targets: label numbers [texts]; every number in [0, labels) occurs.
        labels: how many labels there are, at least 2.
        recipe: penalty and seed.
        vectors: dense features [texts, size] that stand beside the sparse ones.
    """
    features = matrix if vectors is None else sparse.hstack([matrix, sparse.csr_matrix(vectors)])
    machine = LinearSVC(C=recipe.penalty, tol=TOLERANCE, max_iter=ROUNDS, random_state=recipe.seed)
    machine.fit(features.tocsr(), targets)
    weights, bias = machine.coef_, machine.intercept_
    if labels == 2:  # scikit-learn gives two labels a single row, in favour of the second
        weights, bias = np.vstack([-weights, weights]), np.concatenate([-bias, bias])
    weights = weights.T.astype(np.float32)
    known = matrix.shape[1]
    dense = None if vectors is None else weights[known:]
    return LinearHead(weights[:known], bias.astype(np.float32), dense)


def fit_beta(decisions: Floats, targets: Integers) -> float:
    """The beta for which softmax(beta · decision) gives held-out texts the least log loss.

    Guo et al., "On calibration of modern neural networks", arXiv 1706.04599 (temperature 1/beta).

    Args:
        decisions: [texts, labels], of texts that the head was not fitted on.
        targets: label numbers [texts].
    """
    rows = np.arange(len(targets))
    values = decisions.astype(np.float64)

    def loss(log_beta: float) -> float:
        scores = np.exp(log_beta) * values
        return float((logsumexp(scores, axis=1) - scores[rows, targets]).mean())

    found = minimize_scalar(loss, bounds=LOG_BETA, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def _fit(
    texts: Sequence[str], targets: Integers, labels: int, recipe: Recipe, vectors: Floats | None
) -> tuple[Tfidf, LinearHead, Floats]:
    """Features and head of these texts, and the decisions on them."""
    tfidf = Tfidf.fit(texts, recipe.terms)
    matrix = tfidf.matrix(texts)
    head = fit_head(matrix, targets, labels, recipe, vectors)
    return tfidf, head, head.decide_all(matrix, vectors)


def _numbers(examples: Sequence[Example], labels: Sequence[str]) -> Integers:
    numbers = {label: number for number, label in enumerate(labels)}
    return np.array([numbers[example.label] for example in examples], np.int64)


def _accuracy(decisions: Floats, targets: Integers) -> float:
    return float((decisions.argmax(axis=1) == targets).mean())


def _texts(examples: Sequence[Example]) -> list[str]:
    return [example.text for example in examples]
