"""Decide: fold the new evidence, ask for a verdict, and write everything in one transaction.

The journal's new entries, the folded state, the decision, the next epoch, the statuses and the
ledger go in together or not at all, fenced by the leader's lease. The next epoch's key is (task,
number): if somebody changed the routing meanwhile, the commit fails and the decision is void.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from greenlight.core import budget, ids, killing, ledger, routing
from greenlight.core import evidence as ev
from greenlight.core.answers import Lease
from greenlight.core.incidents import Incident
from greenlight.core.killing import KillEntry
from greenlight.core.lifecycle import Event, allowed, check_rollout, next_status, phase_of
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import (
    MILLISECOND,
    Decision,
    Epoch,
    EvidenceState,
    JournalEntry,
    Record,
    Rollout,
    Version,
)
from greenlight.core.routing import ENDS
from greenlight.core.ruling import Verdict
from greenlight.core.situation import Situation, served_share
from greenlight.core.states import Action, RolloutStatus, Variant
from greenlight.core.verdict import UNTRUSTED
from greenlight.core.verdict import decide as judge
from greenlight.core.words import DISPLAYED
from greenlight.lookup import evidence_of
from greenlight.ports import Records, Store
from greenlight.recording import record

LOOK_BACK = 20
"""Decisions in a row that may name different doubts before the first of them is forgotten."""


def decide(
    store: Store,
    rollout: Rollout,
    epoch: Epoch,
    *,
    entries: Sequence[JournalEntry],
    closed: Mapping[str, int],
    splits: Mapping[int, float],
    situation: Situation,
    acknowledged: int = 0,
    kill: KillEntry | None = None,
    fence: Lease | None,
    now: int,
    random: Callable[[int], bytes],
) -> Decision | None:
    """Judge a running rollout once.

    Args:
        store: records and events.
        rollout: the running rollout.
        epoch: the task's newest epoch.
        entries: new journal entries, numbered on from the stored state.
        closed: up to when cohorts are closed, by group of tests; kept with the evidence.
        splits: the candidate's share of units in each epoch of the rollout.
        situation: where the rollout stands; for how long its evidence has been untrusted is looked
            up here.
        acknowledged: the highest epoch of the task that any gateway routes by.
        kill: the last word of the kill switch on the task; what it wants is in the situation.
        fence: the leader's lease; None where there can be only one (tests).
        now: microseconds since 1970-01-01 UTC.
        random: gives that many random bytes (for ids).

    Returns:
        The decision, or None if nothing changed since the last one.

    Raises:
        Conflict: somebody changed the routing or the rollout meanwhile; look again.
        LostLease: somebody else leads now.
        Refused: the version to promote is not in canary.
    """
    policy = msgspec.convert(rollout.policy, DecisionPolicy)
    before, stored = evidence_of(store, rollout, policy)
    evidence = ev.fold(before, entries, policy, splits)
    evidence.closed = dict(closed)
    past = latest(store, rollout.id)
    situation = msgspec.structs.replace(situation, untrusted_since=untrusted_since(past))
    verdict = judge(situation, evidence, policy, now)
    seen = 0 if stored is None else stored.last_seq
    last_seq = entries[-1].seq if entries else seen
    decision = Decision(
        id=_id(past, now, random),
        task=rollout.task,
        rollout=rollout.id,
        action=verdict.action,
        code=verdict.code,
        reason=verdict.reason,
        evidence=grounds(evidence, situation, policy, last_seq),
        epoch_seen=epoch.number,
        policy_digest=rollout.policy_digest,
        at=now,
    )
    news = not past or _gist(past[0]) != _gist(decision)
    if not entries and not news:
        return None
    appends: list[Record] = list(entries)
    swaps: list[tuple[Record, Record]] = []
    words: list[tuple[str, dict[str, Any]]] = []
    if entries:
        state = EvidenceState(rollout=rollout.id, last_seq=last_seq, state=ev.freeze(evidence))
        if stored is None:
            appends.append(state)
        else:
            swaps.append((stored, state))
    if news:
        appends.append(decision)
        words.append(("decision", ledger.body_of(decision)))
        if verdict.action == Action.ROLLBACK:
            appends.append(incident(rollout, decision))
        moves = _moves(store, rollout, verdict, now)
        swaps.extend(moves)
        words += [ledger.moved(old, new, verdict.reason) for old, new in moves]
        following = routing.successor(
            epoch,
            acknowledged=acknowledged,
            kill=0 if kill is None else kill.generation,
            decision=decision.id,
            at=now,
        )
        changed = routing.routed(following, verdict.action, rollout, policy)
        if changed is not None:
            appends.append(changed)
            words += killing.words(kill, epoch)
            words.append(("epoch", ledger.body_of(changed)))
    record(store, words, append=appends, swap=swaps, fence=fence, now=now)
    return decision if news else None


def latest(records: Records, rollout: str) -> list[Decision]:
    """The newest decisions on a rollout, the newest first."""
    return records.scan(Decision, {"rollout": rollout}, newest_first=True, limit=LOOK_BACK)


def _id(past: Sequence[Decision], now: int, random: Callable[[int], bytes]) -> str:
    """An id after that of the newest decision, though a clock had gone ahead when that was made:
    the order of ids is the order in which decisions were written."""
    soonest = ids.time_of(past[0].id) + MILLISECOND if past else now
    return ids.fresh(max(now, soonest), random)


def grounds(
    evidence: ev.Evidence, situation: Situation, policy: DecisionPolicy, last_seq: int
) -> dict[str, Any]:
    """What a decision rests on: enough to show it to people, and to take it once more.

    Args:
        evidence: the fold of the journal up to `last_seq`.
        situation: what else was known.
        policy: the rollout's.
        last_seq: of the newest journal entry; 0 before the first.
    """
    return {
        "log_e": evidence.log_e,
        "log_threshold": budget.thresholds(policy),
        "cannot_compute": {gap.test: gap.reason for gap in budget.missing(policy)},
        "arms": {variant.value: msgspec.to_builtins(evidence.arm(variant)) for variant in Variant},
        "difference": evidence.difference.interval(DISPLAYED),
        "served_share": served_share(situation.arms, situation.epoch),
        "excluded": dict(evidence.excluded),
        "launch": policy.launch,
        "situation": msgspec.to_builtins(situation),
        "last_seq": last_seq,
    }


def untrusted_since(past: Sequence[Decision]) -> int | None:
    """When the unbroken row of holds of untrusted evidence began that the last decision is in.

    Args:
        past: the newest decisions, the newest first (`latest`).
    """
    since = None
    for decision in past:
        if decision.action != Action.HOLD or decision.code not in UNTRUSTED:
            break
        since = decision.at
    return since


def _gist(decision: Decision) -> tuple[Any, ...]:
    """What makes a decision news, for a controller that waits writes nothing; of an alarm it is how
    it stands, and not what was measured."""
    readings = decision.evidence.get("situation", {}).get("alarms", {})
    alarms = {
        name: (reading["judgement"], {arm: one["state"] for arm, one in reading["arms"].items()})
        for name, reading in readings.items()
    }
    return decision.action, decision.code, decision.epoch_seen, alarms


def incident(rollout: Rollout, decision: Decision) -> Incident:
    """What is to be done about a rollback goes on from here (`stages.aftermath`)."""
    return Incident(
        rollout=rollout.id,
        task=rollout.task,
        control=rollout.control,
        candidate=rollout.candidate,
        decision=decision.id,
        code=decision.code,
        reason=decision.reason,
        drill=rollout.drill,
        at=decision.at,
    )


def _moves(
    store: Store, rollout: Rollout, verdict: Verdict, now: int
) -> list[tuple[Record, Record]]:
    """The rollout and the versions as they stand after a verdict; nothing where it moves none.

    Only a candidate in canary is promoted. Whatever else the statuses are, they follow traffic and
    must not keep it from being withdrawn.

    Raises:
        Refused: the version to promote is no candidate any more, or the rollout is not where this
            may happen to it (`core.lifecycle`).
    """
    stands = _stands(rollout, verdict, now)
    if stands is None:
        return []
    rules = msgspec.convert(rollout.policy, DecisionPolicy).rollout
    check_rollout(
        phase_of(rollout.status, rollout.step, rules),
        verdict.action.value,
        phase_of(stands.status, stands.step, rules),
    )
    moves: list[tuple[Record, Record]] = [(rollout, stands)]
    if verdict.action not in ENDS:
        return moves
    if rollout.aa and rollout.control == rollout.candidate:
        return moves
    promoting = verdict.action == Action.PROMOTE
    events = [(rollout.candidate, verdict.action.value)]
    if promoting:
        events.append((rollout.control, Event.RETIRE))
    for digest, event in events:
        version = store.get(Version, digest)
        if version is None:
            continue
        due = promoting and digest == rollout.candidate
        if due or event in allowed(version.status):
            moved = next_status(version.status, event)
            moves.append((version, msgspec.structs.replace(version, status=moved)))
    return moves


_ENDED = {
    Action.PROMOTE: RolloutStatus.PROMOTED,
    Action.ROLLBACK: RolloutStatus.ROLLED_BACK,
    Action.WITHDRAW: RolloutStatus.WITHDRAWN,
    Action.INCONCLUSIVE: RolloutStatus.INCONCLUSIVE,
}


def _stands(rollout: Rollout, verdict: Verdict, now: int) -> Rollout | None:
    """How the rollout stands after a verdict; None: as before."""
    if verdict.action == Action.WIDEN:
        return msgspec.structs.replace(rollout, step=rollout.step + 1)
    if verdict.action in (Action.PAUSE, Action.RESUME):
        why = verdict.reason if verdict.action == Action.PAUSE else None
        return msgspec.structs.replace(rollout, paused=why)
    if verdict.action in ENDS:
        return msgspec.structs.replace(rollout, status=_ENDED[verdict.action], ended_at=now)
    return None
