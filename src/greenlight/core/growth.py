"""When a candidate may get more traffic: what forbids it, what is missing, and what it is shown.

Widening and promoting need all of the evidence, fresh. If anything is missing the answer is to
hold, never to ship.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from greenlight.core import budget, reasons
from greenlight.core.alarms import DOUBTS, Judgement
from greenlight.core.evidence import Evidence
from greenlight.core.policy import DecisionPolicy
from greenlight.core.reasons import listed, reached
from greenlight.core.records import SECOND
from greenlight.core.ruling import Verdict, heard_alike, hold, stay, word_tests
from greenlight.core.situation import Situation, copies, served_share
from greenlight.core.states import Action, Variant
from greenlight.core.words import power, span

NEUTRAL = 1e-9
"""log E up to this is no evidence; a test that saw nothing sits at 0 but for rounding."""


class Lack(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a candidate's next step waits for."""

    verdict: Verdict
    """What it comes to where nothing more serious is missing."""
    missing: str = ""
    """How much is missing at this moment, where that says more than the verdict's reason."""


def lacks(
    situation: Situation, evidence: Evidence, policy: DecisionPolicy, now: int
) -> Iterator[Lack]:
    """Everything that keeps a candidate from its next step; the first of them is the verdict."""
    yield from _forbidding(situation, evidence, policy, now)
    yield from _lacking(situation, evidence, policy)


def before_beginning(situation: Situation, policy: DecisionPolicy, now: int) -> Iterator[Lack]:
    """Everything that keeps a pending rollout from beginning.

    A controller whose clock has jumped into a release window must not let anything begin: the
    gateways have to be there, and their clocks to agree with its own.
    """
    yield from _withheld(situation)
    for verdict in _stale(situation, policy, now):
        yield Lack(verdict=verdict)


def _withheld(situation: Situation) -> Iterator[Lack]:
    """What people and the clock have against more traffic, whatever the evidence."""
    if situation.paused is not None:
        yield Lack(verdict=hold("paused", situation.paused))
    if situation.unapproved is not None:
        yield Lack(verdict=hold("unapproved", situation.unapproved))
    if situation.window is not None:
        yield Lack(verdict=hold("window", situation.window))


def forbidden(
    situation: Situation, evidence: Evidence, policy: DecisionPolicy, now: int
) -> Verdict | None:
    """Whatever forbids both widening and promotion, the most serious first."""
    return _first(_forbidding(situation, evidence, policy, now))


def _first(found: Iterator[Lack]) -> Verdict | None:
    lack = next(found, None)
    return None if lack is None else lack.verdict


def _forbidding(
    situation: Situation, evidence: Evidence, policy: DecisionPolicy, now: int
) -> Iterator[Lack]:
    for verdict in _alarmed(situation, "page"):
        yield Lack(verdict=verdict)
    yield from _withheld(situation)
    for verdict in _unfit(situation, evidence, policy, now):
        yield Lack(verdict=verdict)
    yield from _too_early(situation, evidence, policy, now)


def _alarmed(situation: Situation, judgement: Judgement) -> Iterator[Verdict]:
    """A hold for all the alarms that are judged so, if any is."""
    said = reasons.alarms(situation.alarms, judgement)
    if said:
        yield hold(f"alarm_{judgement}", said)


def _stale(situation: Situation, policy: DecisionPolicy, now: int) -> Iterator[Verdict]:
    """A hold where what the gateways have reported is not of now."""
    stale_after = policy.rollout.stale_after
    if situation.complete_until is None:
        yield hold("stale", "no gateway is alive, so nothing is known of the traffic")
    elif (behind := now - situation.complete_until) > stale_after:
        yield hold(
            "stale",
            f"the evidence is {behind // SECOND} seconds behind: a gateway has not reported its "
            "events, or more came than one look takes",
        )
    elif -behind > stale_after:
        yield hold(
            "stale",
            f"the evidence is {-behind // SECOND} seconds ahead of this controller's clock, so "
            "that nobody can say how old it is: set the clocks right",
        )


