"""Roll out: put an approved version before users, at first a few of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import msgspec

from greenlight.core import drill as drills
from greenlight.core import ids, killing, ledger, routing
from greenlight.core.answers import Lease
from greenlight.core.errors import Refused
from greenlight.core.killing import KillEntry
from greenlight.core.lifecycle import Event, check_rollout, next_status, phase_of
from greenlight.core.policy import DecisionPolicy, Step
from greenlight.core.records import (
    Decision,
    Epoch,
    Inference,
    Record,
    Replica,
    Rollout,
    Version,
)
from greenlight.core.states import Action, RolloutStatus, Status, VersionStatus
from greenlight.lookup import everything, find_version
from greenlight.ports import Records
from greenlight.recording import record
from greenlight.stages import release_windows

SALT_BYTES = 16

RECENT = 1000
"""How many requests before the start are looked at."""
ENOUGH = 200
"""So many answers of control tell its 99th percentile well enough."""

Authorise = Callable[[str], None]
"""Raises `Refused` unless the version of this digest has a valid quorum of approvals."""


def go_live(
    records: Records,
    version: Version,
    *,
    authorise: Authorise,
    initiator: str,
    kill: KillEntry | None = None,
    now: int,
    random: Callable[[int], bytes],
) -> Epoch:
    """Give all traffic of a task that has nothing live yet to its first version.

    Raises:
        Refused: something is live already, the version is not approved, or the task is killed.
    """
    live = current_epoch(records, version.task)
    if live is not None:
        raise Refused(
            f"{version.task}: a version is live already ({live.control}); a new one earns its "
            f"traffic: greenlight rollout start {version.task} {version.label}"
        )
    if drills.is_drill(version.runtime):
        raise Refused(f"{version.label} rehearses a fault, and never goes live")
    killing.check_may_start(version.task, kill, None)
    authorise(version.digest)
    epoch = Epoch(
        task=version.task,
        number=1,
        follows=0,
        rollout=None,
        control=version.digest,
        candidate=None,
        weight=0.0,
        salt="",
        decision=ids.fresh(now, random),
        at=now,
        kill=0 if kill is None else kill.generation,
    )
    live_now = _moved(version, "go_live")
    record(
        records,
        [
            ("live", {"task": version.task, "version": version.digest, "initiator": initiator}),
            ledger.moved(version, live_now, "the first of its task to go live"),
            *killing.words(kill, None),
            ("epoch", ledger.body_of(epoch)),
        ],
        append=[epoch],
        swap=[(version, live_now)],
        now=now,
    )
    return epoch


def start(
    records: Records,
    candidate: Version,
    *,
    policy: DecisionPolicy,
    authorise: Authorise,
    initiator: str,
    aa: bool = False,
    drill: str | None = None,
    kill: KillEntry | None = None,
    now: int,
    random: Callable[[int], bytes],
) -> Rollout:
    """Begin a rollout of `candidate` against what is live, at the policy's first step.

    Outside the release window it is pending, and begins once that opens (`begin`).

    Args:
        records: the store.
        candidate: an approved version; where it stands is read anew.
        policy: the task's; what it is compared by is filled in (`freeze`).
        authorise: checks the approvals of both versions.
        initiator: who starts it.
        aa: ask for an A/A test, in which both arms may serve the same bundle.
        drill: the fault that it rehearses, in words. A drill has no time in the shadow, never
            waits for a release window, and is its pair's first launch however often it is held.
        kill: the last word of the kill switch on the task (`stages.catch_up.last_word`).
        now: microseconds since 1970-01-01 UTC.
        random: gives that many bytes from a cryptographic generator (the salt).

    Raises:
        NotFound: no such version.
        Refused: nothing is live, a rollout is running, a version is not approved, both arms would
            serve the same bundle without `aa`, something that is no drill is started as one or
            the other way round, a drill outside the release window, or the task is killed.
        Conflict: somebody changed the routing meanwhile.
    """
    task = candidate.task
    candidate = find_version(records, candidate.digest)
    live = current_epoch(records, task)
    if live is None:
        raise Refused(f"{task}: nothing is live, so there is nothing to compare with")
    killing.check_may_start(task, kill, live)
    running = active(records, task)
    if running is not None:
        raise Refused(
            f"{task}: rollout {running.id} is {running.status}, and one runs at a time; try again "
            f"once it has ended (greenlight status {task})"
        )
    authorise(live.control)
    authorise(candidate.digest)
    control = find_version(records, live.control)
    unfit = drills.unfit(control, candidate, policy, held=drill is not None)
    if unfit is not None:
        raise Refused(unfit)
    if drill is None:
        _refuse_twins(control, candidate, aa)
    else:
        policy = drills.before_users(policy)
    policy = freeze(records, task, live.control, candidate.digest, policy)
    waits = release_windows.closed(policy.release_window, now)
    if waits is not None and drill is not None:
        raise Refused(f"{waits}: a drill before users is held while it is open")
    rollout = Rollout(
        id=ids.fresh(now, random),
        task=task,
        control=live.control,
        candidate=candidate.digest,
        salt=random(SALT_BYTES).hex(),
        policy=msgspec.to_builtins(policy),
        policy_digest=policy.digest,
        aa=aa,
        initiator=initiator,
        status=RolloutStatus.RUNNING if waits is None else RolloutStatus.PENDING,
        step=0,
        at=now,
        drill=drill,
    )
    where = _where(policy.rollout.ladder[0]) if waits is None else f"and it waits: {waits}"
    again = f", launch {policy.launch} of this pair" if policy.launch > 1 else ""
    decision = _started(
        rollout,
        live,
        "start" if waits is None else "pending",
        f"{initiator} started it {where}{again}",
        now,
        random,
    )
    entries = [("rollout", ledger.body_of(rollout)), ("decision", ledger.body_of(decision))]
    if waits is None:
        epoch, moves = _first_split(records, rollout, live, candidate, policy, decision)
    else:
        # One that waits takes its place in the line of epochs, too: of two that start at once, the
        # second finds that taken.
        epoch, moves = _following(records, live, decision), []
    record(
        records,
        [
            *entries,
            *(ledger.moved(old, new, decision.reason) for old, new in moves),
            ("epoch", ledger.body_of(epoch)),
        ],
        append=[rollout, decision, epoch],
        swap=moves,
        now=now,
    )
    return rollout


def begin(
    records: Records,
    rollout: Rollout,
    live: Epoch,
    policy: DecisionPolicy,
    *,
    fence: Lease | None,
    now: int,
    random: Callable[[int], bytes],
) -> Decision:
    """Let a pending rollout begin, which nothing keeps from it (`core.growth.before_beginning`).

    Args:
        records: the store.
        rollout: the pending one.
        live: its task's newest epoch.
        policy: frozen at its start.
        fence: the leader's lease.
        now: microseconds since 1970-01-01 UTC.
        random: gives that many random bytes (for ids).

    Returns:
        The decision.

    Raises:
        Conflict: somebody changed the routing or the rollout meanwhile.
        LostLease: somebody else leads now.
    """
    check_rollout(
        phase_of(rollout.status, 0, policy.rollout),
        Event.BEGIN,
        phase_of(RolloutStatus.RUNNING, 0, policy.rollout),
    )
    begun = msgspec.structs.replace(rollout, status=RolloutStatus.RUNNING)
    where = _where(policy.rollout.ladder[0])
    decision = _started(
        rollout, live, "start", f"its release window is open: it begins {where}", now, random
    )
    candidate = find_version(records, rollout.candidate)
    epoch, moves = _first_split(records, rollout, live, candidate, policy, decision)
    changes: list[tuple[Record, Record]] = [(rollout, begun), *moves]
    record(
        records,
        [
            ("decision", ledger.body_of(decision)),
            *(ledger.moved(old, new, decision.reason) for old, new in changes),
            ("epoch", ledger.body_of(epoch)),
        ],
        append=[decision, epoch],
        swap=changes,
        fence=fence,
        now=now,
    )
    return decision


def _started(
    rollout: Rollout, live: Epoch, code: str, reason: str, now: int, random: Callable[[int], bytes]
) -> Decision:
    return Decision(
        id=ids.fresh(now, random),
        task=rollout.task,
        rollout=rollout.id,
        action=Action.START,
        code=code,
        reason=reason,
        evidence={},
        epoch_seen=live.number,
        policy_digest=rollout.policy_digest,
        at=now,
    )


def _first_split(
    records: Records,
    rollout: Rollout,
    live: Epoch,
    candidate: Version,
    policy: DecisionPolicy,
    decision: Decision,
) -> tuple[Epoch, list[tuple[Version, Version]]]:
    """The epoch in which units first meet the candidate, and where it stands from then on."""
    epoch = msgspec.structs.replace(
        _following(records, live, decision),
        rollout=rollout.id,
        control=rollout.control,
        candidate=rollout.candidate,
        weight=policy.rollout.ladder[0].weight,
        salt=rollout.salt,
    )
    if candidate.status == VersionStatus.LIVE:
        return epoch, []
    return epoch, [(candidate, _moved(candidate, "start_rollout"))]


def _following(records: Records, live: Epoch, decision: Decision) -> Epoch:
    """The same routing as before, as the one that a decision begins."""
    return routing.successor(
        live,
        acknowledged=routing.acknowledged(everything(records, Replica), live.task),
        kill=live.kill,
        decision=decision.id,
        at=decision.at,
    )


def freeze(
    records: Records, task: str, control: str, candidate: str, policy: DecisionPolicy
) -> DecisionPolicy:
    """A task's policy with what only the start knows.

    That is: control's latency percentiles and what units are named by, from the newest requests
    before the start; which launch of this pair it is, for each costs a part of α.
    """
    recent = records.scan(Inference, {"task": task}, newest_first=True, limit=RECENT)
    rules, own = policy.rollout, policy.evidence
    sources = Counter(inference.unit_source for inference in recent)
    source = rules.unit_source or next(iter(dict(sources.most_common(1))), None)
    bars = {} if own.latency_slo_ms is None else {"slo": own.latency_slo_ms}
    answered = sorted(
        inference.latency_ms
        for inference in recent
        if inference.version == control and inference.status == Status.OK
    )
    if len(answered) >= ENOUGH:
        for name, share in (("p95", 0.95), ("p99", 0.99)):
            found = answered[min(len(answered) - 1, math.ceil(share * len(answered)) - 1)]
            bars[name] = max(found, own.latency_floor_ms)
    pair = {"task": task, "control": control, "candidate": candidate}
    # A drill wins nothing by being held again, so nothing is to be paid for it.
    earlier = sum(found.drill is None for found in everything(records, Rollout, pair))
    return msgspec.structs.replace(
        policy,
        rollout=msgspec.structs.replace(rules, unit_source=source),
        latency_bars=bars,
        launch=earlier + 1,
    )


def current_epoch(records: Records, task: str) -> Epoch | None:
    """The routing of a task: its newest epoch."""
    newest = records.scan(Epoch, {"task": task}, newest_first=True, limit=1)
    return newest[0] if newest else None


def active(records: Records, task: str) -> Rollout | None:
    """The rollout of a task that has not ended: running or pending."""
    running = records.scan(Rollout, {"task": task, "ended_at": None}, limit=1)
    return running[0] if running else None


def _where(first: Step) -> str:
    return f"at {first.weight:.0%}" if first.weight else "in the shadow"


def _refuse_twins(live: Version, candidate: Version, aa: bool) -> None:
    if live.bundle == candidate.bundle and not aa:
        raise Refused(
            f"{candidate.label} serves the same bundle as what is live ({candidate.bundle}): two "
            "names for one model are no experiment; ask for an A/A test with --aa if you mean it"
        )


def _moved(version: Version, event: str) -> Version:
    return msgspec.structs.replace(version, status=next_status(version.status, event))
