"""Bootstrap and randomisation: against enumeration and scipy, coverage, size, what is undefined."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import f1_score

from greenlight.core.errors import BadInput
from greenlight.core.stats.ranking import auroc
from greenlight.core.stats.resampling import (
    approximate_randomisation,
    bootstrap_interval,
    micro_f1,
    paired_bootstrap,
    unpaired_bootstrap,
)

COUNTS = st.lists(
    st.tuples(*[st.integers(0, 3)] * 3, *[st.integers(0, 3)] * 3), min_size=1, max_size=25
)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def mean(items: NDArray[Any]) -> float | None:
    return float(items.mean())


def area(items: NDArray[Any]) -> float | None:
    return auroc(items[:, 0], items[:, 1])


def entities(rng: np.random.Generator, n: int, found: float) -> NDArray[np.int64]:
    """Texts with up to three entities, each found with this probability; some false positives."""
    there = rng.integers(0, 4, n)
    tp = rng.binomial(there, found)
    return np.column_stack([tp, rng.binomial(1, 0.15, n), there - tp])


class TestMicroF1:
    @given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
    def test_as_sklearn_has_it(self, items: list[tuple[bool, bool]]) -> None:
        truth, said = ([item[side] for item in items] for side in (0, 1))
        counts = np.array([[t and s, s and not t, t and not s] for t, s in items], dtype=int)
        if not any(truth) and not any(said):
            assert micro_f1(counts) is None
        else:
            assert micro_f1(counts) == pytest.approx(f1_score(truth, said))

    def test_what_is_missed_altogether_is_zero(self) -> None:
        assert micro_f1(np.array([[0, 0, 2]])) == 0.0
        assert micro_f1(np.array([[0, 2, 0]])) == 0.0


class TestIntervals:
    def test_as_scipy_has_it(self) -> None:
        """The percentile method: equal to within what 4,000 resamples leave to chance."""
        values = generator().exponential(size=80)
        low, high = bootstrap_interval(mean, values, rng=generator(1), samples=4000) or (9, 9)
        other = stats.bootstrap(
            (values,), np.mean, n_resamples=4000, method="percentile", rng=generator(2)
        ).confidence_interval
        assert (low, high) == pytest.approx((other.low, other.high), abs=0.03)

    def test_all_resamples_of_three_items(self) -> None:
        """27 equally likely resamples; the ends lie where their distribution says."""
        values = np.array([0.0, 1.0, 5.0])
        every = np.sort([np.mean(drawn) for drawn in itertools.product(values, repeat=3)])
        found = bootstrap_interval(mean, values, rng=generator(), samples=9999, alpha=0.2)
        assert found == (every[int(0.1 * 27)], every[-1 - int(0.1 * 27)])

    def test_f1_is_covered(self) -> None:
        """True F1: 2·1.5·.8 / (2·1.5·.8 + .15 + 1.5·.2); 150 sets of 120 texts at α = .1."""
        rng = generator(3)
        truth = 2.4 / (2.4 + 0.15 + 0.3)
        missed = 0
        for _ in range(150):
            found = bootstrap_interval(
                micro_f1, entities(rng, 120, 0.8), rng=rng, samples=199, alpha=0.1
            )
            assert found is not None
            missed += not found[0] <= truth <= found[1]
        assert missed <= 27

    def test_pairs_stay_together(self) -> None:
        """b is a plus a constant: the difference does not vary, however a does."""
        a = generator(8).normal(size=50)
        found = paired_bootstrap(mean, a, a + 2.0, rng=generator(9), samples=99)
        assert found == pytest.approx((2.0, 2.0))

    def test_areas(self) -> None:
        rng = generator(10)
        flags = rng.random(150) < 0.4
        items = np.column_stack([flags + rng.normal(size=150), flags])
        low, high = bootstrap_interval(area, items, rng=rng, samples=399) or (9, 9)
        assert low < (area(items) or 0) < high
        better = np.column_stack([items[:, 0] + flags, flags])
        low, high = paired_bootstrap(area, items, better, rng=rng, samples=399) or (9, 9)
        assert 0 < low < high < 1

    @given(COUNTS, st.integers(0, 9))
    @settings(max_examples=40)
    def test_it_mirrors_and_repeats(self, rows: list[tuple[int, ...]], seed: int) -> None:
        both = np.array(rows)
        a, b = both[:, :3], both[:, 3:]
        found = paired_bootstrap(micro_f1, a, b, rng=generator(seed), samples=59)
        assert paired_bootstrap(micro_f1, a, b, rng=generator(seed), samples=59) == found
        mirrored = paired_bootstrap(micro_f1, b, a, rng=generator(seed), samples=59)
        if found is None:
            assert mirrored is None
        else:
            assert -1 <= found[0] <= found[1] <= 1
            assert mirrored == pytest.approx((-found[1], -found[0]))

    def test_what_cannot_be_computed_is_none(self) -> None:
        nothing = np.zeros((20, 3), dtype=int)
        assert bootstrap_interval(micro_f1, nothing, rng=generator()) is None
        assert paired_bootstrap(micro_f1, nothing, nothing, rng=generator()) is None
        assert approximate_randomisation(micro_f1, nothing, nothing, rng=generator()) is None

    def test_no_items_and_other_items_are_refused(self) -> None:
        with pytest.raises(BadInput, match="no items"):
            bootstrap_interval(mean, np.array([]), rng=generator())
        with pytest.raises(BadInput, match="the same items"):
            paired_bootstrap(mean, np.ones(3), np.ones(4), rng=generator())
        with pytest.raises(BadInput, match="the same items"):
            approximate_randomisation(mean, np.ones(3), np.ones(4), rng=generator())


class TestRandomisation:
    def test_all_shuffles_of_eight_items(self) -> None:
        """Noreen 1989: it approximates the exact test, which counts all 256 shuffles."""
        a, b = entities(generator(11), 8, 0.4), entities(generator(12), 8, 0.9)
        seen = abs((micro_f1(b) or 0) - (micro_f1(a) or 0))
        extreme = 0
        for swap in itertools.product([False, True], repeat=8):
            column = np.array(swap)[:, None]
            shown = (micro_f1(np.where(column, a, b)) or 0) - (
                micro_f1(np.where(column, b, a)) or 0
            )
            extreme += abs(shown) >= seen - 1e-12
        found = approximate_randomisation(micro_f1, a, b, rng=generator(13), samples=4000)
        assert found == pytest.approx(extreme / 256, abs=4 * 0.5 / 4000**0.5)

    def test_as_scipy_has_it(self) -> None:
        """Differences of means of pairs: scipy's permutation test counts every shuffle."""
        a = generator(14).normal(size=10)
        b = a + generator(15).normal(0.5, 1.0, size=10)
        other = stats.permutation_test(
            (a, b),
            lambda x, y: np.mean(x) - np.mean(y),
            permutation_type="samples",
            vectorized=False,
        )
        found = approximate_randomisation(mean, a, b, rng=generator(16), samples=4000)
        assert found == pytest.approx(other.pvalue, abs=0.03)

    def test_the_smallest_p_value(self) -> None:
        """(r+1)/(R+1): never 0 (Yeh 2000)."""
        a, b = np.tile([0, 1, 1], (60, 1)), np.tile([1, 0, 0], (60, 1))
        assert approximate_randomisation(micro_f1, a, b, rng=generator(), samples=99) == 0.01

    def test_the_same_twice(self) -> None:
        a = entities(generator(17), 30, 0.5)
        assert approximate_randomisation(micro_f1, a, a, rng=generator(), samples=99) == 1.0

    def test_an_undefined_shuffle_counts_as_extreme(self) -> None:
        """a alone has the entity, b a false positive elsewhere; some shuffles leave one empty."""
        a, b = np.array([[1, 0, 0], [0, 0, 0]]), np.array([[0, 0, 0], [0, 1, 0]])
        assert approximate_randomisation(micro_f1, a, b, rng=generator(), samples=99) == 1.0

    def test_size(self) -> None:
        """Versions that are alike: p ≤ .1 in at most 10 % of 200 data sets, within 3 SE."""
        rng = generator(18)
        rejected = 0
        for _ in range(200):
            a, b = entities(rng, 60, 0.7), entities(rng, 60, 0.7)
            p_value = approximate_randomisation(micro_f1, a, b, rng=rng, samples=199)
            assert p_value is not None
            rejected += p_value <= 0.1
        assert 5 <= rejected <= 32


class TestUnpaired:
    def test_as_the_normal_distribution_has_it(self) -> None:
        """Two large samples: the difference of means, ± 1.96 standard errors."""
        a, b = generator(1).normal(size=400), generator(2).normal(0.5, 2.0, 300)
        found = unpaired_bootstrap(mean, a, b, rng=generator(3), samples=4000)
        error = 1.96 * (a.var() / 400 + b.var() / 300) ** 0.5
        difference = b.mean() - a.mean()
        assert found == pytest.approx((difference - error, difference + error), abs=0.03)

    def test_what_cannot_be_computed_has_none(self) -> None:
        nothing, something = np.zeros((3, 3), int), np.ones((2, 3), int)
        for a, b in ((nothing, something), (something, nothing)):
            assert unpaired_bootstrap(micro_f1, a, b, rng=generator()) is None
        with pytest.raises(BadInput, match="no items"):
            unpaired_bootstrap(micro_f1, something, nothing[:0], rng=generator())
