"""The groups of tests on a rollout's page: what each does, as `status` says it (P2, O1)."""

from __future__ import annotations

from typing import Any

import msgspec

from greenlight.core import budget
from greenlight.core.evidence import begin
from greenlight.core.policy import DecisionPolicy
from greenlight.dashboard.evidence import Group, groups
from tests.core.test_verdict import LAST, POLICY, TRUST
from tests.reporting.test_purposes import looked_at

BY_ALARM = msgspec.structs.replace(POLICY, trigger="alarm")


def shown(policy: DecisionPolicy = POLICY, step: int = 0, **log_e: Any) -> dict[str, Group]:
    return {group.title: group for group in groups(looked_at(policy, step, **log_e))}


def of(group: Group, *, counts: bool = True) -> set[str]:
    return {test.id for test in group.tests if test.counts == counts}


def test_each_test_stands_where_it_acts() -> None:
    """P2: what a step takes is not what a promotion takes."""
    found = shown()
    assert list(found) == [
        "What would roll it back",
        "What promotes it",
        "What gives it its next step",
        "Whether the evidence can be trusted",
        "What is only shown",
    ]
    assert found["What would roll it back"].says.startswith("Any one of these")
    promotes = found["What promotes it"]
    assert of(promotes) == {budget.STRONG, *budget.proofs(POLICY)}
    assert promotes.says == (
        "At the last step it takes all of: answers are better; failures are no more; "
        "clicked is no worse; money is no worse."
    )
    assert of(found["What gives it its next step"]) == {"no_worse:step"}
    assert of(found["What is only shown"], counts=False) == {"no_worse:quality"}
    assert "What gives it its next step" not in shown(step=LAST["step"])


def test_in_a_drill_by_alarm_evidence_rolls_nothing_back() -> None:
    """O6: a test past its threshold does nothing there, and the page says what does."""
    harm = shown(BY_ALARM, errors=99.0)["What would roll it back"]
    assert harm.says.startswith("In this drill only its alarms roll it back")
    assert of(harm) == set()
    [errors] = [test for test in harm.tests if test.id == "errors"]
    assert (errors.log_e, errors.acts) == (99.0, False)
    [acting] = [t for t in shown(errors=99.0)["What would roll it back"].tests if t.id == "errors"]
    assert acting.acts


def test_where_feedback_comes_unequally_often_other_tests_count() -> None:
    """P2: then it is all exposed units that are compared, not those who spoke."""
    found = shown(presence=TRUST, intention_better=1.5)
    harm, promotes = found["What would roll it back"], found["What promotes it"]
    assert of(harm) == {"intention", "errors", "latency_p95"}
    assert "quality" in of(harm, counts=False)
    assert "intention_better" in of(promotes) and budget.STRONG not in of(promotes)
    assert promotes.says.startswith("At the last step it takes all of: fewer BAD and as many GOOD")


def test_what_cannot_be_computed_stands_with_its_reason() -> None:
    """P2: never an empty place."""
    unbounded = msgspec.structs.replace(POLICY.metrics["money"], low=None, high=None)
    policy = msgspec.structs.replace(POLICY, metrics={**POLICY.metrics, "money": unbounded})
    found = groups(msgspec.structs.replace(looked_at(policy), evidence=begin(policy)))
    gaps = {test.id: test.gap for group in found for test in group.tests if test.gap}
    assert "declare low and high" in gaps["no_worse:money"]
    assert gaps["latency_slo"] == "evidence.latency_slo_ms is not set"
