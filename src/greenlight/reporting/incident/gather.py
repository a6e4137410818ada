"""From the store to what an evidence folder says; nothing is remembered from the run itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from greenlight.core import aftermath, budget, ids
from greenlight.core.evaluation import right
from greenlight.core.incidents import Incident
from greenlight.core.ledger import GENESIS, SignedHead
from greenlight.core.records import (
    MINUTE,
    SECOND,
    Approval,
    Decision,
    Evaluation,
    Inference,
    LedgerEntry,
    Rollout,
    Version,
)
from greenlight.core.states import Status, Variant
from greenlight.core.words import power
from greenlight.lookup import everything
from greenlight.ports import Records, Store
from greenlight.recording import head
from greenlight.reporting.history import ENDS, History, Proportion, history
from greenlight.reporting.incident.dossier import (
    Affected,
    Arm,
    Detection,
    Dossier,
    Extract,
    Gateway,
    Propagation,
    Ruling,
    Split,
    Subject,
    TestFacts,
    Traffic,
    VersionFacts,
)
from greenlight.reporting.incident.extract import Link, extract
from greenlight.reporting.incident.story import story, unknown, verify
from greenlight.reporting.incident.timeline import events
from greenlight.reporting.underway import judged
from greenlight.reporting.words import about

MOMENTS = 1500
"""About so many moments of a rollout are replayed for its figures."""
MOST_CALLS = 5000
LATELY = 5 * MINUTE
"""For so long after the end control's traffic is looked at."""

_DECIDED_BY = {"breaker": "breaker", "alarm": "alarm", "order": "person", "kill": "person"}
_FAILED = (Status.ERROR, Status.TIMEOUT)


class Found(NamedTuple):
    """Everything that a folder is written from."""

    dossier: Dossier
    history: History
    ledger: list[LedgerEntry | Link]


