"""Confidence sequences: published numbers, coverage at every look, shape, resumption."""

from __future__ import annotations

import math
import random
import timeit

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import optimize, stats

from greenlight.core.stats.sequential import (
    EDGE,
    EVENTS,
    V_OPT,
    Difference,
    asymptotic_interval,
    bernoulli_interval,
    normal_mixture_bound,
    quantile_interval,
)

ALPHA = 0.05
RUNS = 200
MISSES = RUNS * ALPHA + 3 * math.sqrt(RUNS * ALPHA * (1 - ALPHA))
"""As many of the runs as may miss by chance."""

OUTCOMES = st.lists(
    st.tuples(
        st.booleans(), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.0, 0.1, 0.5, 1.0])
    ),
    max_size=80,
)


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 10**6))
    return draw(st.integers(0, n)), n


class TestNormalMixture:
    @pytest.mark.parametrize(("two_sided", "expected"), [(True, 30.35209), (False, 27.66071)])
    def test_published_numbers(self, two_sided: bool, expected: float) -> None:
        """confseq, test/uniform_boundaries_unittest.cpp: a reference implementation in R."""
        assert normal_mixture_bound(100, 100, ALPHA, two_sided) == pytest.approx(expected, abs=1e-5)

    @given(st.floats(0, 1e6), st.floats(1e-2, 1e6), st.floats(1e-6, 0.49))
    def test_the_mixture_reaches_its_threshold_there(
        self, v: float, v_opt: float, alpha: float
    ) -> None:
        """The one-sided mixture itself, from scipy's normal distribution."""
        log_inverse = math.log(1 / (2 * alpha))
        rho = v_opt / (2 * log_inverse + math.log(1 + 2 * log_inverse))
        s = normal_mixture_bound(v, v_opt, alpha, False)
        z = s / math.sqrt(v + rho)
        log_mixture = math.log(4 * rho / (v + rho)) / 2 + z * z / 2 + stats.norm.logcdf(z)
        assert log_mixture == pytest.approx(-math.log(alpha), abs=1e-8)

    @given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(1e-2, 1e6), st.booleans())
    def test_it_grows_with_time_and_confidence(
        self, one: float, other: float, v_opt: float, two_sided: bool
    ) -> None:
        early, late = sorted((one, other))
        bound = normal_mixture_bound(late, v_opt, 0.05, two_sided)
        assert 0 < normal_mixture_bound(early, v_opt, 0.05, two_sided) <= bound * (1 + 1e-9)
        assert bound <= normal_mixture_bound(late, v_opt, 0.05, True)
        if two_sided:
            assert bound >= math.sqrt(late) * stats.norm.isf(0.025)

    @pytest.mark.parametrize(
        "arguments",
        [
            (-1, 1, 0.05, True),
            (math.nan, 1, 0.05, True),
            (1, 0, 0.05, True),
            (1, math.inf, 0.05, True),
            (1, 1, 0.0, True),
            (1, 1, 1.0, True),
            (1, 1, 0.5, False),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, arguments: tuple[float, float, float, bool]
    ) -> None:
        with pytest.raises(ValueError, match=r"alpha|expected"):
            normal_mixture_bound(*arguments)


class TestBernoulli:
    def test_published_numbers(self) -> None:
        """confseq: 700 of 1,000, t_opt 100 (EVIDENCE, "Published numbers to reproduce")."""
        found = bernoulli_interval(700, 1000, 100, ALPHA)
        assert found == pytest.approx((0.651629, 0.745949), abs=1e-6)

    @pytest.mark.parametrize(
        ("k", "n", "t_opt", "alpha"), [(7, 10, 100, 0.05), (3, 900, 500, 0.01), (55, 61, 5, 0.2)]
    )
    def test_confseqs_own_form(self, k: int, n: int, t_opt: float, alpha: float) -> None:
        """The mixture as arXiv 1810.08240 writes it for bounded variables, solved by scipy."""
        log_inverse = math.log(1 / 0.05)

        def excess(p: float) -> float:
            g, h = p, 1 - p
            rho = g * h * t_opt / (2 * log_inverse + math.log(1 + 2 * log_inverse))
            r = max(rho - g * h, 1e-3 * g * h)
            s, v = (k / n - p) * n, g * h * n
            return (
                -(v + h * s) / h * math.log(g)
                - (v - g * s) / g * math.log(h)
                + stats_log_beta((r + v - g * s) / g, (r + v + h * s) / h)
                - stats_log_beta(r / g, r / h)
                + math.log(alpha)
            )

        low = optimize.brentq(excess, 1e-12, k / n, xtol=1e-14)
        high = optimize.brentq(excess, k / n, 1 - 1e-12, xtol=1e-14)
        assert bernoulli_interval(k, n, t_opt, alpha) == pytest.approx((low, high), abs=1e-9)

    @given(counts(), st.floats(0.1, 1e5), st.floats(1e-4, 0.5))
    @example((1, 10**6), 1e5, 0.05)
    def test_it_mirrors_around_the_rate(
        self, found: tuple[int, int], t_opt: float, alpha: float
    ) -> None:
        k, n = found
        low, high = bernoulli_interval(k, n, t_opt, alpha)
        assert 0 <= low <= k / n <= high <= 1
        assert low < high
        assert bernoulli_interval(n - k, n, t_opt, alpha) == pytest.approx(
            (1 - high, 1 - low), abs=1e-12
        )
        wider_low, wider_high = bernoulli_interval(k, n, t_opt, alpha / 2)
        assert wider_low <= low + 1e-9
        assert wider_high >= high - 1e-9

    @given(st.integers(1, 2000), st.data())
    def test_more_successes_move_it_up(self, n: int, data: st.DataObject) -> None:
        k = data.draw(st.integers(0, n - 1))
        low, high = bernoulli_interval(k, n, 100, ALPHA)
        next_low, next_high = bernoulli_interval(k + 1, n, 100, ALPHA)
        assert next_low >= low - 1e-12
        assert next_high >= high - 1e-12

    def test_nothing_is_known_of_nothing(self) -> None:
        assert bernoulli_interval(0, 0, 100, ALPHA) == (0.0, 1.0)

    @pytest.mark.parametrize("p", [0.02, 0.5, 0.9])
    def test_it_covers_at_every_look(self, p: float) -> None:
        """The rate leaves the interval of a count exactly when M ≥ 1/α, seen at every count."""
        rng = random.Random(11)
        known: dict[tuple[int, int], bool] = {}
        missed = 0
        for _ in range(RUNS):
            k = 0
            for n in range(1, 401):
                k += rng.random() < p
                if abs(k - n * p) < 2 * math.sqrt(n * p * (1 - p)):
                    continue  # narrower than any fixed-sample interval it is not
                if (k, n) not in known:
                    low, high = bernoulli_interval(k, n, 100, ALPHA)
                    known[k, n] = low <= p <= high
                if not known[k, n]:
                    missed += 1
                    break
        assert missed <= MISSES

    def test_it_is_quick(self) -> None:
        """At most 200 µs; the best of several tries, for the machine may be busy."""
        taken = timeit.repeat(lambda: bernoulli_interval(700, 1000, 100, 0.05), number=20, repeat=9)
        assert min(taken) / 20 < 200e-6

    @pytest.mark.parametrize(
        "arguments", [(-1, 3, 9, 0.05), (4, 3, 9, 0.05), (1, 3, 0, 0.05), (1, 3, 9, 1.0)]
    )
    def test_what_makes_no_sense_is_refused(self, arguments: tuple[int, int, float, float]) -> None:
        with pytest.raises(ValueError, match=r"must lie|expected"):
            bernoulli_interval(*arguments)


def stats_log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


class TestAsymptotic:
    @given(st.integers(1, 10**6), st.floats(-9, 9), st.floats(0, 9), st.floats(1, 1e5))
    def test_as_the_paper_writes_it(
        self, n: int, mean: float, variance: float, n_opt: float
    ) -> None:
        """arXiv 2103.06476, section 2, with `rho2` as its authors' package drconfseq tunes it."""
        rho2 = (-2 * math.log(ALPHA) + math.log(-2 * math.log(ALPHA) + 1)) / n_opt
        margin = math.sqrt(
            2 * (n * rho2 + 1) * math.log(math.sqrt(n * rho2 + 1) / ALPHA) / (n**2 * rho2)
        )
        half = math.sqrt(variance) * margin
        assert asymptotic_interval(n, mean, variance, ALPHA, n_opt) == pytest.approx(
            (mean - half, mean + half), abs=1e-9
        )

    def test_it_is_narrowest_in_proportion_where_it_was_tuned_for(self) -> None:
        def width(n_opt: float) -> float:
            low, high = asymptotic_interval(1000, 0.0, 1.0, ALPHA, n_opt)
            return high - low

        assert width(1000) < min(width(100), width(10_000))

    @pytest.mark.parametrize(
        ("n", "mean", "variance"),
        [(0, 0.0, 1.0), (9, math.nan, 1.0), (9, math.inf, 1.0), (9, 0.0, math.inf), (9, 0.0, -1.0)],
    )
    def test_what_makes_no_sense_is_refused(self, n: int, mean: float, variance: float) -> None:
        with pytest.raises(ValueError, match="out of range"):
            asymptotic_interval(n, mean, variance, ALPHA, 100)


def missed(rng: random.Random, plan: list[tuple[int, float, float, float]]) -> bool:
    """Whether a rollout with these epochs (units, weight, rates) ever shows a wrong interval."""
    shown, truth, units = Difference(), 0.0, 0
    for length, pi, control, candidate in plan:
        for _ in range(length):
            is_candidate = rng.random() < pi
            rate = candidate if is_candidate else control
            shown.update(is_candidate, float(rng.random() < rate), pi)
            truth += candidate - control
            units += 1
            if units % 10 == 0 and (interval := shown.interval(ALPHA)):
                low, high = interval
                if not low <= truth / units <= high:
                    return True
    return False


class TestDifference:
    @pytest.mark.parametrize(
        "plan",
        [
            [(1500, 0.5, 0.8, 0.8)],
            [(3000, 0.1, 0.8, 0.75)],
            [(800, 0.05, 0.6, 0.6), (600, 0.25, 0.7, 0.7), (600, 0.5, 0.8, 0.8)],
        ],
        ids=["even", "canary", "widening while the base rate drifts"],
    )
    def test_it_covers_at_every_look(self, plan: list[tuple[int, float, float, float]]) -> None:
        rng = random.Random(12)
        assert sum(missed(rng, plan) for _ in range(RUNS)) <= MISSES

    def test_simpson_does_not_fool_it(self) -> None:
        """10 → 50 % while the base rate drifts .60 → .80: pooled +9 points, here about none."""
        rng = random.Random(13)
        shown = Difference()
        good, seen = [0.0, 0.0], [0, 0]
        for pi, rate in ((0.1, 0.6), (0.5, 0.8)):
            for _ in range(20_000):
                candidate, y = rng.random() < pi, float(rng.random() < rate)
                shown.update(candidate, y, pi)
                good[candidate] += y
                seen[candidate] += 1
        assert good[1] / seen[1] - good[0] / seen[0] > 0.08
        assert abs(shown.mean) < 0.015
        assert shown.interval(ALPHA) is not None

    @given(OUTCOMES, st.integers(0, 80))
    def test_it_resumes(self, outcomes: list[tuple[bool, float, float]], cut: int) -> None:
        whole, first = Difference(), Difference()
        for outcome in outcomes:
            whole.update(*outcome)
        for outcome in outcomes[:cut]:
            first.update(*outcome)
        second = msgspec.convert(msgspec.to_builtins(first), Difference)
        for outcome in outcomes[cut:]:
            second.update(*outcome)
        assert second == whole
        assert all(math.isfinite(value) for value in msgspec.to_builtins(whole).values())

    @given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 1.0])), max_size=300))
    def test_the_arms_mirror(self, outcomes: list[tuple[bool, float]]) -> None:
        one, other = Difference(), Difference()
        for candidate, y in outcomes:
            one.update(candidate, y, 0.25)
            other.update(not candidate, y, 0.75)
        assert other.mean == pytest.approx(-one.mean, abs=1e-12)
        assert (one.control_bad, one.candidate_good) == (other.candidate_bad, other.control_good)

    def test_nothing_is_shown_before_30_events_of_each_kind_per_arm(self) -> None:
        """EVIDENCE: asymptotic intervals are for display from 30 events of each kind on."""
        shown = Difference()
        for _ in range(EVENTS):
            for candidate in (False, True):
                for y in (0.0, 1.0):
                    assert shown.interval(ALPHA) is None
                    shown.update(candidate, y, 0.5)
        low, high = shown.interval(ALPHA) or (9.0, 9.0)
        assert -1 <= low < 0 < high <= 1
        wider = shown.interval(ALPHA / 10) or (9.0, 9.0)
        assert wider[0] < low
        assert wider[1] > high

    @pytest.mark.parametrize("pi", [0.0, 1.0])
    def test_a_known_arm_is_ignored(self, pi: float) -> None:
        shown = Difference()
        shown.update(True, 1.0, pi)
        assert shown == Difference()

    @pytest.mark.parametrize(("y", "pi"), [(1.1, 0.5), (math.nan, 0.5), (1.0, -0.1)])
    def test_what_makes_no_sense_is_refused(self, y: float, pi: float) -> None:
        with pytest.raises(ValueError, match="expected"):
            Difference().update(True, y, pi)


