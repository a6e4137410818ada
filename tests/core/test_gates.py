"""Gates (E6): direction-aware, and closed to whatever cannot be computed."""

from __future__ import annotations

from typing import Any

import pytest

from greenlight.core.gates import check, exit_code, passed, warned
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
        },
        "sanity": {"shuffled_labels": {"accuracy": {"value": 0.02}}},
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
        ("sanity_accuracy", GateRule(max=0.05), "pass"),
        ("sanity_accuracy", GateRule(max=0.01), "fail"),
        ("sanity_accuracy", GateRule(warn=0.01), "warn"),
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
    assert good.reason == "0.9300 clears every bar"
    (lower,) = check(document(), {"accuracy": GateRule(min=0.9, bound="lower")})
    assert lower.reason == "0.9200 clears every bar"


def test_a_warning_does_not_block_but_no_gate_at_all_does() -> None:
    rules = {"accuracy": GateRule(min=0.9), "train_val_gap": GateRule(warn=0.03)}
    results = check(document(), rules)
    assert [result.outcome for result in results] == ["pass", "warn"]
    assert passed(results)
    assert not passed(check(document(), {**rules, "ece": GateRule(max=0.01)}))
    assert not passed([])


COMPARED = {"accuracy": {"value": -0.004, "low": -0.012, "high": 0.005}}
NONE = {"none": True, "reason": "no version of this task is live"}


@pytest.mark.parametrize(
    ("live", "rule", "expected", "says"),
    [
        # compared: the point, or the end that makes passing harder
        (COMPARED, GateRule(min_delta=-0.004), "pass", "-0.0040 from the live version, at least"),
        (COMPARED, GateRule(min_delta=-0.0039), "fail", "-0.0040 from the live version, below -0"),
        (COMPARED, GateRule(min_delta=0.0), "fail", "below +0"),
        (COMPARED, GateRule(min_delta=-0.012, bound="lower"), "pass", "-0.0120 from"),
        (COMPARED, GateRule(min_delta=-0.0119, bound="lower"), "fail", "-0.0120 from"),
        ({"accuracy": {"value": 0.01}}, GateRule(min_delta=0.0), "pass", "+0.0100"),
        # no version is live
        (None, GateRule(min_delta=0.5), "pass", "nothing to compare with"),
        (NONE, GateRule(min_delta=0.5, bound="lower"), "pass", "nothing to compare with"),
        ({"none": True}, GateRule(min_delta=0.5), "pass", "nothing to compare with"),
        # one is live and could not be compared
        ({"reason": "its bundle is gone"}, GateRule(min_delta=-1.0), "fail", "its bundle is gone"),
        ({"none": False, "reason": "no"}, GateRule(min_delta=-1.0), "fail", "version: no"),
        ({"none": "yes"}, GateRule(min_delta=-1.0), "fail", "no number at live.accuracy"),
        ({}, GateRule(min_delta=-1.0), "fail", "no number at live.accuracy"),
        ([], GateRule(min_delta=-1.0), "fail", "no number at live.accuracy"),
        ("none", GateRule(min_delta=-1.0), "fail", "no number at live.accuracy"),
        ({"accuracy": {"value": "0"}}, GateRule(min_delta=-1.0), "fail", "no number"),
        ({"accuracy": {"value": float("nan")}}, GateRule(min_delta=-1.0), "fail", "no number"),
        ({"accuracy": {"value": 0.1}}, GateRule(min_delta=-1.0, bound="lower"), "fail", "interval"),
        # what says both is not believed
        ({**NONE, **COMPARED}, GateRule(min_delta=0.0), "fail", "below +0"),
        ({**NONE, "accuracy": {}}, GateRule(min_delta=-1.0), "fail", "not compared"),
    ],
)
def test_against_the_live_version(live: Any, rule: GateRule, expected: str, says: str) -> None:
    """E4, E6: the truth table of `min_delta`. An evaluation without `live` had none."""
    given = document() | ({} if live is None else {"live": live})
    level, delta = check(given, {"accuracy": rule})
    assert (level.metric, level.outcome) == ("accuracy", "pass")
    assert (delta.metric, delta.outcome) == ("accuracy_delta", expected)
    assert says in delta.reason


def test_a_null_in_the_place_of_the_live_version_is_no_absence() -> None:
    (_, delta) = check(document() | {"live": None}, {"accuracy": GateRule(min_delta=-1.0)})
    assert delta.outcome == "fail"


def test_the_level_is_held_beside_the_difference() -> None:
    """E6: better than a bad live version is not good enough, and neither alone passes."""
    given = document() | {"live": {"accuracy": {"value": 0.2, "low": 0.1, "high": 0.3}}}
    level, delta = check(given, {"accuracy": GateRule(min=0.95, min_delta=0.0)})
    assert (level.outcome, delta.outcome) == ("fail", "pass")
    assert (delta.value, delta.low, delta.high) == (0.2, 0.1, 0.3)
    assert not passed([level, delta])
    lacking = check({"live": NONE}, {"accuracy": GateRule(min_delta=0.0)})
    assert [result.outcome for result in lacking] == ["fail", "pass"]


def test_what_is_compared_and_what_is_not() -> None:
    _, delta = check(document() | {"live": COMPARED}, {"ece": GateRule(min_delta=0.0)})
    assert (delta.metric, delta.outcome) == ("ece_delta", "fail")
    assert delta.reason == (
        "ece is not compared with the live version; these are: accuracy, exact_match, "
        "token_micro_f1, agreement, overlap"
    )


@pytest.mark.parametrize(
    ("rules", "lenient", "strict"),
    [
        ({"accuracy": GateRule(min=0.9)}, 0, 0),
        ({"accuracy": GateRule(min=0.9), "train_val_gap": GateRule(warn=0.03)}, 0, 3),
        ({"accuracy": GateRule(min=0.99), "train_val_gap": GateRule(warn=0.03)}, 1, 1),
        ({}, 1, 1),
    ],
)
def test_the_exit_code_tells(rules: dict[str, GateRule], lenient: int, strict: int) -> None:
    """E6"""
    results = check(document(), rules)
    assert exit_code(results) == lenient
    assert exit_code(results, fail_on_warn=True) == strict
    assert warned(results) == ("train_val_gap" in rules)


WARNING = {"metric": "train_val_gap", "value": 0.05, "limit": 0.03, "reason": "overfit"}


def test_what_the_evaluation_warns_of_is_shown_and_blocks_nothing() -> None:
    """T7, E6: also where no gate asks."""
    warning = {**document(), "warnings": [WARNING]}
    first, second = check(warning, {"accuracy": GateRule(min=0.9)})
    assert (first.metric, first.outcome) == ("accuracy", "pass")
    assert (second.metric, second.outcome, second.reason) == ("train_val_gap", "warn", "overfit")
    assert second.value == 0.05
    assert passed([first, second])
    (looser, shown) = check(warning, {"train_val_gap": GateRule(max=0.5)})
    assert (looser.outcome, shown.outcome) == ("pass", "warn")
    (own,) = check(warning, {"train_val_gap": GateRule(warn=0.04)})
    assert own.outcome == "warn"
    (fails,) = check(warning, {"train_val_gap": GateRule(max=0.01)})
    assert fails.outcome == "fail"


def test_a_warning_opens_no_gate() -> None:
    """Without a gate nothing passes, however much is warned of."""
    results = check({**document(), "warnings": [WARNING]}, {})
    assert results == []
    assert not passed(results)
