"""Gates (E6): direction-aware, and closed to whatever cannot be computed."""

from __future__ import annotations

from typing import Any

import pytest

from greenlight.core.gates import check, passed
from greenlight.core.policy import GateRule


def document(**blocks: Any) -> dict[str, Any]:
    return {
        "intent": {
            "test": {
                "accuracy": {"value": 0.93, "low": 0.92, "high": 0.94},
                "macro_f1": {"value": 0.9},
                "ece": {"value": 0.02, "bins": 15},
                **blocks,
            },
            "train_val_gap": {"value": 0.05},
        }
    }


def outcome(metric: str, rule: GateRule, given: dict[str, Any] | None = None) -> str:
    (result,) = check(document() if given is None else given, {metric: rule})
    assert result.metric == metric
    return result.outcome


@pytest.mark.parametrize(
    ("metric", "rule", "expected"),
    [
        ("accuracy", GateRule(min=0.93), "pass"),
        ("accuracy", GateRule(min=0.9301), "fail"),
        ("accuracy", GateRule(min=0.92, bound="lower"), "pass"),
        ("accuracy", GateRule(min=0.9201, bound="lower"), "fail"),
        ("accuracy", GateRule(max=0.93, bound="lower"), "fail"),
        ("accuracy", GateRule(max=0.94, bound="lower"), "pass"),
        ("accuracy", GateRule(warn=0.95), "warn"),
        ("accuracy", GateRule(warn=0.93), "pass"),
        ("accuracy", GateRule(warn=0.925, bound="lower"), "warn"),
        ("accuracy", GateRule(min=0.95, warn=0.99), "fail"),
        ("ece", GateRule(max=0.02), "pass"),
        ("ece", GateRule(max=0.0199), "fail"),
        ("ece", GateRule(warn=0.01), "warn"),
        ("ece", GateRule(warn=0.03), "pass"),
        ("train_val_gap", GateRule(warn=0.03), "warn"),
        ("train_val_gap", GateRule(warn=0.05), "pass"),
    ],
)
def test_bars(metric: str, rule: GateRule, expected: str) -> None:
    assert outcome(metric, rule) == expected


def test_what_cannot_be_computed_fails() -> None:
    rule = GateRule(min=0.0)
    assert outcome("acuracy", rule) == "fail"
    assert outcome("accuracy", rule, {}) == "fail"
    assert outcome("accuracy", rule, {"intent": None}) == "fail"
    assert outcome("accuracy", rule, {"intent": {"test": [1]}}) == "fail"
    for value in (None, "0.99", True, float("nan"), float("inf")):
        assert outcome("accuracy", rule, document(accuracy={"value": value})) == "fail"
    assert outcome("accuracy", rule, document(accuracy={"reason": "no rows"})) == "fail"


def test_a_bound_needs_an_interval_around_its_value() -> None:
    rule = GateRule(min=0.0, bound="lower")
    assert outcome("macro_f1", rule) == "fail"
    for low, high in ((0.95, 0.97), (0.9, 0.92), (None, 0.97), (0.9, float("nan"))):
        block = {"value": 0.93, "low": low, "high": high}
        assert outcome("accuracy", rule, document(accuracy=block)) == "fail"


def test_a_result_says_what_it_saw_and_why() -> None:
    good, bad = check(document(), {"accuracy": GateRule(min=0.9), "f1": GateRule(min=0.9)})
    assert (good.value, good.low, good.high) == (0.93, 0.92, 0.94)
    assert bad.value is None
    assert bad.reason.startswith("no such metric; known: accuracy")
    (short,) = check(document(), {"accuracy": GateRule(min=0.95)})
    assert short.reason == "0.9300 is below the least allowed, 0.95"


def test_a_warning_does_not_block_but_no_gate_at_all_does() -> None:
    rules = {"accuracy": GateRule(min=0.9), "train_val_gap": GateRule(warn=0.03)}
    results = check(document(), rules)
    assert [result.outcome for result in results] == ["pass", "warn"]
    assert passed(results)
    assert not passed(check(document(), {**rules, "ece": GateRule(max=0.01)}))
    assert not passed([])
