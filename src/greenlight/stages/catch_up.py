"""Catch up: bring the store in line with what gateways obey already.

Gateways follow the kill switch by themselves, and after a restore of the store from a backup they
route by epochs that it does not know of. Until the store has an epoch of that generation, above all
those numbers, they take nothing new from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from greenlight.core import ids, killing, ledger, routing
from greenlight.core.answers import Lease
from greenlight.core.killing import KillEntry
from greenlight.core.lifecycle import Event, allowed, check_rollout, next_status
from greenlight.core.records import (
    Decision,
    Epoch,
    LedgerEntry,
    Record,
    Replica,
    Rollout,
    Version,
)
from greenlight.core.states import Action, Phase, RolloutStatus
from greenlight.lookup import everything
from greenlight.ports import Records
from greenlight.recording import record
from greenlight.stages.decide import incident
from greenlight.stages.roll_out import active, current_epoch

RESTORED = "catch_up"
"""The kind of the ledger's entry on gateways that were ahead of the store."""


class _Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """A promotion that came after the kill, and what is needed to undo it."""

    rollout: Rollout
    control: Version
    candidate: Version


def last_word(records: Records, task: str, entry: KillEntry | None) -> KillEntry | None:
    """The last word on a task: what the kill file says, or the ledger where that knows more.

    A file that was lost, or that nobody has put here, does not unsay what is on record.
    """
    for found in everything(records, LedgerEntry, {"kind": killing.CODE}, newest_first=True):
        if found.body["task"] == task:
            known = msgspec.convert(found.body, KillEntry)
            later = entry is None or known.generation > entry.generation
            return known if later else entry
    return entry


def catch_up(
    records: Records,
    task: str,
    *,
    kill: KillEntry | None,
    fence: Lease | None,
    now: int,
    random: Callable[[int], bytes],
) -> Decision | None:
    """Write the epoch that gateways wait for, if they do; everything in one transaction.

    A promotion that was decided after the kill, which no gateway took over that knew of it, is
    undone. Otherwise the routing stays what it is. Where a rollout is under way that was killed
    nothing is written: it has to be ended first (`stages.loop`), or it would go on.

    Args:
        records: the store.
        task: the task's name.
        kill: the last word on it (`last_word`), if there is any.
        fence: the leader's lease.
        now: microseconds since 1970-01-01 UTC.
        random: gives that many random bytes (for ids).

    Returns:
        The decision, where a promotion was undone.

    Raises:
        Conflict: somebody changed the routing meanwhile; look again.
        LostLease: somebody else leads now.
    """
    newest = current_epoch(records, task)
    if newest is None or (kill is not None and _killed(records, newest, kill)):
        return None
    ahead = routing.acknowledged(everything(records, Replica), task)
    news = killing.words(kill, newest)
    if not news and ahead <= newest.number:
        return None
    if ahead > newest.number:
        news.append((RESTORED, _restored(newest, ahead)))
    following = routing.successor(
        newest,
        acknowledged=ahead,
        kill=0 if kill is None else kill.generation,
        decision=ids.fresh(now, random),
        at=now,
    )
    if kill is not None and kill.generation > newest.kill:
        undone = _overtaken(records, newest, kill)
        if undone is not None:
            return _undo(records, undone, following, kill, news, fence)
    news.append(("epoch", ledger.body_of(following)))
    record(records, news, append=[following], fence=fence, now=now)
    return None


def _killed(records: Records, newest: Epoch, kill: KillEntry) -> bool:
    barred = routing.barred(newest.kill, kill.standing)
    return barred and active(records, newest.task) is not None


def _restored(newest: Epoch, ahead: int) -> dict[str, Any]:
    return {
        "task": newest.task,
        "store": newest.number,
        "acknowledged": ahead,
        "why": f"gateways route by epoch {ahead}, and {newest.number} is the newest in the store: "
        "it was restored from a backup; what it says is in force again from the next epoch on",
    }


def _overtaken(records: Records, newest: Epoch, kill: KillEntry) -> _Promotion | None:
    """The promotion by which the live version came there, if it was decided after the kill and
    can be undone."""
    found = _promotion(records, newest)
    if found is None or not killing.overtaken(found[1], kill):
        return None
    before = found[0]
    rollout = records.get(Rollout, str(before.rollout))
    control = records.get(Version, before.control)
    candidate = records.get(Version, newest.control)
    if rollout is None or control is None or candidate is None:
        return None
    fits = (
        rollout.status == RolloutStatus.PROMOTED
        and Event.UNDO in allowed(candidate.status)
        and Event.RESTORE in allowed(control.status)
    )
    return _Promotion(rollout=rollout, control=control, candidate=candidate) if fits else None


def _promotion(records: Records, newest: Epoch) -> tuple[Epoch, Epoch] | None:
    """The epoch before what is live now was promoted, and the first one after.

    None where a rollout is under way, or where nothing was promoted.
    """
    after = newest
    while after.rollout is None and after.follows:
        before = records.get(Epoch, newest.task, after.follows)
        if before is None:
            return None
        if before.control != newest.control:
            return (before, after) if before.candidate == newest.control else None
        after = before
    return None


def _undo(
    records: Records,
    promotion: _Promotion,
    following: Epoch,
    kill: KillEntry,
    news: list[tuple[str, dict[str, Any]]],
    fence: Lease | None,
) -> Decision:
    """Let the versions change places again."""
    rollout, control, candidate = promotion.rollout, promotion.control, promotion.candidate
    now = following.at
    wanted = killing.order(kill)
    decision = Decision(
        id=following.decision,
        task=rollout.task,
        rollout=rollout.id,
        action=Action.ROLLBACK,
        code=wanted.code,
        reason=f"{wanted.by}: {wanted.why} (its promotion, decided after the kill, is undone)",
        evidence={},
        epoch_seen=following.follows,
        policy_digest=rollout.policy_digest,
        at=now,
    )
    check_rollout(Phase.PROMOTED, Event.UNDO, Phase.ROLLED_BACK)
    ended = msgspec.structs.replace(rollout, status=RolloutStatus.ROLLED_BACK, ended_at=now)
    moves: list[tuple[Record, Record]] = [
        (rollout, ended),
        (candidate, _moved(candidate, Event.UNDO)),
        (control, _moved(control, Event.RESTORE)),
    ]
    epoch = msgspec.structs.replace(following, control=control.digest)
    record(
        records,
        [
            *news,
            ("decision", ledger.body_of(decision)),
            *(ledger.moved(old, new, decision.reason) for old, new in moves),
            ("epoch", ledger.body_of(epoch)),
        ],
        append=[decision, epoch, incident(rollout, decision)],
        swap=moves,
        fence=fence,
        now=now,
    )
    return decision


def _moved(version: Version, event: Event) -> Version:
    return msgspec.structs.replace(version, status=next_status(version.status, event))
