"""What each test of a rollout is for, as it is shown to people (O1)."""

from __future__ import annotations

from typing import Any

import msgspec

from greenlight.core import budget
from greenlight.core.answers import Copies
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import Replica
from greenlight.reporting.purposes import Bar, bars
from greenlight.reporting.underway import Underway, reached
from tests.contracts.making import rollout
from tests.core.test_verdict import LAST, POLICY, TRUST, WIN, evidence


def looked_at(policy: DecisionPolicy = POLICY, step: int = 0, **log_e: Any) -> Underway:
    return Underway(
        rollout=rollout(step=step),
        policy=policy,
        control="intent@1",
        candidate="intent@2",
        periods=[],
        evidence=evidence(**log_e),
        counts={},
        copies=Copies(),
        served=None,
        decision=None,
        alarms={},
    )


def shown(policy: DecisionPolicy = POLICY, step: int = 0, **log_e: Any) -> dict[str, Bar]:
    return {bar.test: bar for bar in bars(looked_at(policy, step, **log_e))}


def of(found: dict[str, Bar], purpose: str, *, counts: bool = True) -> set[str]:
    return {t for t, bar in found.items() if (bar.purpose, bar.counts) == (purpose, counts)}


def test_what_each_test_is_for() -> None:
    found = shown()
    words = {"quality", "early_harm", "metric:clicked", "metric:money"}
    assert of(found, "harm") == words | {"errors", "latency_p95"}
    assert of(found, "harm", counts=False) == {"intention"}
    assert of(found, "promotion") == {budget.STRONG, *budget.proofs(POLICY)}
    assert of(found, "step") == {"no_worse:step"}
    assert of(found, "trust") == {"srm", "presence"}
    assert of(found, "shown", counts=False) == {"no_worse:quality"}
    assert [bar.purpose for bar in found.values()][:2] == ["harm", "harm"], "harm stands first"
    assert "step" not in {bar.purpose for bar in shown(step=LAST["step"]).values()}


def test_where_feedback_comes_unequally_often_other_tests_count() -> None:
    found = shown(presence=TRUST, intention_better=1.5)
    assert of(found, "harm") == {"intention", "errors", "latency_p95"}
    assert found["intention_better"].purpose == "promotion"
    assert (found["intention_better"].log_e, found["intention_better"].log_threshold) == (1.5, WIN)
    assert found[budget.STRONG].purpose == "shown"


def test_trust_shows_the_highest_that_ever_was() -> None:
    """EVIDENCE: trust that is lost stays lost."""
    found = shown(srm=TRUST + 1)
    assert (found["srm"].log_e, found["srm"].log_threshold) == (TRUST + 1, TRUST)


def test_what_cannot_be_computed_and_a_drill_of_the_alarms() -> None:
    unbounded = msgspec.structs.replace(POLICY.metrics["money"], low=None, high=None)
    metrics = {**POLICY.metrics, "money": unbounded}
    drill = msgspec.structs.replace(POLICY, trigger="alarm", metrics=metrics)
    found = shown(drill)
    assert of(found, "harm") == set(), "nothing but the alarms rolls back"
    assert found["no_worse:money"].purpose == "promotion"


def test_gateways_that_have_taken_over_a_split() -> None:
    known = ({"intent": 7}, {"intent": 8}, {"intent": 6}, {"other": 9}, {})
    signs = [
        Replica(id=str(n), epochs=epochs, applied_at={}, flushed_through=0, at=0)
        for n, epochs in enumerate(known)
    ]
    assert reached(signs, "intent", 7) == 2