def _unfit(
    situation: Situation, evidence: Evidence, policy: DecisionPolicy, now: int
) -> Iterator[Verdict]:
    """What is wrong with the traffic, or with what is known of it."""
    yield from _stale(situation, policy, now)
    for doubt in DOUBTS:
        yield from _alarmed(situation, doubt)
    if evidence.late_share > policy.evidence.max_late_share:
        yield hold(
            "late",
            f"{evidence.late_share:.1%} of the exposures came after their cohort had closed, "
            f"{policy.evidence.max_late_share:.1%} is the most",
        )
    share = served_share(situation.arms, situation.epoch)
    if share is not None and share < policy.rollout.min_served_share:
        yield hold(
            "served_share",
            f"the candidate answered {share:.1%} of its requests itself, "
            f"{policy.rollout.min_served_share:.1%} are needed",
        )
    if situation.drill is not None:
        # Before anything that only takes time, so that no order can spare it either.
        yield hold("drill", f"a drill never gets more traffic ({situation.drill})")


def _too_early(
    situation: Situation, evidence: Evidence, policy: DecisionPolicy, now: int
) -> Iterator[Lack]:
    rules = policy.rollout
    soak = rules.ladder[situation.step].soak
    since = situation.soaking_since
    if since is None or now < since + soak:
        left = "" if since is None else f"this split stays for {span(since + soak - now)} more"
        verdict = stay("soaking", "this split has not been in force long enough")
        yield Lack(verdict=verdict, missing=left or "every gateway takes this split over")
    if rules.ladder[situation.step].weight == 0:
        yield from _uncopied(situation, evidence, policy)
    elif situation.step <= rules.last_step:
        exposed = {v.value: evidence.arm(v, situation.epoch).exposed for v in Variant}
        if min(exposed.values()) < rules.min_exposed:
            verdict = stay(
                "collecting",
                f"units that met this split: {listed(exposed)}; {rules.min_exposed} of each arm "
                "are needed",
            )
            yield Lack(verdict=verdict, missing=_few(exposed, rules.min_exposed, "units"))


def _uncopied(situation: Situation, evidence: Evidence, policy: DecisionPolicy) -> Iterator[Lack]:
    """What copies lack before any user may meet the candidate."""
    rules, made = policy.rollout, copies(situation.arms)
    if made.made < rules.min_exposed:
        verdict = stay(
            "collecting",
            f"copies that the candidate got: {made.made}; {rules.min_exposed} are needed",
        )
        yield Lack(verdict=verdict, missing=f"{made.made} of {rules.min_exposed} copies")
    if made.answered < rules.min_served_share * made.made:
        verdict = hold(
            "served_share",
            f"the candidate answered {made.answered / made.made:.1%} of its copies, "
            f"{rules.min_served_share:.1%} are needed",
        )
        yield Lack(verdict=verdict)
    log_e = evidence.log_e[budget.SHADOW]
    if log_e > NEUTRAL and evidence.shadow_excess >= policy.evidence.min_error_excess:
        yield Lack(verdict=_leaning(budget.SHADOW, log_e))


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
    lacking = _first(_lacking(situation, evidence, policy))
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


def _lacking(situation: Situation, evidence: Evidence, policy: DecisionPolicy) -> Iterator[Lack]:
    """What the evidence lacks for the next step; a step out of the shadow takes none."""
    last = policy.rollout.last_step
    if situation.step == 0 and policy.rollout.shadow:
        return
    if situation.step <= last:
        check = _unproved if situation.step == last else _unready
        yield from check(situation, evidence, policy)
    lean = leaning(evidence, policy)
    if lean is not None:
        yield Lack(verdict=lean)