def gather(
    store: Store,
    rollout: Rollout,
    *,
    now: int,
    made_by: str,
    signed_head: SignedHead | None = None,
    drill: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> Found:
    """Read everything that there is to say of a rollout that has ended.

    Args:
        store: records and events; only read.
        rollout: as the store holds it; it has ended.
        now: microseconds since 1970-01-01 UTC.
        made_by: what writes it.
        signed_head: the ledger's head that was published last.
        drill: what a drill measured; by default what the incident has of it.
        notes: what else is not known.
    """
    assert rollout.ended_at is not None
    told = history(store, rollout, most=MOMENTS)
    incident = store.get(Incident, rollout.id)
    steps = {} if incident is None else incident.steps
    ended = next((d for d in reversed(told.decisions) if d.action in ENDS), None)
    closed = None if incident is None else incident.closed_at
    last = rollout.ended_at if incident is None else closed
    kept = extract(store, rollout, {decision.id for decision in told.decisions}, last)
    dossier = Dossier(
        made_at=now,
        made_by=made_by,
        rollout=_subject(rollout, rollout.ended_at, told),
        versions=[_version(store, rollout, variant) for variant in reversed(Variant)],
        story=[],
        decision=None if ended is None else _ruling(ended, told),
        detection=_detection(told, rollout.ended_at),
        affected=_affected(told),
        arms=[_arm(told, variant) for variant in Variant],
        splits=_splits(told),
        timeline=events(told, incident),
        propagation=_propagation(steps.get(aftermath.PROPAGATED, {})),
        control_since=_control_since(store, rollout.task, rollout.control, rollout.ended_at, now),
        steps=steps,
        drill=steps.get(aftermath.DRILL) if drill is None else dict(drill),
        ledger=_ledger(store, kept, signed_head),
        unknown=[],
        verify=verify(rollout.id),
    )
    dossier = msgspec.structs.replace(
        dossier, story=story(dossier), unknown=[*unknown(dossier), *notes]
    )
    return Found(dossier, told, kept)


def _control_since(records: Records, task: str, control: str, since: int, now: int) -> Traffic:
    """What the gateways saw of a version within `LATELY` of a moment (µs since 1970)."""
    until = max(since, min(now, since + LATELY))
    times: list[float] = []
    failed = 0
    calls = (c for c in _calls(records, task, since, until) if c.version == control)
    for call in islice(calls, MOST_CALLS):
        failed += call.status in _FAILED
        times.append(math.inf if call.status is Status.TIMEOUT else call.latency_ms)
    p95 = sorted(times)[math.ceil(0.95 * len(times)) - 1] if times else None
    return Traffic(
        since=since,
        until=until,
        requests=len(times),
        failed=failed,
        p95_ms=p95 if p95 is not None and math.isfinite(p95) else None,
    )


def _calls(records: Records, task: str, since: int, until: int) -> Any:
    """Attempted calls of a task between two moments, in order."""
    after: tuple[str | int, ...] = (ids.floor(since),)
    while page := records.scan(Inference, {"task": task}, after=after, limit=1000):
        for made in page:
            if made.at >= until:
                return
            if made.at >= since and made.status in (Status.OK, *_FAILED):
                yield made
        after = page[-1].key


def _subject(rollout: Rollout, ended_at: int, told: History) -> Subject:
    return Subject(
        id=rollout.id,
        task=rollout.task,
        status=rollout.status,
        started_at=rollout.at,
        ended_at=ended_at,
        seconds=(ended_at - rollout.at) / SECOND,
        initiator=rollout.initiator,
        policy_digest=rollout.policy_digest,
        launch=told.policy.launch,
        aa=rollout.aa,
        drill=rollout.drill,
    )


def _version(store: Records, rollout: Rollout, variant: Variant) -> VersionFacts:
    digest = rollout.candidate if variant == Variant.CANDIDATE else rollout.control
    found = store.get(Version, digest)
    made = list(everything(store, Evaluation, {"version": digest}))
    newest = max(made, key=lambda item: (item.at, item.digest), default=None)
    words = everything(store, Approval, {"version": digest})
    signed = [w for w in words if w.decision in ("approve", "adopt") and w.at <= rollout.at]
    lineage = {} if found is None else found.lineage
    return VersionFacts(
        variant=variant,
        label=digest if found is None else found.label,
        digest=digest,
        bundle=None if found is None else found.bundle,
        status=None if found is None else found.status.value,
        dataset=lineage.get("dataset"),
        run=lineage.get("run"),
        evaluation=None if newest is None else newest.digest,
        accuracy=None if newest is None else _accuracy(newest.document),
        approved_by=[f"{word.person} ({word.role})" for word in signed],
    )


def _accuracy(document: Mapping[str, Any]) -> Proportion | None:
    try:
        return msgspec.convert(right(document), Proportion)
    except (KeyError, TypeError, msgspec.ValidationError):
        return None


def _ruling(decision: Decision, told: History) -> Ruling:
    grounds = decision.evidence
    harm = budget.harm_tests(told.policy)
    by = "evidence" if decision.code in harm else _DECIDED_BY.get(decision.code, "rule")
    log_e: Mapping[str, float] = grounds.get("log_e", {})
    limits: Mapping[str, float] = grounds.get("log_threshold", {})
    tests = []
    for test in (t for t in limits if t in log_e):
        crossed = told.crossed(test) if test in told.last.log_e else None
        tests.append(
            TestFacts(
                test=test,
                about=about(test),
                log_e=log_e[test],
                log_threshold=limits[test],
                e=power(log_e[test]),
                threshold=power(limits[test]),
                reached=log_e[test] >= limits[test],
                decided=test == decision.code,
                reached_at=None if crossed is None else crossed.at,
            )
        )
    return Ruling(
        id=decision.id,
        at=decision.at,
        action=decision.action,
        code=decision.code,
        reason=decision.reason,
        by=by,
        epoch_seen=decision.epoch_seen,
        tests=tests,
        cannot_compute=dict(grounds.get("cannot_compute", {})),
        alarms=judged(grounds),
        recomputed=told.agrees,
    )


def _detection(told: History, ended_at: int) -> Detection:
    first = told.first_exposure
    return Detection(
        first_exposure=first,
        decided_at=ended_at,
        seconds=None if first is None else (ended_at - first) / SECOND,
    )


def _affected(told: History) -> Affected:
    own = [arm for arm in told.arms if arm.variant == Variant.CANDIDATE]
    return Affected(
        units=told.exposed,
        requests=sum(arm.requests for arm in own),
        answered=sum(arm.served for arm in own),
        failed=sum(arm.failed for arm in own),
        bad=sum(arm.bad for arm in own),
        good=sum(arm.good for arm in own),
        copies=sum(arm.copies.made for arm in own),
    )


def _arm(told: History, variant: Variant) -> Arm:
    own = [arm for arm in told.arms if arm.variant == variant]
    requests = sum(arm.requests for arm in own)
    tally = told.tally(variant)
    spent = sum(arm.latency_ms * arm.requests for arm in own)
    return Arm(
        variant=variant,
        label=told.candidate if variant == Variant.CANDIDATE else told.control,
        requests=requests,
        served=sum(arm.served for arm in own),
        failed=sum(arm.failed for arm in own),
        good=sum(arm.good for arm in own),
        bad=sum(arm.bad for arm in own),
        outcomes=tally.outcomes,
        good_outcomes=tally.good,
        good_rate=tally.rate,
        latency_ms=spent / requests if requests else None,
        cost=sum(arm.cost for arm in own),
    )


def _splits(told: History) -> list[Split]:
    return [
        Split(epoch=it.number, since=it.since, until=it.until, weight=it.weight)
        for it in told.own_periods
    ]


def _propagation(step: Mapping[str, Any]) -> Propagation | None:
    if "epoch" not in step:
        return None
    return Propagation(
        says=step["says"],
        epoch=step["epoch"],
        worst_ms=step["worst_ms"],
        gateways=[msgspec.convert(known, Gateway) for known in step["replicas"]],
        missing=step["missing"],
        silent=step["silent"],
    )


def _ledger(
    records: Records, kept: Sequence[LedgerEntry | Link], signed_head: SignedHead | None
) -> Extract:
    newest = head(records)
    whole = sum(isinstance(entry, LedgerEntry) for entry in kept)
    return Extract(
        entries=whole,
        links=len(kept) - whole,
        first=kept[0].seq if kept else None,
        last=kept[-1].seq if kept else None,
        head=newest.seq if newest else 0,
        head_digest=newest.digest if newest else GENESIS,
        signed_head=signed_head,
    )
