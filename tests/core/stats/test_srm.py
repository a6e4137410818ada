"""Sample ratio mismatch: published numbers, false alarms under peeking, power, resumption."""

from __future__ import annotations

import itertools
import json
import math
import statistics
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from greenlight.core.stats.srm import (
    CONCENTRATION,
    MultinomialTest,
    SampleRatioTest,
    chi2_p_value,
    log_bayes_factors,
)

ALPHA = 0.001
SHARES = (0.4, 0.4, 0.2)
FLAT = (1.0, 1.0, 1.0)
BATCHES = [[20, 17, 9], [18, 21, 8]]

UNITS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.05, 0.25, 0.5, 1.0]), st.integers(1, 4)),
    max_size=60,
)


class TestPearson:
    @pytest.mark.parametrize(
        ("counts", "shares", "expected"),
        [([1000, 1200], [0.5, 0.5], 0.0000201), ([310, 98], [0.75, 0.25], 0.647434)],
    )
    def test_published_numbers(
        self, counts: list[int], shares: list[float], expected: float
    ) -> None:
        """EVIDENCE, "Published numbers to reproduce"."""
        assert chi2_p_value(counts, shares) == pytest.approx(expected, abs=5e-7, rel=2e-3)

    @given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 9)), min_size=2, max_size=6))
    def test_as_scipy_has_it(self, arms: list[tuple[int, int]]) -> None:
        counts = [count for count, _ in arms]
        if not sum(counts):
            counts[0] = 1
        parts = np.array([part for _, part in arms])
        shares = list(parts / parts.sum())
        other = stats.chisquare(counts, sum(counts) * np.array(shares))
        found = chi2_p_value(counts, shares)
        assert 0 <= found <= 1
        assert found == pytest.approx(other.pvalue, rel=1e-6, abs=1e-300)

    def test_nobody_is_nothing_to_compute_with(self) -> None:
        with pytest.raises(ValueError, match=r"^cannot compute: there are no units to count$"):
            chi2_p_value([0, 0], [0.5, 0.5])


