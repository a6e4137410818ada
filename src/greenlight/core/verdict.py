"""What to do with a candidate's traffic, given the evidence. The only place that decides.

Precedence, highest first; the first that applies is the verdict:

| rule                                                         | verdict                       |
|--------------------------------------------------------------|-------------------------------|
| somebody said so                                             | what they said                |
| nothing gets through to the candidate, but to control        | ROLLBACK `breaker`            |
| more of its units meet failures, slow answers                | ROLLBACK `errors`, `latency_…`|
| a declared alarm: it breaches and control does not           | ROLLBACK `alarm`              |
| the split, the feedback or who gives it cannot be trusted    | HOLD, in the end WITHDRAW     |
| its answers are worse                                        | ROLLBACK `quality`, …         |
| the horizon has passed                                       | INCONCLUSIVE                  |
| approval, freshness, served share, an alarm forbid growth    | HOLD                          |
| in the shadow, copies enough were answered as they should be  | WIDEN                         |
| at the last step, better and no worse in everything else     | PROMOTE                       |
| before it, soaked, met by enough and no worse                | WIDEN                         |
| otherwise                                                    | STAY                          |

Rolling back needs no freshness of evidence: what has been shown has been shown. Widening and
promoting need all of it. If anything is missing the answer is to hold, never to ship.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from greenlight.core import budget, reasons
from greenlight.core.evidence import Evidence
from greenlight.core.policy import DecisionPolicy
from greenlight.core.reasons import harm, listed, reached
from greenlight.core.records import SECOND
from greenlight.core.situation import Situation, copies, served_share
from greenlight.core.states import Action, Variant
from greenlight.core.words import power

NEUTRAL = 1e-9
"""log E up to this is no evidence; a test that saw nothing sits at 0 but for rounding."""

LOUD = 5
"""So many outcomes make a voice, however few there are in all."""

UNTRUSTED = ("srm", "concentration", "presence")
"""Codes of a hold that ends in withdrawal if it lasts."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """An action, a short code for machines, and a reason for people."""

    action: Action
    code: str
    reason: str


def decide(situation: Situation, evidence: Evidence, policy: DecisionPolicy, now: int) -> Verdict:
    """Judge one moment of a running rollout.

    Args:
        situation: the rollout's step, epoch and traffic.
        evidence: the fold of its journal.
        policy: the policy frozen at its start.
        now: microseconds since 1970-01-01 UTC.
    """
    return (
        _ordered(situation)
        or _unreachable(situation, policy, now)
        or _failing(evidence, policy)
        or _alarmed(situation)
        or _untrusted(situation, evidence, policy, now)
        or _worse(evidence, policy)
        or _out_of_time(situation, policy, now)
        or _may_not_grow(situation, evidence, policy, now)
        or _grow(situation, evidence, policy)
    )


def _ordered(situation: Situation) -> Verdict | None:
    order = situation.order
    if order is None:
        return None
    return Verdict(action=order.action, code="order", reason=f"{order.by}: {order.why}")


def _unreachable(situation: Situation, policy: DecisionPolicy, now: int) -> Verdict | None:
    since = situation.unreachable_since
    if since is None or now - since <= policy.rollout.breaker_max:
        return None
    return _rollback(
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
            return _rollback(test, f"{harm(test)}: {reached(log_e[test], limits[test])}")
    shadow = budget.SHADOW
    if log_e.get(shadow, 0.0) >= limits.get(shadow, math.inf) and (
        evidence.shadow_excess >= policy.evidence.min_error_excess
    ):
        return _rollback(shadow, f"{harm(shadow)}: {reached(log_e[shadow], limits[shadow])}")
    return None


def _alarmed(situation: Situation) -> Verdict | None:
    for name, judgement in situation.alarms.items():
        if judgement == "rollback":
            return _rollback("alarm", f"alarm {name}: the candidate breaches it, control does not")
    return None


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
    return _hold(code, reason)


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
    if _heard_alike(evidence, policy):
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


def _heard_alike(evidence: Evidence, policy: DecisionPolicy) -> bool:
    peak, limit = evidence.peaks[budget.SAME_VOICE], budget.thresholds(policy)[budget.SAME_VOICE]
    return peak < limit


def _worse(evidence: Evidence, policy: DecisionPolicy) -> Verdict | None:
    log_e, limits = evidence.log_e, budget.thresholds(policy)
    tests = _quality_tests(policy) if _heard_alike(evidence, policy) else ("intention",)
    for test in tests:
        if log_e[test] >= limits[test]:
            return _rollback(test, f"{harm(test)}: {reached(log_e[test], limits[test])}")
    return None


def _quality_tests(policy: DecisionPolicy) -> tuple[str, ...]:
    """The tests of what people say, where feedback can be trusted."""
    metrics = (test for test in budget.harm_tests(policy) if test.startswith("metric:"))
    return ("quality", "early_harm", *metrics)


def _out_of_time(situation: Situation, policy: DecisionPolicy, now: int) -> Verdict | None:
    if now < situation.started_at + policy.rollout.horizon:
        return None
    return Verdict(
        action=Action.INCONCLUSIVE,
        code="horizon",
        reason="the horizon has passed without a decision; the candidate's share goes to 0 and "
        "a person decides",
    )


def _may_not_grow(
    situation: Situation, evidence: Evidence, policy: DecisionPolicy, now: int
) -> Verdict | None:
    """Whatever forbids both widening and promotion, the most serious first."""
    rules = policy.rollout
    if situation.paused is not None:
        return _hold("paused", situation.paused)
    if situation.unapproved is not None:
        return _hold("unapproved", situation.unapproved)
    if situation.complete_until is None:
        return _hold("stale", "no gateway is alive, so nothing is known of the traffic")
    behind = now - situation.complete_until
    if behind > rules.stale_after:
        return _hold(
            "stale",
            f"the evidence is {behind // SECOND} seconds behind: a gateway has not reported its "
            "events, or more came than one look takes",
        )
    for name, judgement in situation.alarms.items():
        if judgement != "ok":
            return _hold(f"alarm_{judgement}", f"alarm {name}: {reasons.ALARM[judgement]}")
    if evidence.late_share > policy.evidence.max_late_share:
        return _hold(
            "late",
            f"{evidence.late_share:.1%} of the exposures came after their cohort had closed, "
            f"{policy.evidence.max_late_share:.1%} is the most",
        )
    share = served_share(situation.arms, situation.epoch)
    if share is not None and share < rules.min_served_share:
        return _hold(
            "served_share",
            f"the candidate answered {share:.1%} of its requests itself, "
            f"{rules.min_served_share:.1%} are needed",
        )
    return _too_early(situation, evidence, policy, now)


def _too_early(
    situation: Situation, evidence: Evidence, policy: DecisionPolicy, now: int
) -> Verdict | None:
    rules = policy.rollout
    soak = rules.ladder[situation.step].soak
    since = situation.soaking_since
    if since is None or now < since + soak:
        return _stay("soaking", "this split has not been in force long enough")
    if rules.ladder[situation.step].weight == 0:
        return _uncopied(situation, evidence, policy)
    exposed = {v.value: evidence.arm(v, situation.epoch).exposed for v in Variant}
    if min(exposed.values()) < rules.min_exposed:
        return _stay(
            "collecting",
            f"units that met this split: {listed(exposed)}; {rules.min_exposed} of each arm "
            "are needed",
        )
    return None


def _uncopied(situation: Situation, evidence: Evidence, policy: DecisionPolicy) -> Verdict | None:
    """What copies lack before any user may meet the candidate."""
    rules, made = policy.rollout, copies(situation.arms)
    if made.made < rules.min_exposed:
        return _stay(
            "collecting",
            f"copies that the candidate got: {made.made}; {rules.min_exposed} are needed",
        )
    if made.answered < rules.min_served_share * made.made:
        return _hold(
            "served_share",
            f"the candidate answered {made.answered / made.made:.1%} of its copies, "
            f"{rules.min_served_share:.1%} are needed",
        )
    log_e = evidence.log_e[budget.SHADOW]
    if log_e > NEUTRAL and evidence.shadow_excess >= policy.evidence.min_error_excess:
        return _leaning(budget.SHADOW, log_e)
    return None


def _grow(situation: Situation, evidence: Evidence, policy: DecisionPolicy) -> Verdict:
    """Widen, promote or wait: what is missing for it is named only if nothing else is."""
    weight = policy.rollout.ladder[situation.step + 1].weight
    if situation.step == 0 and policy.rollout.shadow:
        return Verdict(
            action=Action.WIDEN,
            code="shadowed",
            reason=f"the candidate answered its copies; now {weight:.0%} of units meet it",
        )
    promotes = situation.step == policy.rollout.last_step
    check = _unproved if promotes else _unready
    lacking = check(situation, evidence, policy)
    if lacking is not None:
        return lacking
    lean = leaning(evidence, policy)
    if lean is not None:
        return lean
    if promotes:
        proof, log_e, limit = _proof(evidence, policy)
        return Verdict(
            action=Action.PROMOTE,
            code=reasons.PROMOTED[proof],
            reason=f"{reasons.BETTER[proof]}: {reached(log_e, limit)}",
        )
    return Verdict(
        action=Action.WIDEN,
        code="no_harm",
        reason=f"no sign of harm at this split; the candidate's share grows to {weight:.0%}",
    )


def _proof(evidence: Evidence, policy: DecisionPolicy) -> tuple[str, float, float]:
    """The test that carries a promotion, its log E and its threshold."""
    name = budget.main_proof(policy)
    if not _heard_alike(evidence, policy):
        name = "intention_better"
    limit = budget.thresholds(policy)["superiority"]
    return name, evidence.log_e[name], limit


def _unproved(situation: Situation, evidence: Evidence, policy: DecisionPolicy) -> Verdict | None:
    """What promotion lacks."""
    outcomes = {v.value: evidence.arm(v, situation.epoch).outcomes for v in Variant}
    if min(outcomes.values()) < policy.rollout.min_outcomes:
        return _collecting(outcomes, policy)
    for gap in budget.missing(policy):
        if gap.test in budget.proofs(policy):
            return _hold("cannot_compute", f"{gap.test} cannot be computed: {gap.reason}")
    proof, log_e, limit = _proof(evidence, policy)
    if log_e < limit:
        return _stay(
            "undecided",
            f"{reasons.UNPROVED[proof]}: E = {power(log_e)}, {power(limit)} is needed",
        )
    for test in budget.proofs(policy):
        if evidence.log_e[test] < limit:
            return _not_shown(test, evidence.log_e[test], limit)
    return None


def _unready(situation: Situation, evidence: Evidence, policy: DecisionPolicy) -> Verdict | None:
    """What the next step lacks."""
    limits, log_e = budget.thresholds(policy), evidence.log_e
    errors = "no_worse:errors"
    if log_e[errors] < limits[errors]:
        return _not_shown(errors, log_e[errors], limits[errors])
    outcomes = {v.value: evidence.arm(v, situation.epoch).outcomes for v in Variant}
    enough = min(outcomes.values()) >= policy.rollout.min_outcomes
    if enough or log_e["no_worse:step"] >= limits["no_worse:step"]:
        return None
    return _collecting(outcomes, policy)


def leaning(evidence: Evidence, policy: DecisionPolicy) -> Verdict | None:
    """STAY where there is evidence of harm: not enough to roll back, too much to go on."""
    log_e = evidence.log_e
    tests = [*_quality_tests(policy), "errors"]
    if not _heard_alike(evidence, policy):
        tests = ["intention", "errors"]
    for test in tests:
        if log_e[test] <= NEUTRAL:
            continue
        if test == "errors" and evidence.excess(budget.ERROR) < policy.evidence.min_error_excess:
            continue
        return _leaning(test, log_e[test])
    return None


def _leaning(test: str, log_e: float) -> Verdict:
    return _stay(
        "signs_of_harm",
        f"the evidence leans towards harm ({test}: E = {power(log_e)}): not enough to roll back, "
        "too much to go on",
    )


def _event_test(kind: str) -> str:
    return "errors" if kind == budget.ERROR else kind


def _not_shown(test: str, log_e: float, limit: float) -> Verdict:
    name = test.partition(":")[2]
    return _stay(
        "unproved",
        f"{name}: not shown to be no worse yet: E = {power(log_e)}, {power(limit)} is needed",
    )


def _collecting(outcomes: Mapping[str, int], policy: DecisionPolicy) -> Verdict:
    return _stay(
        "collecting",
        f"outcomes at this split: {listed(outcomes)}; {policy.rollout.min_outcomes} of each arm "
        "are needed",
    )


def _rollback(code: str, reason: str) -> Verdict:
    return Verdict(action=Action.ROLLBACK, code=code, reason=reason)


def _hold(code: str, reason: str) -> Verdict:
    return Verdict(action=Action.HOLD, code=code, reason=reason)


def _stay(code: str, reason: str) -> Verdict:
    return Verdict(action=Action.STAY, code=code, reason=reason)
