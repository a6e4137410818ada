"""What comes next for a rollout, what that waits for, and what would end it meanwhile.

For people who look at it. Nothing is judged here: the verdict and the rules of growth are asked.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from greenlight.core import growth
from greenlight.core.evidence import Evidence
from greenlight.core.growth import Lack
from greenlight.core.lifecycle import phase_of
from greenlight.core.policy import DecisionPolicy, RolloutPolicy
from greenlight.core.ruling import Verdict
from greenlight.core.situation import Situation
from greenlight.core.states import Action, Phase, RolloutStatus
from greenlight.core.verdict import UNTRUSTED, decide
from greenlight.core.words import span

PROMOTION = "promotion"
"""How the last step is called."""


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a rollout's way."""

    phase: Phase
    weight: float | None
    """The candidate's share of units; None while it waits for its release window."""
    soak: int
    """How long to stay at least, in microseconds."""
    place: Literal["passed", "here", "ahead"]
    """Where the rollout is, or ended, seen from there."""


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is waited for, with a short code for machines."""

    code: str
    says: str


class Ahead(msgspec.Struct, frozen=True, kw_only=True):
    """What comes next for a rollout."""

    step: str
    """The next step; or the end that the controller's next look brings, and why."""
    waits_for: list[Wait]
    """What it waits for, the most serious first; empty: for the controller's next look alone."""
    ends: list[Wait]
    """What ends the rollout if nothing changes, and when."""


def way(status: RolloutStatus, step: int, policy: DecisionPolicy) -> list[Rung]:
    """The phases of a rollout in order, rung by rung, from the first one to the promotion.

    Args:
        status: as the store has it.
        step: its place on the ladder.
        policy: frozen at its start.
    """
    rules, last = policy.rollout, len(policy.rollout.ladder) - 1
    here = {RolloutStatus.PENDING: -1, RolloutStatus.PROMOTED: last}.get(status, step)

    def rung(place: int, phase: Phase, weight: float | None, soak: int) -> Rung:
        seen: Literal["passed", "ahead"] = "passed" if place < here else "ahead"
        return Rung(phase=phase, weight=weight, soak=soak, place="here" if place == here else seen)

    waits = policy.release_window is not None or status == RolloutStatus.PENDING
    found = [rung(-1, Phase.PENDING, None, 0)] if waits else []
    for place, it in enumerate(rules.ladder):
        running = phase_of(RolloutStatus.RUNNING, place, rules)
        phase = running if place < last else Phase.PROMOTED
        found.append(rung(place, phase, it.weight, it.soak))
    return found


def ahead(situation: Situation, evidence: Evidence, policy: DecisionPolicy, now: int) -> Ahead:
    """What comes next for a rollout that has not ended.

    Args:
        situation: where it stands, without an order.
        evidence: all of it that is known.
        policy: frozen at its start.
        now: microseconds since 1970-01-01 UTC.
    """
    rules = policy.rollout
    verdict = decide(situation, evidence, policy, now)
    if situation.pending and verdict.action != Action.INCONCLUSIVE:
        return Ahead(
            step=_share(rules, 0),
            waits_for=[_wait(lack) for lack in growth.before_beginning(situation, policy, now)],
            ends=_ends(situation, verdict, policy, now),
        )
    if verdict.action in (Action.ROLLBACK, Action.WITHDRAW, Action.INCONCLUSIVE):
        step = f"{verdict.action} ({verdict.code}): {verdict.reason}"
        return Ahead(step=step, waits_for=[], ends=[])
    waits: list[Wait] = []
    if verdict.action in (Action.HOLD, Action.STAY):
        lacks = list(growth.lacks(situation, evidence, policy, now))
        if all(lack.verdict != verdict for lack in lacks):
            waits.append(_plain(verdict))
        waits += [_wait(lack) for lack in lacks]
    return Ahead(
        step=_share(rules, situation.step + 1),
        waits_for=waits,
        ends=_ends(situation, verdict, policy, now),
    )


def _share(rules: RolloutPolicy, step: int) -> str:
    """What happens at a place on the ladder."""
    if step == len(rules.ladder) - 1:
        return PROMOTION
    weight, phase = rules.ladder[step].weight, phase_of(RolloutStatus.RUNNING, step, rules)
    if phase == Phase.SHADOW:
        return "copies in the shadow"
    held = ", the others held back" if phase == Phase.HOLDBACK else ""
    return f"{weight:.0%} of units{held}"


def _plain(verdict: Verdict) -> Wait:
    return Wait(code=verdict.code, says=verdict.reason)


def _wait(lack: Lack) -> Wait:
    return Wait(code=lack.verdict.code, says=lack.missing or lack.verdict.reason)


def _ends(situation: Situation, verdict: Verdict, policy: DecisionPolicy, now: int) -> list[Wait]:
    rules, found = policy.rollout, []
    since = situation.unreachable_since
    if since is not None and policy.trigger == "evidence":
        left = span(since + rules.breaker_max - now)
        says = f"nothing gets through to the candidate: it is rolled back in {left}"
        found.append(Wait(code="breaker", says=says))
    if verdict.action == Action.HOLD and verdict.code in UNTRUSTED:
        held = now if situation.untrusted_since is None else situation.untrusted_since
        left = span(held + rules.hold_max - now)
        says = f"the evidence cannot be trusted: the candidate is withdrawn in {left}"
        found.append(Wait(code=verdict.code, says=says))
    if situation.step <= rules.last_step:
        left = span(situation.started_at + rules.horizon - now)
        found.append(Wait(code="horizon", says=f"undecided, it ends in {left}"))
    return found