class TestMultinomial:
    def test_published_numbers(self) -> None:
        """Lindon & Malek, arXiv 2011.03567: their package, as EVIDENCE quotes it."""
        found = log_bayes_factors(BATCHES, SHARES, FLAT)
        assert found == pytest.approx([-2.950561, -3.681901], abs=5e-7)

    def test_it_is_a_ratio_of_two_likelihoods(self) -> None:
        """Once more from scipy's distributions: the multinomial coefficients cancel."""
        mixed = stats.dirichlet_multinomial.logpmf([20, 17, 9], FLAT, 46)
        point = stats.multinomial.logpmf([20, 17, 9], 46, SHARES)
        assert log_bayes_factors(BATCHES, SHARES, FLAT)[0] == pytest.approx(mixed - point)

    def test_p_values_only_fall(self) -> None:
        test = MultinomialTest(SHARES, FLAT)
        assert test.update([20, 17, 9]) == 1.0
        fallen = test.update([200, 0, 0])
        assert fallen == pytest.approx(
            math.exp(-log_bayes_factors([[220, 17, 9]], SHARES, FLAT)[0])
        )
        assert test.update([200, 400, 200]) == fallen
        assert test.update([10**6, 0, 0]) == 0.0

    def test_two_tests_share_nothing(self) -> None:
        one, other = MultinomialTest(SHARES, FLAT), MultinomialTest(SHARES, FLAT)
        one.update([9, 9, 9])
        assert other.counts == [0.0, 0.0, 0.0]

    def test_it_resumes(self) -> None:
        whole, first = MultinomialTest(SHARES, FLAT), MultinomialTest(SHARES, FLAT)
        whole.update([90, 10, 5])
        first.update([90, 10, 5])
        second = msgspec.convert(json.loads(msgspec.json.encode(first)), MultinomialTest)
        assert second.update([9, 9, 9]) == whole.update([9, 9, 9])

    @pytest.mark.parametrize(
        ("shares", "prior", "counts"),
        [
            ([0.5, 0.4], [1, 1], [1, 1]),
            ([1.0], [1], [1]),
            ([0.5, 0.5, 0.0], [1, 1, 1], [1, 1, 0]),
            ([0.5, 0.5], [1, 0], [1, 1]),
            ([0.5, 0.5], [1], [1, 1]),
            ([0.5, 0.5], [1, 1], [1, -1]),
            ([0.5, 0.5], [1, 1], [1, math.nan]),
            ([0.5, 0.5], [1, 1], [1, math.inf]),
            ([0.5, 0.5], [1, math.inf], [1, 1]),
            ([0.5, 0.5], [1, 1], [1, 1, 1]),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, shares: list[float], prior: list[float], counts: list[float]
    ) -> None:
        with pytest.raises(ValueError, match=r"expected"):
            log_bayes_factors([counts], shares, prior)
        with pytest.raises(ValueError, match=r"expected"):
            MultinomialTest(shares, prior).update(counts)

    @pytest.mark.parametrize("shares", [[0.5, 1.0], [1.5, 0.5], [0.5]])
    def test_a_share_lies_between_0_and_1(self, shares: list[float]) -> None:
        with pytest.raises(ValueError, match=r"expected at least two, all in \(0, 1\)$"):
            chi2_p_value([1] * len(shares), shares)


class TestSampleRatio:
    def test_it_begins_with_no_evidence_and_the_trust_of_a_hundred_units(self) -> None:
        """EVIDENCE, table of tests: k = 100."""
        assert CONCENTRATION == 100
        assert (SampleRatioTest().log_e, SampleRatioTest().peak) == (0.0, 0.0)
        assert MultinomialTest(SHARES, FLAT).p_value == 1.0
        test = SampleRatioTest()
        test.update(True, 0.1, 1)
        assert test.update(True, 0.1, 1) == pytest.approx(math.log(11 / 101 / 0.1))

    @pytest.mark.parametrize("weight", [0.05, 0.3])
    def test_expected_e_is_one_by_enumeration(self, weight: float) -> None:
        """Over all assignments of seven units in two epochs E averages to 1: no one is favoured."""
        total = 0.0
        for arms in itertools.product([False, True], repeat=7):
            test, chance = SampleRatioTest(), 1.0
            for unit, candidate in enumerate(arms):
                share = weight if unit < 3 else 0.5
                test.update(candidate, share, 1 + (unit >= 3))
                chance *= share if candidate else 1 - share
            total += chance * math.exp(test.log_e)
        assert total == pytest.approx(1.0, abs=1e-9)

    @given(st.lists(st.booleans(), max_size=80), st.sampled_from([0.01, 0.1, 0.5, 0.9]))
    def test_one_epoch_is_the_bayes_factor(self, arms: list[bool], weight: float) -> None:
        test = SampleRatioTest()
        for candidate in arms:
            test.update(candidate, weight, 1)
        shares = (1 - weight, weight)
        counts = [len(arms) - sum(arms), sum(arms)]
        prior = [CONCENTRATION * share for share in shares]
        assert test.log_e == pytest.approx(log_bayes_factors([counts], shares, prior)[0], abs=1e-9)

    @given(UNITS)
    def test_epochs_multiply(self, units: list[tuple[bool, float, int]]) -> None:
        units = sorted(units, key=lambda unit: unit[2])
        test, apart = SampleRatioTest(), [SampleRatioTest() for _ in range(5)]
        for candidate, weight, epoch in units:
            test.update(candidate, weight, epoch)
            apart[epoch].update(candidate, weight, epoch)
        assert test.log_e == pytest.approx(sum(each.log_e for each in apart), abs=1e-9)

    @given(UNITS, st.integers(0, 60))
    def test_it_resumes(self, units: list[tuple[bool, float, int]], cut: int) -> None:
        whole, first = SampleRatioTest(), SampleRatioTest()
        for unit in units:
            whole.update(*unit)
        for unit in units[:cut]:
            first.update(*unit)
        second = msgspec.convert(msgspec.to_builtins(first), SampleRatioTest)
        for unit in units[cut:]:
            second.update(*unit)
        assert second == whole
        assert whole.peak >= max(0.0, whole.log_e)
        assert math.isfinite(whole.log_e)

    @given(st.booleans(), st.sampled_from([-0.1, 0.0, 1.0, 1.5]), st.integers(0, 9))
    def test_what_could_not_go_otherwise_is_ignored(
        self, candidate: bool, weight: float, epoch: int
    ) -> None:
        test = SampleRatioTest()
        assert test.update(candidate, weight, epoch) == 0.0
        assert test == SampleRatioTest()

    def test_once_a_mismatch_always_a_mismatch(self) -> None:
        test = SampleRatioTest()
        for _ in range(200):
            test.update(True, 0.5, 1)
        peak = test.peak
        assert peak > math.log(1 / ALPHA)
        for _ in range(400):
            test.update(False, 0.5, 1)
        assert test.log_e < test.peak == peak

    def test_ten_instead_of_twelve_percent_is_seen_within_4000_new_units(self) -> None:
        """EVIDENCE, "Targets": SRM 10 → 12 %, α = .001, the median of 200 rollouts."""
        rng = np.random.default_rng(4)
        needed = []
        for _ in range(200):
            test = SampleRatioTest()
            for unit, candidate in enumerate((rng.random(16_000) < 0.12).tolist(), start=1):
                if test.update(candidate, 0.1, 1) >= math.log(1 / ALPHA):
                    needed.append(unit)
                    break
        assert len(needed) >= 195
        assert statistics.median(needed) <= 4000

    def test_healthy_rollouts_are_left_alone_at_every_look(self) -> None:
        """Widening 5 → 10 → 25 → 50: at α = .05, where 200 rollouts would show an excess."""
        rng = np.random.default_rng(5)
        fired = 0
        for _ in range(200):
            test = SampleRatioTest()
            for epoch, weight in enumerate((0.05, 0.1, 0.25, 0.5), start=1):
                for candidate in (rng.random(600) < weight).tolist():
                    test.update(candidate, weight, epoch)
            fired += test.peak >= math.log(1 / 0.05)
        assert fired <= 200 * 0.05 + 3 * math.sqrt(200 * 0.05 * 0.95)


def test_the_live_tests_load_no_arrays() -> None:
    """The decision path stays light: neither numpy nor scipy comes with these modules."""
    code = (
        "import sys, greenlight.core.stats.srm, greenlight.core.stats.sequential;"
        "print([name for name in ('numpy', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
