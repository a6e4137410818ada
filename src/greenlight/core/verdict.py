"""What to do with a candidate's traffic, given the evidence. The only place that decides.

Precedence: errors > quality > inconclusive at the horizon > promote > widen > stay. Rolling back
needs no freshness of evidence: what has been shown has been shown. Widening and promoting need all
of it: a split that has soaked, evidence that is complete up to now, a candidate that answers its
own requests, and approvals that still stand. If anything is missing the answer is to hold, never
to ship.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from greenlight.core.answers import ArmSummary
from greenlight.core.evidence import HARM_TESTS, Evidence, thresholds
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import SECOND, Action, Variant
from greenlight.core.words import power

NEUTRAL = 1e-9
"""log E up to this is no evidence; a test that saw nothing sits at 0 but for rounding."""


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a rollout stands, apart from its evidence."""

    step: int
    epoch: int
    started_at: int
    soaking_since: int | None
    """When the last live gateway took over this epoch's split; None: not all have yet."""
    complete_until: int | None
    """Every event up to this moment is in the store; None: no gateway is alive."""
    arms: Sequence[ArmSummary]
    unapproved: str | None = None
    """Why the candidate may not get more traffic, if so."""


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
        _harmful(evidence, policy)
        or _out_of_time(situation, policy, now)
        or _may_not_grow(situation, evidence, policy, now)
        or _grow(situation, evidence, policy)
    )


def served_share(arms: Sequence[ArmSummary], epoch: int) -> float | None:
    """Share of the candidate's requests in an epoch that it answered itself; None: no request."""
    own = [arm for arm in arms if arm.epoch == epoch and arm.variant == Variant.CANDIDATE]
    requests = sum(arm.requests for arm in own)
    return sum(arm.served for arm in own) / requests if requests else None


def _harmful(evidence: Evidence, policy: DecisionPolicy) -> Verdict | None:
    log_e, limits = evidence.log_e, thresholds(policy)
    for test in ("errors", "quality", "early_harm"):
        if log_e[test] < limits[test]:
            continue
        if test == "errors" and error_excess(evidence) < policy.evidence.min_error_excess:
            continue
        return Verdict(
            action=Action.ROLLBACK,
            code=test,
            reason=f"{_HARM[test]}: E = {power(log_e[test])} ≥ {power(limits[test])}",
        )
    return None


_HARM = {
    "errors": "the candidate fails more often than control did at some time",
    "quality": "the candidate's answers were worse than control's at some time",
    "early_harm": "the candidate drew more BAD than control soon after answering",
}


def error_excess(evidence: Evidence) -> float:
    """Candidate's minus control's share of exposed units that met a failure, in [-1, 1].

    The difference within each epoch, weighted as by Mantel and Haenszel: pooled shares would set
    an outage of a time with few candidate units against errors of a time with many. 0 where no
    epoch has units of both arms.
    """
    total = excess = 0.0
    for epoch in sorted({int(name.partition("/")[0]) for name in evidence.counts}):
        own, other = (
            evidence.arm(variant, epoch) for variant in (Variant.CANDIDATE, Variant.CONTROL)
        )
        if not own.exposed or not other.exposed:
            continue
        weight = own.exposed * other.exposed / (own.exposed + other.exposed)
        total += weight
        excess += weight * (own.failed / own.exposed - other.failed / other.exposed)
    return excess / total if total else 0.0


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
    share = served_share(situation.arms, situation.epoch)
    if share is not None and share < rules.min_served_share:
        return _hold(
            "served_share",
            f"the candidate answered {share:.1%} of its requests itself, "
            f"{rules.min_served_share:.1%} are needed",
        )
    soak = rules.steps[situation.step].soak
    since = situation.soaking_since
    if since is None or now < since + soak:
        return _stay("soaking", "this split has not been in force long enough")
    if min(evidence.arm(v, situation.epoch).outcomes for v in Variant) < rules.min_outcomes:
        return _stay(
            "collecting",
            f"outcomes at this split: {_collected(evidence, situation.epoch)}; "
            f"{rules.min_outcomes} of each arm are needed",
        )
    return None


def _grow(situation: Situation, evidence: Evidence, policy: DecisionPolicy) -> Verdict:
    """Widen, promote or wait: what is missing for it is named only if nothing else is."""
    promotes = situation.step == policy.rollout.last_step
    log_e, limit = evidence.superiority.log_e, thresholds(policy)["superiority"]
    if promotes and log_e < limit:
        return _stay(
            "undecided",
            f"not shown to be better yet: E = {power(log_e)}, {power(limit)} is needed",
        )
    lean = _lean(evidence, policy)
    if lean is not None:
        return lean
    if promotes:
        return Verdict(
            action=Action.PROMOTE,
            code="superior",
            reason="the candidate's answers were better than control's at some time of the last "
            f"step: E = {power(log_e)} ≥ {power(limit)}",
        )
    weight = policy.rollout.steps[situation.step + 1].weight
    return Verdict(
        action=Action.WIDEN,
        code="no_harm",
        reason=f"no sign of harm at this split; the candidate's share grows to {weight:.0%}",
    )


def _lean(evidence: Evidence, policy: DecisionPolicy) -> Verdict | None:
    """Evidence of harm that is not enough to roll back but too much to go on."""
    log_e = evidence.log_e
    for test in HARM_TESTS:
        if log_e[test] <= NEUTRAL:
            continue
        if test == "errors" and error_excess(evidence) < policy.evidence.min_error_excess:
            continue
        return _stay(
            "signs_of_harm",
            f"the evidence leans towards harm ({test}: E = {power(log_e[test])}): not enough to "
            "roll back, too much to go on",
        )
    return None


def _collected(evidence: Evidence, epoch: int) -> str:
    counts = (f"{variant.value} {evidence.arm(variant, epoch).outcomes}" for variant in Variant)
    return ", ".join(counts)


def _hold(code: str, reason: str) -> Verdict:
    return Verdict(action=Action.HOLD, code=code, reason=reason)


def _stay(code: str, reason: str) -> Verdict:
    return Verdict(action=Action.STAY, code=code, reason=reason)
