"""Orders of people to a running rollout (REQUIREMENTS O4): what may be said, by whom, and when.

A person may always take traffic away, and may give it only where neither approval, trust nor
evidence of harm stands against it: an order spares waiting, and in the end the proof that the
candidate is better, never the proof that it is no worse.

| order    | who                                    | needs                                      |
|----------|----------------------------------------|--------------------------------------------|
| rollback | anybody in `[people]`                  | nothing                                    |
| abort    | anybody in `[people]`                  | nothing; it is no word on the candidate    |
| pause    | anybody in `[people]`                  | a rollout that is not paused               |
| resume   | a role of the quorum                   | a rollout that is paused                   |
| widen    | a role of the quorum, not who began it | no reason to hold, no sign of harm         |
| promote  | a role of the quorum, not who began it | the last step; everything but being better |

What is pending has no traffic yet: it can only be rolled back or aborted.
"""

from __future__ import annotations

from collections.abc import Collection

from greenlight.core import budget
from greenlight.core.approval import Person
from greenlight.core.evidence import Evidence
from greenlight.core.growth import leaning
from greenlight.core.policy import DecisionPolicy
from greenlight.core.ruling import Verdict
from greenlight.core.situation import Situation
from greenlight.core.states import Action
from greenlight.core.verdict import decide
from greenlight.core.words import power

ORDERS = (
    Action.ROLLBACK,
    Action.WITHDRAW,
    Action.PAUSE,
    Action.RESUME,
    Action.WIDEN,
    Action.PROMOTE,
)
_GIVES = (Action.WIDEN, Action.PROMOTE)
TAKES = (Action.ROLLBACK, Action.WITHDRAW)
"""Orders that take traffic away, against which nothing stands."""


def forbidden(action: Action, person: Person, roles: Collection[str], initiator: str) -> str | None:
    """Why a person may not give this order; None if they may.

    Args:
        action: one of `ORDERS`.
        person: proved by their key.
        roles: those of the task's quorum.
        initiator: who began the rollout.
    """
    if action in (*TAKES, Action.PAUSE):
        return None
    if not set(person.roles) & set(roles):
        return f"{person.name} has no role of the quorum: one of {', '.join(sorted(roles))}"
    if action in _GIVES and person.name == initiator:
        return f"{person.name} began this rollout: somebody else gives it traffic"
    return None


def refusal(
    action: Action, situation: Situation, evidence: Evidence, policy: DecisionPolicy, now: int
) -> str | None:
    """Why a rollout cannot take this order as it stands; None if it can.

    Args:
        action: one of `ORDERS`.
        situation: of the rollout, without an order.
        evidence: all of it that is known.
        policy: frozen at the start.
        now: microseconds since 1970-01-01 UTC.
    """
    if action in TAKES:
        return None
    if situation.pending:
        return "it has not begun yet"
    if action == Action.PAUSE:
        return f"it is paused already ({situation.paused})" if situation.paused else None
    if action == Action.RESUME:
        return None if situation.paused else "it is not paused"
    last = situation.step >= policy.rollout.last_step
    if action == Action.WIDEN and last:
        return "this is its last step: what follows is the promotion"
    if action == Action.PROMOTE and not last:
        return "it has not come to its last step: widen it first"
    return _against(decide(situation, evidence, policy, now), evidence, policy) or (
        _unproved(evidence, policy) if action == Action.PROMOTE else None
    )


def _against(verdict: Verdict, evidence: Evidence, policy: DecisionPolicy) -> str | None:
    """What the verdict of the moment, or evidence of harm, has against more traffic."""
    if verdict.action not in (Action.STAY, *_GIVES):
        return f"the verdict is {verdict.action} ({verdict.code}): {verdict.reason}"
    lean = leaning(evidence, policy)
    return None if lean is None else lean.reason


def _unproved(evidence: Evidence, policy: DecisionPolicy) -> str | None:
    """What a promotion by hand lacks: it spares the proof of being better and no other."""
    for gap in budget.missing(policy):
        if gap.test in budget.proofs(policy):
            return f"{gap.test} cannot be computed: {gap.reason}"
    limits = budget.thresholds(policy)
    for test in budget.proofs(policy):
        if evidence.log_e[test] < limits[test]:
            return (
                f"{test.partition(':')[2]} is not shown to be no worse: "
                f"E = {power(evidence.log_e[test])}, {power(limits[test])} is needed"
            )
    return None
