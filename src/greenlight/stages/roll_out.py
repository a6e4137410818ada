"""Roll out: put an approved version before users, at first a few of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import msgspec

from greenlight.core import ids, ledger
from greenlight.core.errors import Refused
from greenlight.core.lifecycle import next_status
from greenlight.core.policy import DecisionPolicy, Step
from greenlight.core.records import Decision, Epoch, Inference, Rollout, Version
from greenlight.core.states import Action, RolloutStatus, Status, VersionStatus
from greenlight.lookup import everything, find_version
from greenlight.ports import Records
from greenlight.recording import record

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
    now: int,
    random: Callable[[int], bytes],
) -> Epoch:
    """Give all traffic of a task that has nothing live yet to its first version.

    Raises:
        Refused: something is live already, or the version is not approved.
    """
    live = current_epoch(records, version.task)
    if live is not None:
        raise Refused(
            f"{version.task}: a version is live already ({live.control}); a new one earns its "
            f"traffic: greenlight rollout start {version.task} {version.label}"
        )
    authorise(version.digest)
    epoch = Epoch(
        task=version.task,
        number=1,
        rollout=None,
        control=version.digest,
        candidate=None,
        weight=0.0,
        salt="",
        decision=ids.fresh(now, random),
        at=now,
    )
    live_now = _moved(version, "go_live")
    record(
        records,
        [
            ("live", {"task": version.task, "version": version.digest, "initiator": initiator}),
            ledger.moved(version, live_now, "the first of its task to go live"),
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
    now: int,
    random: Callable[[int], bytes],
) -> Rollout:
    """Begin a rollout of `candidate` against what is live, at the policy's first step.

    Args:
        records: the store.
        candidate: an approved version; where it stands is read anew.
        policy: the task's; what it is compared by is filled in (`freeze`).
        authorise: checks the approvals of both versions.
        initiator: who starts it.
        aa: ask for an A/A test, in which both arms may serve the same bundle.
        now: microseconds since 1970-01-01 UTC.
        random: gives that many bytes from a cryptographic generator (the salt).

    Raises:
        NotFound: no such version.
        Refused: nothing is live, a rollout is running, a version is not approved, or both arms
            would serve the same bundle without `aa`.
        Conflict: somebody changed the routing meanwhile.
    """
    task = candidate.task
    candidate = find_version(records, candidate.digest)
    live = current_epoch(records, task)
    if live is None:
        raise Refused(f"{task}: nothing is live, so there is nothing to compare with")
    running = active(records, task)
    if running is not None:
        raise Refused(
            f"{task}: rollout {running.id} is running, and one runs at a time; try again once it "
            f"has ended (greenlight status {task})"
        )
    authorise(live.control)
    authorise(candidate.digest)
    _refuse_twins(records, live.control, candidate, aa)
    policy = freeze(records, task, live.control, candidate.digest, policy)
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
        status=RolloutStatus.RUNNING,
        step=0,
        at=now,
    )
    decision = Decision(
        id=ids.fresh(now, random),
        task=task,
        rollout=rollout.id,
        action=Action.START,
        code="start",
        reason=f"{initiator} started it {_where(policy.rollout.ladder[0])}"
        + (f", launch {policy.launch} of this pair" if policy.launch > 1 else ""),
        evidence={},
        epoch_seen=live.number,
        policy_digest=policy.digest,
        at=now,
    )
    epoch = Epoch(
        task=task,
        number=live.number + 1,
        rollout=rollout.id,
        control=live.control,
        candidate=candidate.digest,
        weight=policy.rollout.ladder[0].weight,
        salt=rollout.salt,
        decision=decision.id,
        at=now,
    )
    moves: list[tuple[Version, Version]] = []
    if candidate.status != VersionStatus.LIVE:
        moves.append((candidate, _moved(candidate, "start_rollout")))
    record(
        records,
        [
            ("rollout", ledger.body_of(rollout)),
            ("decision", ledger.body_of(decision)),
            *(ledger.moved(old, new, decision.reason) for old, new in moves),
            ("epoch", ledger.body_of(epoch)),
        ],
        append=[rollout, decision, epoch],
        swap=moves,
        now=now,
    )
    return rollout


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
    earlier = sum(1 for _ in everything(records, Rollout, pair))
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
    """The running rollout of a task."""
    running = records.scan(Rollout, {"task": task, "status": RolloutStatus.RUNNING}, limit=1)
    return running[0] if running else None


def _where(first: Step) -> str:
    return f"at {first.weight:.0%}" if first.weight else "in the shadow"


def _refuse_twins(records: Records, control: str, candidate: Version, aa: bool) -> None:
    live = records.get(Version, control)
    same = live is not None and live.bundle == candidate.bundle
    if same and not aa:
        raise Refused(
            f"{candidate.label} serves the same bundle as what is live ({candidate.bundle}): two "
            "names for one model are no experiment; ask for an A/A test with --aa if you mean it"
        )


def _moved(version: Version, event: str) -> Version:
    return msgspec.structs.replace(version, status=next_status(version.status, event))
