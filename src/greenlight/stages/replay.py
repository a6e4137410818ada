"""Replay: take every decision of a rollout once more, from what it rested on.

The journal is folded anew up to the entry that each decision had seen, and the verdict is asked
again with the situation that was recorded with it. On the build that decided, every E is the same
bit for bit; elsewhere the verdict is the same and log E differs by rounding (EVIDENCE, "Cohorts,
order, replay").
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from greenlight.core import evidence as ev
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import Decision, JournalEntry, Rollout
from greenlight.core.situation import Situation
from greenlight.core.states import Action
from greenlight.core.verdict import decide as judge
from greenlight.lookup import everything, splits
from greenlight.ports import Records

TOLERANCE = 1e-9
"""How far log E may be from what was recorded where another build recomputes it."""


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """A decision taken once more."""

    decision: Decision
    equal: bool
    exact: bool
    """Whether every log E is the same bit for bit."""
    difference: str | None
    """What is not equal; None if nothing is."""


def replay(records: Records, rollout: Rollout) -> list[Replayed]:
    """Take every decision on the evidence of a rollout once more, in order; nothing is written.

    A start is no such decision, and neither is one that was recorded before situations were.
    """
    policy = msgspec.convert(rollout.policy, DecisionPolicy)
    entries = everything(records, JournalEntry, {"rollout": rollout.id})
    waiting = next(entries, None)
    split = splits(records, rollout)
    evidence = ev.begin(policy)
    found = []
    # By their ids: a clock may have gone back between two of them.
    for decision in everything(records, Decision, {"rollout": rollout.id}):
        if decision.action == Action.START or "situation" not in decision.evidence:
            continue
        due = []
        while waiting is not None and waiting.seq <= decision.evidence["last_seq"]:
            due.append(waiting)
            waiting = next(entries, None)
        evidence = ev.fold(evidence, due, policy, split)
        found.append(_again(decision, evidence, policy))
    return found


def _again(decision: Decision, evidence: ev.Evidence, policy: DecisionPolicy) -> Replayed:
    situation = msgspec.convert(decision.evidence["situation"], Situation)
    verdict = judge(situation, evidence, policy, decision.at)
    recorded: dict[str, Any] = decision.evidence["log_e"]
    difference = None
    told = {"action": verdict.action, "code": verdict.code, "reason": verdict.reason}
    for name, value in told.items():
        if getattr(decision, name) != value:
            difference = f"{name}: {getattr(decision, name)} was recorded, {value} is replayed"
            break
    log_e = evidence.log_e
    if difference is None:
        for test in sorted(recorded.keys() | log_e.keys()):
            was, now = recorded.get(test, math.nan), log_e.get(test, math.nan)
            if not math.isclose(was, now, rel_tol=0.0, abs_tol=TOLERANCE):
                difference = f"log E of {test}: {was} was recorded, {now} is replayed"
                break
    return Replayed(
        decision=decision,
        equal=difference is None,
        exact=recorded == log_e,
        difference=difference,
    )
