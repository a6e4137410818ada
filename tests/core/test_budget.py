"""The error budget: who shares it, what a relaunch costs, what cannot be computed."""

from __future__ import annotations

import math

import pytest

from greenlight.core import budget
from greenlight.core.errors import PolicyError
from greenlight.core.policy import DecisionPolicy, EvidencePolicy, MetricPolicy

PLAIN = DecisionPolicy()
FULL = DecisionPolicy(
    metrics={
        "clicked": MetricPolicy(),
        "seconds": MetricPolicy(kind="number", direction="down", margin=5, low=0, high=60),
        "money": MetricPolicy(kind="number", margin=1),
    },
    latency_bars={"p95": 80.0, "p99": 90.0, "slo": 150.0},
)


@pytest.mark.parametrize("policy", [PLAIN, FULL])
def test_the_tests_that_can_roll_back_share_the_budget(policy: DecisionPolicy) -> None:
    """EVIDENCE, budget: act on any E_k ≥ 1/(w_k·α_harm), Σw = 1."""
    limits = budget.thresholds(policy)
    spent = sum(math.exp(-limits[test]) for test in budget.harm_tests(policy))
    assert spent == pytest.approx(policy.evidence.alpha_harm)


def test_weights_move_thresholds_and_keep_the_sum() -> None:
    rules = EvidencePolicy(weights={"errors": 3.0})
    limits = budget.thresholds(DecisionPolicy(evidence=rules))
    assert limits["errors"] == pytest.approx(limits["quality"] - math.log(3))
    spent = sum(math.exp(-limits[test]) for test in budget.harm_tests(PLAIN))
    assert spent == pytest.approx(rules.alpha_harm)


def test_which_tests_there_are() -> None:
    assert budget.harm_tests(PLAIN) == ("quality", "early_harm", "intention", "errors")
    assert budget.harm_tests(FULL)[4:] == (
        "latency_p95",
        "latency_p99",
        "latency_slo",
        "metric:clicked",
        "metric:seconds",
    )
    assert budget.proofs(FULL) == (
        "no_worse:errors",
        "no_worse:clicked",
        "no_worse:seconds",
        "no_worse:money",
    )


def test_what_cannot_be_computed_says_why() -> None:
    gaps = {gap.test: gap.reason for gap in budget.missing(FULL)}
    assert list(gaps) == ["no_worse:money"]
    assert "declare low and high" in gaps["no_worse:money"]
    assert {gap.test for gap in budget.missing(PLAIN)} == {
        "latency_p95",
        "latency_p99",
        "latency_slo",
    }


def test_a_relaunch_costs_and_all_of_them_together_are_bounded() -> None:
    """EVIDENCE, budget: launch j uses α/(j(j+1)); the first one has all of it (ADR 0014)."""
    assert [budget.penalty(launch) for launch in (1, 2, 3)] == [1.0, 1 / 6, 1 / 12]
    assert sum(budget.penalty(launch) for launch in range(1, 10_000)) <= 1.5
    again = budget.thresholds(DecisionPolicy(launch=2))
    first = budget.thresholds(DecisionPolicy())
    for test in ("quality", "superiority", "no_worse:errors"):
        assert again[test] == pytest.approx(first[test] + math.log(6))
    assert again["srm"] == first["srm"], "trust in the data is not bought"


def test_values_are_scaled_so_that_more_is_better() -> None:
    seconds = FULL.metrics["seconds"]
    assert [seconds.scaled(value) for value in (-5, 0, 15, 60, 99)] == [1, 1, 0.75, 0, 0]
    assert seconds.scaled_margin == pytest.approx(5 / 60)
    with pytest.raises(ValueError, match="no scale"):
        FULL.metrics["money"].scaled(1)


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"x": {"kind": "number", "low": 0.0}}, "both bounds or none"),
        ({"x": {"kind": "number", "low": 2.0, "high": 1.0}}, "must be below high"),
        ({"x": {"kind": "boolean", "low": 0.0, "high": 1.0}}, "take the bounds away"),
        ({"x": {"margin": 1.5}}, "smaller than the metric's range"),
        ({"x": {"role": "primary"}}, "quality is the primary metric"),
        ({"quality": {"role": "secondary"}}, "quality is the primary metric"),
    ],
)
def test_metrics_that_contradict_themselves(
    metrics: dict[str, dict[str, object]], said: str
) -> None:
    with pytest.raises(PolicyError, match=said):
        DecisionPolicy(metrics={n: MetricPolicy(**m) for n, m in metrics.items()})  # type: ignore[arg-type]
