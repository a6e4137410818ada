"""AUROC and DeLong against other implementations of them, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from greenlight.core.errors import BadInput
from greenlight.core.stats.ranking import auroc, auroc_interval, delong

ITEMS = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40)


@given(ITEMS)
def test_auroc_is_that_of_scikit_learn(items: list[tuple[int, bool]]) -> None:
    scores, positive = zip(*items, strict=True)
    found = auroc(scores, positive)
    if len(set(positive)) == 1:
        assert found is None, "a slice without any positive has no AUROC, and says so"
    else:
        assert found == pytest.approx(roc_auc_score(positive, scores))


@given(ITEMS)
def test_turning_the_scores_round_turns_it_round(items: list[tuple[int, bool]]) -> None:
    scores, positive = (np.array(part) for part in zip(*items, strict=True))
    found = auroc(scores, positive)
    if found is not None:
        assert auroc(-scores, positive) == pytest.approx(1 - found)


def by_definition(scores: np.ndarray, positive: np.ndarray) -> float:
    """DeLong's variance from the pairwise kernel, as in the paper."""
    x, y = scores[positive], scores[~positive]
    kernel = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    own, other = kernel.mean(1), kernel.mean(0)
    return float(own.var(ddof=1) / len(x) + other.var(ddof=1) / len(y))


def test_the_variance_is_that_of_the_paper() -> None:
    """DeLong et al. 1988; ties included."""
    rng = np.random.default_rng(1)
    positive = rng.random(200) < 0.4
    scores = np.round(rng.normal(positive * 1.0), 1)
    interval = auroc_interval(scores, positive)
    assert interval is not None
    half = (interval[1] - interval[0]) / 2
    assert half == pytest.approx(1.959964 * by_definition(scores, positive) ** 0.5, rel=1e-6)


def test_two_scores_on_the_same_items() -> None:
    rng = np.random.default_rng(2)
    positive = rng.random(400) < 0.5
    weak, strong = rng.normal(positive * 0.5), rng.normal(positive * 2.0)
    found = delong(weak, strong, positive)
    assert found is not None
    assert found.difference == pytest.approx(found.auroc_b - found.auroc_a)
    assert found.low > 0 and found.p_value < 1e-6
    same = delong(weak, weak, positive)
    assert same is not None
    assert (same.difference, same.p_value) == (0.0, 1.0)


def test_equal_scores_are_called_different_as_seldom_as_said() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(300):
        positive = rng.random(120) < 0.5
        shared = rng.normal(positive * 1.0)
        found = delong(shared + rng.normal(size=120), shared + rng.normal(size=120), positive)
        assert found is not None
        hits += found.p_value < 0.05
    assert hits / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_what_cannot_be_computed_is_none() -> None:
    assert auroc_interval([1, 2, 3], [True, False, False]) is None
    assert delong([1, 2], [1, 2], [True, True]) is None


def test_no_variance_is_no_certainty() -> None:
    perfect, positive = [1, 2, 3, 4], [False, False, True, True]
    assert auroc(perfect, positive) == 1.0
    assert auroc_interval(perfect, positive) is None
    assert delong(perfect, perfect[::-1], positive) is None
    same = delong(perfect, [10, 20, 30, 40], positive)
    assert same is not None
    assert (same.difference, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)


# Of 43 patients: albumin, total protein, K-G score, and 0 where surgery did not help.
RECORDS = """
    3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0
    1.6 5.6  5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1
    4.3 7.0  4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1
    3.0 4.7  8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1
    3.2 5.1  5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1
    3.5 6.2  5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
    3.6 6.6  5 1
"""


@pytest.mark.parametrize(
    ("column", "area", "difference", "error", "p_value"),
    [(0, 0.7366, 0.0108, 0.0953, 0.9102), (1, 0.6478, -0.0780, 0.1046, 0.4561)],
    ids=["albumin", "total protein"],
)
def test_published_numbers(
    column: int, area: float, difference: float, error: float, p_value: float
) -> None:
    """DeLong et al. 1988, patients with ovarian cancer, against their K-G score (area 0.7258); the
    SAS/STAT user's guide, PROC LOGISTIC, "Comparing receiver operating characteristic curves", has
    the same 43 complete records."""
    patients = np.array([float(number) for number in RECORDS.split()]).reshape(-1, 4)
    found = delong(patients[:, 2], -patients[:, column], patients[:, 3] == 0)
    assert found is not None
    assert (found.auroc_a, found.auroc_b) == pytest.approx((0.7258, area), abs=5e-5)
    assert found.difference == pytest.approx(difference, abs=6e-5)
    assert (found.high - found.low) / 2 / 1.959964 == pytest.approx(error, abs=6e-5)
    assert found.p_value == pytest.approx(p_value, abs=6e-5)


def test_faulty_scores_are_refused() -> None:
    with pytest.raises(BadInput, match="one each"):
        auroc([1, 2], [True])
    with pytest.raises(BadInput, match="finite"):
        auroc([1, float("nan")], [True, False])
