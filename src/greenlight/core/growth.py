"""When a candidate may get more traffic: what forbids it, what is missing, and what it is shown.

Widening and promoting need all of the evidence, fresh. If anything is missing the answer is to
hold, never to ship.
"""

from __future__ import annotations

from collections.abc import Mapping

from greenlight.core import budget, reasons
from greenlight.core.evidence import Evidence
from greenlight.core.policy import DecisionPolicy
from greenlight.core.reasons import listed, reached
from greenlight.core.records import SECOND
from greenlight.core.ruling import Verdict, heard_alike, hold, quality_tests, stay
from greenlight.core.situation import Situation, copies, served_share
from greenlight.core.states import Action, Variant
from greenlight.core.words import power

NEUTRAL = 1e-9
"""log E up to this is no evidence; a test that saw nothing sits at 0 but for rounding."""


def forbidden(
    situation: Situation, evidence: Evidence, policy: DecisionPolicy, now: int
) -> Verdict | None:
    """Whatever forbids both widening and promotion, the most serious first."""
    rules = policy.rollout
    if situation.paused is not None:
        return hold("paused", situation.paused)
    if situation.unapproved is not None:
        return hold("unapproved", situation.unapproved)
    if situation.window is not None:
        return hold("window", situation.window)
    if situation.complete_until is None:
        return hold("stale", "no gateway is alive, so nothing is known of the traffic")
    behind = now - situation.complete_until
    if behind > rules.stale_after:
        return hold(
            "stale",
            f"the evidence is {behind // SECOND} seconds behind: a gateway has not reported its "
            "events, or more came than one look takes",
        )
    for name, judgement in situation.alarms.items():
        if judgement != "ok":
            return hold(f"alarm_{judgement}", f"alarm {name}: {reasons.ALARM[judgement]}")
    if evidence.late_share > policy.evidence.max_late_share:
        return hold(
            "late",
            f"{evidence.late_share:.1%} of the exposures came after their cohort had closed, "
            f"{policy.evidence.max_late_share:.1%} is the most",
        )
    share = served_share(situation.arms, situation.epoch)
    if share is not None and share < rules.min_served_share:
        return hold(
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
        return stay("soaking", "this split has not been in force long enough")
    if rules.ladder[situation.step].weight == 0:
        return _uncopied(situation, evidence, policy)
    if situation.step > rules.last_step:
        return None
    exposed = {v.value: evidence.arm(v, situation.epoch).exposed for v in Variant}
    if min(exposed.values()) < rules.min_exposed:
        return stay(
            "collecting",
            f"units that met this split: {listed(exposed)}; {rules.min_exposed} of each arm "
            "are needed",
        )
    return None


def _uncopied(situation: Situation, evidence: Evidence, policy: DecisionPolicy) -> Verdict | None:
    """What copies lack before any user may meet the candidate."""
    rules, made = policy.rollout, copies(situation.arms)
    if made.made < rules.min_exposed:
        return stay(
            "collecting",
            f"copies that the candidate got: {made.made}; {rules.min_exposed} are needed",
        )
    if made.answered < rules.min_served_share * made.made:
        return hold(
            "served_share",
            f"the candidate answered {made.answered / made.made:.1%} of its copies, "
            f"{rules.min_served_share:.1%} are needed",
        )
    log_e = evidence.log_e[budget.SHADOW]
    if log_e > NEUTRAL and evidence.shadow_excess >= policy.evidence.min_error_excess:
        return _leaning(budget.SHADOW, log_e)
    return None


def grow(situation: Situation, evidence: Evidence, policy: DecisionPolicy) -> Verdict:
    """Widen, promote or wait: what is missing for it is named only if nothing else is."""
    weight = policy.rollout.ladder[situation.step + 1].weight
    if situation.step == 0 and policy.rollout.shadow:
        return Verdict(
            action=Action.WIDEN,
            code="shadowed",
            reason=f"the candidate answered its copies; now {weight:.0%} of units meet it",
        )
    last = policy.rollout.last_step
    lacking = None
    if situation.step <= last:
        check = _unproved if situation.step == last else _unready
        lacking = check(situation, evidence, policy)
    lacking = lacking or leaning(evidence, policy)
    if lacking is not None:
        return lacking
    if situation.step > last:
        return Verdict(
            action=Action.PROMOTE,
            code="held_back",
            reason="proved before, and no sign of harm while some units were held back",
        )
    if situation.step == last:
        return _proved(evidence, policy, weight)
    return Verdict(
        action=Action.WIDEN,
        code="no_harm",
        reason=f"no sign of harm at this split; the candidate's share grows to {weight:.0%}",
    )


def _proved(evidence: Evidence, policy: DecisionPolicy, weight: float) -> Verdict:
    """Promotion, or first all units but those that are held back."""
    proof, log_e, limit = _proof(evidence, policy)
    reason = f"{reasons.BETTER[proof]}: {reached(log_e, limit)}"
    if policy.rollout.holdback:
        reason += f"; {1 - weight:.0%} of units are held back for comparison"
        return Verdict(action=Action.WIDEN, code="holdback", reason=reason)
    return Verdict(action=Action.PROMOTE, code=reasons.PROMOTED[proof], reason=reason)


def _proof(evidence: Evidence, policy: DecisionPolicy) -> tuple[str, float, float]:
    """The test that carries a promotion, its log E and its threshold."""
    name = budget.main_proof(policy)
    if not heard_alike(evidence, policy):
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
            return hold("cannot_compute", f"{gap.test} cannot be computed: {gap.reason}")
    proof, log_e, limit = _proof(evidence, policy)
    if log_e < limit:
        return stay(
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
    tests = [*quality_tests(policy), "errors"]
    if not heard_alike(evidence, policy):
        tests = ["intention", "errors"]
    for test in tests:
        if log_e[test] <= NEUTRAL:
            continue
        if test == "errors" and evidence.excess(budget.ERROR) < policy.evidence.min_error_excess:
            continue
        return _leaning(test, log_e[test])
    return None


def _leaning(test: str, log_e: float) -> Verdict:
    return stay(
        "signs_of_harm",
        f"the evidence leans towards harm ({test}: E = {power(log_e)}): not enough to roll back, "
        "too much to go on",
    )


def _not_shown(test: str, log_e: float, limit: float) -> Verdict:
    name = test.partition(":")[2]
    return stay(
        "unproved",
        f"{name}: not shown to be no worse yet: E = {power(log_e)}, {power(limit)} is needed",
    )


def _collecting(outcomes: Mapping[str, int], policy: DecisionPolicy) -> Verdict:
    return stay(
        "collecting",
        f"outcomes at this split: {listed(outcomes)}; {policy.rollout.min_outcomes} of each arm "
        "are needed",
    )
