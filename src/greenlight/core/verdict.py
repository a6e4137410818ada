"""What to do with a candidate's traffic, given the evidence. The only place that decides.

Precedence, highest first; the first that applies is the verdict:

| rule                                                         | verdict                       |
|--------------------------------------------------------------|-------------------------------|
| somebody, or the kill switch, said so                        | what they said                |
| control itself lets nothing through                          | HOLD `control_down`           |
| nothing gets through to the candidate, but to control        | ROLLBACK `breaker`            |
| more of its units meet failures, slow answers                | ROLLBACK `errors`, `latency_…`|
| a declared alarm: it breaches and control does not           | ROLLBACK `alarm`              |
| the split, the feedback or who gives it cannot be trusted    | HOLD, in the end WITHDRAW     |
| its answers are worse                                        | ROLLBACK `quality`, …         |
| the horizon has passed                                       | INCONCLUSIVE                  |
| a declared alarm: control breaches it as well                | HOLD `alarm_page`             |
| approval, freshness, served share, an alarm forbid growth    | HOLD                          |
| in the shadow, copies enough were answered as they should be  | WIDEN                         |
| at the last step, better and no worse in everything else     | PROMOTE                       |
| before it, soaked, met by enough and no worse                | WIDEN                         |
| otherwise                                                    | STAY                          |

A drill that rehearses the alarms (`policy.trigger`) leaves out what rolls back by evidence.

Rolling back needs no freshness of evidence: what has been shown has been shown. Widening and
promoting need all of it. If anything is missing the answer is to hold, never to ship.
"""

from __future__ import annotations

import math

from greenlight.core import budget, growth
from greenlight.core.evidence import Evidence
from greenlight.core.policy import DecisionPolicy
from greenlight.core.reasons import alarms, harm, reached
from greenlight.core.records import SECOND
from greenlight.core.ruling import Verdict, heard_alike, hold, rollback, word_tests
from greenlight.core.situation import Situation
from greenlight.core.states import Action, Variant

LOUD = 5
"""So many outcomes make a voice, however few there are in all."""

UNTRUSTED = ("srm", "concentration", "presence")
"""Codes of a hold that ends in withdrawal if it lasts."""


def decide(situation: Situation, evidence: Evidence, policy: DecisionPolicy, now: int) -> Verdict:
    """Judge one moment of a running rollout.

    Args:
        situation: the rollout's step, epoch and traffic.
        evidence: the fold of its journal.
        policy: the policy frozen at its start.
        now: microseconds since 1970-01-01 UTC.
    """
    by_evidence = policy.trigger == "evidence"
    return (
        _ordered(situation)
        or _without_control(situation)
        or (_unreachable(situation, policy, now) if by_evidence else None)
        or (_failing(evidence, policy) if by_evidence else None)
        or _alarmed(situation)
        or _untrusted(situation, evidence, policy, now)
        or (_worse(evidence, policy) if by_evidence else None)
        or _out_of_time(situation, policy, now)
        or growth.forbidden(situation, evidence, policy, now)
        or growth.grow(situation, evidence, policy)
    )


def _ordered(situation: Situation) -> Verdict | None:
    order = situation.order
    if order is None:
        return None
    return Verdict(action=order.action, code=order.code, reason=f"{order.by}: {order.why}")


def _without_control(situation: Situation) -> Verdict | None:
    """Traffic goes back to what answers: control is looked at before, not after."""
    if situation.control_down_since is None:
        return None
    return hold(
        "control_down",
        "on every gateway nothing gets through to control: traffic that went back to it would "
        "not be answered; a person decides (rollback and abort work)",
    )


def _unreachable(situation: Situation, policy: DecisionPolicy, now: int) -> Verdict | None:
    since = situation.unreachable_since
    if since is None or now - since <= policy.rollout.breaker_max:
        return None
    return rollback(
        "breaker",
        f"for {(now - since) // SECOND} seconds nothing has got through to the candidate, "
        "while control is healthy",
    )