def _proved(evidence: Evidence, policy: DecisionPolicy, weight: float) -> Verdict:
    """Promotion, or first all units but those that are held back."""
    proof, log_e, limit = carrying(evidence, policy)
    reason = f"{reasons.BETTER[proof]}: {reached(log_e, limit)}"
    if policy.rollout.holdback:
        reason += f"; {1 - weight:.0%} of units are held back for comparison"
        return Verdict(action=Action.WIDEN, code="holdback", reason=reason)
    return Verdict(action=Action.PROMOTE, code=reasons.PROMOTED[proof], reason=reason)


def carrying(evidence: Evidence, policy: DecisionPolicy) -> tuple[str, float, float]:
    """The test that carries a promotion, its log E and its threshold."""
    name = budget.main_proof(policy)
    if not heard_alike(evidence, policy):
        name = "intention_better"
    limit = budget.thresholds(policy)["superiority"]
    return name, evidence.log_e[name], limit


def _unproved(situation: Situation, evidence: Evidence, policy: DecisionPolicy) -> Iterator[Lack]:
    """What promotion lacks."""
    outcomes = {v.value: evidence.arm(v, situation.epoch).outcomes for v in Variant}
    if min(outcomes.values()) < policy.rollout.min_outcomes:
        yield _collecting(outcomes, policy)
    lost = {gap.test: gap.reason for gap in budget.missing(policy)}
    for test in budget.proofs(policy):
        if test in lost:
            reason = f"{test} cannot be computed: {lost[test]}"
            yield Lack(verdict=hold("cannot_compute", reason))
    proof, log_e, limit = carrying(evidence, policy)
    if log_e < limit:
        reason = f"{reasons.UNPROVED[proof]}: E = {power(log_e)}, {power(limit)} is needed"
        yield Lack(verdict=stay("undecided", reason))
    for test in budget.proofs(policy):
        if test not in lost and evidence.log_e[test] < limit:
            yield _not_shown(test, evidence.log_e[test], limit)


def _unready(situation: Situation, evidence: Evidence, policy: DecisionPolicy) -> Iterator[Lack]:
    """What the next step lacks."""
    limits, log_e = budget.thresholds(policy), evidence.log_e
    errors, step = "no_worse:errors", "no_worse:step"
    if log_e[errors] < limits[errors]:
        yield _not_shown(errors, log_e[errors], limits[errors])
    outcomes = {v.value: evidence.arm(v, situation.epoch).outcomes for v in Variant}
    enough = min(outcomes.values()) >= policy.rollout.min_outcomes
    if not enough and log_e[step] < limits[step]:
        instead = (
            f", or proof that its answers are no worse by {policy.rollout.step_margin:.0%}: "
            f"E = {power(log_e[step])}, {power(limits[step])} is needed"
        )
        yield _collecting(outcomes, policy, instead)


def leaning(evidence: Evidence, policy: DecisionPolicy) -> Verdict | None:
    """STAY where there is evidence of harm: not enough to roll back, too much to go on."""
    log_e = evidence.log_e
    for test in (*word_tests(evidence, policy), "errors"):
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


def _not_shown(test: str, log_e: float, limit: float) -> Lack:
    name = test.partition(":")[2]
    verdict = stay(
        "unproved",
        f"{name}: not shown to be no worse yet: E = {power(log_e)}, {power(limit)} is needed",
    )
    return Lack(verdict=verdict)


def _collecting(outcomes: Mapping[str, int], policy: DecisionPolicy, instead: str = "") -> Lack:
    needed = policy.rollout.min_outcomes
    verdict = stay(
        "collecting",
        f"outcomes at this split: {listed(outcomes)}; {needed} of each arm are needed",
    )
    return Lack(verdict=verdict, missing=_few(outcomes, needed, "outcomes") + instead)


def _few(counts: Mapping[str, int], needed: int, what: str) -> str:
    """The arms that have too few."""
    return ", ".join(
        f"{count} of {needed} {what} of {arm}" for arm, count in counts.items() if count < needed
    )