class TestQuantile:
    @pytest.mark.parametrize("p", [0.5, 0.95])
    def test_it_covers_at_every_look(self, p: float) -> None:
        """Of exponential values, by their ranks: whether p lies among the counts allowed."""
        rng = random.Random(14)
        truth = -math.log(1 - p)
        missed = 0
        for _ in range(RUNS):
            values: list[float] = []
            for _ in range(25):
                values.extend(rng.expovariate(1.0) for _ in range(20))
                values.sort()
                low, high = quantile_interval(values, p, ALPHA)
                if not low <= truth <= high:
                    missed += 1
                    break
        assert missed <= MISSES

    def test_ties_are_covered_too(self) -> None:
        """Latencies in whole steps: the quantile .9 of 1 to 4, each as likely, is 4."""
        rng = random.Random(15)
        missed = 0
        for _ in range(RUNS):
            values = [rng.randint(1, 4) for _ in range(200)]
            low, high = quantile_interval(values, 0.9, ALPHA)
            missed += not low <= 4 <= high
        assert missed <= MISSES

    @given(
        st.lists(st.floats(-1e9, 1e9), max_size=300),
        st.floats(0.01, 0.99),
        st.floats(1e-3, 0.5),
        st.randoms(use_true_random=False),
    )
    def test_order_does_not_matter_and_the_sample_quantile_is_inside(
        self, values: list[float], p: float, alpha: float, rng: random.Random
    ) -> None:
        low, high = quantile_interval(values, p, alpha)
        shuffled = rng.sample(values, len(values))
        assert quantile_interval(shuffled, p, alpha) == (low, high)
        assert low <= high
        if values:
            centre = sorted(values)[min(len(values) - 1, int(len(values) * p))]
            assert low <= centre <= high
        wider_low, wider_high = quantile_interval(values, p, alpha / 2)
        assert wider_low <= low
        assert wider_high >= high

    @given(st.lists(st.integers(-1000, 1000), max_size=200), st.sampled_from([0.1, 0.25, 0.5]))
    def test_it_mirrors(self, values: list[int], p: float) -> None:
        low, high = quantile_interval(values, p, ALPHA)
        assert quantile_interval([-value for value in values], 1 - p, ALPHA) == (-high, -low)

    def test_the_counts_are_those_of_the_interval_of_a_rate(self) -> None:
        """Duality: p lies in the interval of k among n exactly for the counts between the ranks."""
        n, p = 500, 0.9
        low, high = quantile_interval(range(1, n + 1), p, ALPHA, 100)
        allowed = [
            k
            for k in range(n + 1)
            if (found := bernoulli_interval(k, n, 100, ALPHA)) and found[0] < p < found[1]
        ]
        assert (low, high) == (allowed[0], allowed[-1] + 1)

    def test_the_first_and_the_last_value_may_be_its_ends(self) -> None:
        """31 values are the fewest that bound a median on both sides."""
        assert quantile_interval(range(1, 31), 0.5, ALPHA) == (-math.inf, math.inf)
        assert quantile_interval(range(1, 32), 0.5, ALPHA) == (1, 31)

    def test_few_values_bound_nothing(self) -> None:
        assert quantile_interval([], 0.5, ALPHA) == (-math.inf, math.inf)
        assert quantile_interval([1.0, 2.0], 0.5, ALPHA) == (-math.inf, math.inf)
        low, high = quantile_interval(range(100), 0.99, ALPHA)
        assert math.isfinite(low)
        assert high == math.inf

    @pytest.mark.parametrize(
        ("values", "p", "alpha"),
        [([1.0], 0.0, 0.05), ([1.0], 1.0, 0.05), ([1.0], 0.5, 0.0), ([math.nan], 0.5, 0.05)],
    )
    def test_what_makes_no_sense_is_refused(
        self, values: list[float], p: float, alpha: float
    ) -> None:
        with pytest.raises(
            ValueError, match=r"must lie in \(0, 1\)$|^values: not all of them are numbers$"
        ):
            quantile_interval(values, p, alpha)