def _failing(evidence: Evidence, policy: DecisionPolicy) -> Verdict | None:
    log_e, limits = evidence.log_e, budget.thresholds(policy)
    for kind in budget.event_kinds(policy):
        test = _event_test(kind)
        if (
            log_e[test] >= limits[test]
            and evidence.excess(kind) >= policy.evidence.min_error_excess
        ):
            return rollback(test, f"{harm(test)}: {reached(log_e[test], limits[test])}")
    shadow = budget.SHADOW
    if log_e.get(shadow, 0.0) >= limits.get(shadow, math.inf) and (
        evidence.shadow_excess >= policy.evidence.min_error_excess
    ):
        return rollback(shadow, f"{harm(shadow)}: {reached(log_e[shadow], limits[shadow])}")
    return None


def _alarmed(situation: Situation) -> Verdict | None:
    said = alarms(situation.alarms, "rollback")
    return rollback("alarm", said) if said else None


def _untrusted(
    situation: Situation, evidence: Evidence, policy: DecisionPolicy, now: int
) -> Verdict | None:
    """Evidence that may not be used; None where it may, or where the doubt itself is evidence."""
    code, reason = _doubt(evidence, policy)
    if code is None:
        return None
    since = situation.untrusted_since
    if since is not None and now - since >= policy.rollout.hold_max:
        return Verdict(
            action=Action.WITHDRAW,
            code=code,
            reason=f"{reason}; it has been so for {(now - since) // SECOND} seconds. The candidate "
            "is withdrawn, which is no word on whether it is any good",
        )
    return hold(code, reason)


def _doubt(evidence: Evidence, policy: DecisionPolicy) -> tuple[str | None, str]:
    limits, peaks = budget.thresholds(policy), evidence.peaks
    if peaks[budget.SAME_SPLIT] >= limits[budget.SAME_SPLIT]:
        return "srm", (
            "units are not divided between the arms as they should be: "
            f"{reached(peaks[budget.SAME_SPLIT], limits[budget.SAME_SPLIT])}"
        )
    outcomes = sum(evidence.arm(variant).outcomes for variant in Variant)
    share = evidence.sources.most / outcomes if outcomes else 0.0
    if evidence.sources.most >= LOUD and share > policy.evidence.max_source_share:
        return "concentration", (
            f"one reviewer gave {share:.0%} of the outcomes, "
            f"{policy.evidence.max_source_share:.0%} is the most"
        )
    if heard_alike(evidence, policy):
        return None, ""
    log_e = evidence.log_e
    decided = log_e["intention"] >= limits["intention"]
    if decided or log_e["intention_better"] >= limits["superiority"]:
        return None, ""
    return "presence", (
        "feedback comes from the arms unequally often, so that what it says of them cannot be "
        "compared, and over all exposed units neither arm is shown to be better: "
        f"{reached(peaks[budget.SAME_VOICE], limits[budget.SAME_VOICE])}"
    )


def _worse(evidence: Evidence, policy: DecisionPolicy) -> Verdict | None:
    log_e, limits = evidence.log_e, budget.thresholds(policy)
    for test in word_tests(evidence, policy):
        if log_e[test] >= limits[test]:
            return rollback(test, f"{harm(test)}: {reached(log_e[test], limits[test])}")
    return None


def _out_of_time(situation: Situation, policy: DecisionPolicy, now: int) -> Verdict | None:
    proved = situation.step > policy.rollout.last_step
    if proved or now < situation.started_at + policy.rollout.horizon:
        return None
    return Verdict(
        action=Action.INCONCLUSIVE,
        code="horizon",
        reason="the horizon has passed without a decision; the candidate's share goes to 0 and "
        "a person decides",
    )


def _event_test(kind: str) -> str:
    return "errors" if kind == budget.ERROR else kind
