"""What a verdict is, and what the rules that come to one have in common."""

from __future__ import annotations

import msgspec

from greenlight.core import budget
from greenlight.core.evidence import Evidence
from greenlight.core.policy import DecisionPolicy
from greenlight.core.states import Action


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """An action, a short code for machines, and a reason for people."""

    action: Action
    code: str
    reason: str


def rollback(code: str, reason: str) -> Verdict:
    """The candidate goes."""
    return Verdict(action=Action.ROLLBACK, code=code, reason=reason)


def hold(code: str, reason: str) -> Verdict:
    """Something forbids more traffic."""
    return Verdict(action=Action.HOLD, code=code, reason=reason)


def stay(code: str, reason: str) -> Verdict:
    """Nothing is wrong, and something is missing."""
    return Verdict(action=Action.STAY, code=code, reason=reason)


def heard_alike(evidence: Evidence, policy: DecisionPolicy) -> bool:
    """Whether feedback comes from both arms equally often, so that it can be compared."""
    peak, limit = evidence.peaks[budget.SAME_VOICE], budget.thresholds(policy)[budget.SAME_VOICE]
    return peak < limit


def quality_tests(policy: DecisionPolicy) -> tuple[str, ...]:
    """The tests of what people say, where feedback can be trusted."""
    metrics = (test for test in budget.harm_tests(policy) if test.startswith("metric:"))
    return ("quality", "early_harm", *metrics)


def word_tests(evidence: Evidence, policy: DecisionPolicy) -> tuple[str, ...]:
    """The tests of what people say that count: where feedback comes unequally often, only the one
    over all units."""
    return quality_tests(policy) if heard_alike(evidence, policy) else ("intention",)