def _told(shown: Difference, control: list[float], candidate: list[float]) -> Difference:
    for y in control:
        shown.update(False, y, 0.5)
    for y in candidate:
        shown.update(True, y, 0.5)
    return shown


def test_the_interval_of_a_difference_is_two_sided_and_within_what_is_possible() -> None:
    mixed = _told(Difference(), [0.0, 1.0] * 400, [0.0, 1.0, 1.0] * 300)
    interval = mixed.interval(0.05)
    assert interval is not None
    half = normal_mixture_bound(mixed.m2, V_OPT, 0.05, True) / mixed.n
    assert interval == (mixed.mean - half, mixed.mean + half)
    rare = Difference()
    for number in range(120):
        rare.update(number % 2 == 0, float(number % 4 < 2), 0.02)
    assert rare.interval(0.05) == (-1.0, 1.0)


def test_nothing_is_infinite() -> None:
    with pytest.raises(ValueError, match="expected finite numbers"):
        normal_mixture_bound(math.inf, 1.0, 0.05, True)
    with pytest.raises(ValueError, match="expected a finite number above 0"):
        bernoulli_interval(1, 2, math.inf, 0.05)


def test_a_difference_by_hand() -> None:
    """X by hand, with m̂ = (Σy + ½)/(n + 1) of the outcomes before; EVIDENCE, difference."""
    shown = Difference()
    expected = []
    for candidate, y, base in (
        (True, 1.0, 0.5),
        (False, 0.0, 1.5 / 2),
        (True, 0.0, 1.5 / 3),
        (False, 1.0, 1.5 / 4),
    ):
        shown.update(candidate, y, 0.25)
        expected.append((y - base) / 0.25 if candidate else (base - y) / 0.75)
    mean = sum(expected) / 4
    assert shown.mean == pytest.approx(mean)
    assert shown.m2 == pytest.approx(sum((x - mean) ** 2 for x in expected))


def test_a_running_mean_is_never_certain() -> None:
    """Else the first surprise would weigh nothing, or without bound."""
    shown = Difference()
    for _ in range(20_000):
        shown.update(True, 1.0, 0.5)
    before = shown.mean * shown.n
    shown.update(False, 1.0, 0.5)
    assert shown.mean * shown.n - before == pytest.approx(-EDGE / 0.5, rel=1e-3)
    with pytest.raises(ValueError, match="expected numbers in"):
        shown.update(True, 1.0, 1.5)
