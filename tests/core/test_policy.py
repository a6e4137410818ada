"""Policies check themselves: a contradiction cannot be built."""

from __future__ import annotations

import msgspec
import pytest

from greenlight.core.errors import PolicyError
from greenlight.core.policy import (
    ApprovalPolicy,
    DecisionPolicy,
    EvidencePolicy,
    GateRule,
    Policy,
    RolloutPolicy,
    Step,
)
from greenlight.core.records import DAY, MINUTE

LAST = Step(weight=1.0)


@pytest.mark.parametrize(
    "policy", [ApprovalPolicy(), RolloutPolicy(), EvidencePolicy(), DecisionPolicy()]
)
def test_the_defaults_are_sound(policy: Policy) -> None:
    assert list(policy.problems()) == []


def test_the_defaults_are_those_of_the_requirements() -> None:
    """G1, O1: ML lead and product owner; 10 % for 15 minutes, then steps to 100 %."""
    assert ApprovalPolicy().quorum == {"ml_lead": 1, "product_owner": 1}
    steps = RolloutPolicy().steps
    assert (steps[0].weight, steps[0].soak) == (0.10, 15 * MINUTE)
    assert steps[-1].weight == 1.0
    assert RolloutPolicy().last_step == len(steps) - 2 == 1
    assert (EvidencePolicy().alpha_harm, EvidencePolicy().alpha_superiority) == (0.01, 0.05)


@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [
        (GateRule, {}, "needs `min`, `max`, `warn` or `min_delta`"),
        (GateRule, {"min_delta": -1.5}, "min_delta: -1.5 is outside [-1, 1]"),
        (GateRule, {"min": 0.9, "max": 0.1}, "nothing could pass"),
        (ApprovalPolicy, {"quorum": {}}, "at least one role"),
        (ApprovalPolicy, {"quorum": {"ml_lead": 0}}, "quorum.ml_lead: 0 people"),
        (ApprovalPolicy, {"expiry": 0}, "expiry: must be longer"),
        (Step, {"weight": -0.1}, "weight: -0.1 is outside"),
        (Step, {"weight": 1.5}, "weight: 1.5 is outside"),
        (Step, {"weight": 0.5, "soak": -1}, "soak: must not"),
        (RolloutPolicy, {"steps": (LAST,)}, "at least one canary step"),
        (RolloutPolicy, {"steps": (Step(weight=0), LAST)}, "at weight 0 nobody meets"),
        (RolloutPolicy, {"shadow": -1}, "shadow: must not be negative"),
        (RolloutPolicy, {"shadow": 14 * DAY}, "shadow: must be shorter than horizon"),
        (RolloutPolicy, {"steps": ()}, "the last weight must be 1.0"),
        (RolloutPolicy, {"steps": (Step(weight=0.1), Step(weight=0.5))}, "must be 1.0"),
        (RolloutPolicy, {"steps": (Step(weight=0.5), Step(weight=0.1), LAST)}, "must rise"),
        (RolloutPolicy, {"steps": (Step(weight=0.5), Step(weight=0.5), LAST)}, "must rise"),
        (RolloutPolicy, {"horizon": 0}, "horizon: must be longer"),
        (RolloutPolicy, {"horizon": DAY}, "or nothing ever matures"),
        (RolloutPolicy, {"fast_window": 2 * DAY}, "fast_window: must not be longer"),
        (RolloutPolicy, {"grace": -1}, "grace: must not"),
        (RolloutPolicy, {"stale_after": 0}, "stale_after: must be longer"),
        (RolloutPolicy, {"min_outcomes": 0}, "min_outcomes: 0 is below 1"),
        (RolloutPolicy, {"min_served_share": 0.0}, "min_served_share"),
        (EvidencePolicy, {"alpha_harm": 0.0}, "alpha_harm: 0.0"),
        (EvidencePolicy, {"alpha_superiority": 1.0}, "alpha_superiority: 1.0"),
        (EvidencePolicy, {"error_tolerance": 0.5}, "error_tolerance"),
        (EvidencePolicy, {"min_error_excess": 1.0}, "min_error_excess"),
    ],
)
def test_a_contradiction_is_refused(
    kind: type[Policy], fields: dict[str, object], says: str
) -> None:
    with pytest.raises(PolicyError) as error:
        kind(**fields)
    assert says in str(error.value)


def test_all_contradictions_come_at_once() -> None:
    with pytest.raises(PolicyError) as error:
        RolloutPolicy(steps=(), horizon=0, min_outcomes=0)
    assert all(word in str(error.value) for word in ("steps", "horizon", "min_outcomes"))


def test_a_policy_survives_being_frozen_into_a_rollout() -> None:
    policy = DecisionPolicy(rollout=RolloutPolicy(grace=7))
    assert msgspec.convert(msgspec.to_builtins(policy), DecisionPolicy) == policy
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"rollout": {"weigth": 1}}, DecisionPolicy)


def test_the_digest_names_the_policy() -> None:
    """Its digest is on every decision, so any change of policy must change it."""
    policy = DecisionPolicy()
    assert policy.digest == DecisionPolicy().digest
    changed = DecisionPolicy(evidence=EvidencePolicy(alpha_harm=0.02))
    assert policy.digest != changed.digest
