"""What keeps a rollout from growing though no test says so: each with its limit and its state."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from greenlight.core.alarms import KINDS, ArmReading, Reading
from greenlight.core.evidence import Evidence
from greenlight.core.reasons import ALARM, meaning, measured
from greenlight.core.records import SECOND, Replica
from greenlight.core.states import Variant
from greenlight.core.verdict import LOUD
from greenlight.reporting.underway import Underway, reached
from greenlight.reporting.words import duration

OK, WATCH, UNKNOWN = "ok", "attention", "no data"


class Guardrail(msgspec.Struct, frozen=True, kw_only=True):
    """One of them: its name, its state (`ok`, `attention` or `no data`) and what is known."""

    name: str
    state: str
    says: str


def guardrails(found: Underway, gateways: Sequence[Replica], now: int) -> list[Guardrail]:
    """All of them; those of the gateways only while the rollout is running.

    Args:
        found: the rollout.
        gateways: those alive.
        now: microseconds since 1970-01-01 UTC.
    """
    lasting = [_served(found), _late(found), _loudest(found), *_alarms(found)]
    if found.rollout.ended_at is not None:
        return lasting
    return [
        _routed(found, gateways),
        _breaker(found, gateways, now),
        _fresh(found, gateways, now),
        *lasting,
    ]


def _routed(found: Underway, gateways: Sequence[Replica]) -> Guardrail:
    newest = max((p.number for p in found.periods if p.candidate is not None), default=0)
    there = reached(gateways, found.rollout.task, newest)
    if not gateways:
        return Guardrail(name="Gateways", state=UNKNOWN, says="none is alive")
    state = OK if there == len(gateways) else WATCH
    return Guardrail(
        name="Gateways", state=state, says=f"{there} of {len(gateways)} alive route by this split"
    )


def _breaker(found: Underway, gateways: Sequence[Replica], now: int) -> Guardrail:
    open_since = [
        replica.open_since[found.rollout.candidate]
        for replica in gateways
        if found.rollout.candidate in replica.open_since
    ]
    limit = duration(found.policy.rollout.breaker_max)
    if not open_since:
        says = f"closed everywhere; open for {limit}, it rolls back"
        return Guardrail(name="Circuit breaker", state=OK if gateways else UNKNOWN, says=says)
    says = (
        f"on {len(open_since)} gateways nothing gets through to the candidate, for "
        f"{duration(now - min(open_since))}; after {limit} it is rolled back, if control is healthy"
    )
    return Guardrail(name="Circuit breaker", state=WATCH, says=says)


def _fresh(found: Underway, gateways: Sequence[Replica], now: int) -> Guardrail:
    if not gateways:
        says = "no gateway is alive, so nothing is known of the traffic"
        return Guardrail(name="Freshness", state=WATCH, says=says)
    behind = max(0, now - min(replica.flushed_through for replica in gateways))
    limit = found.policy.rollout.stale_after
    says = f"stored up to {behind // SECOND} s ago; {duration(limit)} is the most"
    return Guardrail(name="Freshness", state=OK if behind <= limit else WATCH, says=says)


def _served(found: Underway) -> Guardrail:
    limit = found.policy.rollout.min_served_share
    if found.served is None:
        says = f"the candidate has got no request at this split; {limit:.1%} are needed"
        return Guardrail(name="Served share", state=UNKNOWN, says=says)
    says = (
        f"the candidate answered {found.served:.1%} of its requests itself; {limit:.1%} are needed"
    )
    return Guardrail(name="Served share", state=OK if found.served >= limit else WATCH, says=says)


def _late(found: Underway) -> Guardrail:
    share, limit = found.evidence.late_share, found.policy.evidence.max_late_share
    says = (
        f"{share:.2%} of the exposures came after their cohort had closed; {limit:.2%} is the most"
    )
    return Guardrail(name="Late events", state=OK if share <= limit else WATCH, says=says)


def _loudest(found: Underway) -> Guardrail:
    evidence, limit = found.evidence, found.policy.evidence.max_source_share
    outcomes = _outcomes(evidence)
    if not outcomes:
        return Guardrail(name="Loudest reviewer", state=UNKNOWN, says="no outcome has matured yet")
    most = evidence.sources.most
    over = most >= LOUD and most / outcomes > limit
    says = f"one gave {most / outcomes:.1%} of {outcomes:,} outcomes; {limit:.0%} is the most"
    return Guardrail(name="Loudest reviewer", state=WATCH if over else OK, says=says)


def _outcomes(evidence: Evidence) -> int:
    return sum(evidence.arm(variant).outcomes for variant in Variant)


def _alarms(found: Underway) -> list[Guardrail]:
    """The declared alarms: what each arm measures against the threshold, and what it comes to."""
    if not found.policy.alarms:
        return [Guardrail(name="Alarms", state=OK, says="none is declared")]
    return [
        _alarm(name, found.alarms[name]) if name in found.alarms else _idle(name)
        for name in found.policy.alarms
    ]


def _alarm(name: str, reading: Reading) -> Guardrail:
    state = {"ok": OK, "no_data": UNKNOWN}.get(reading.judgement, WATCH)
    minutes = reading.for_s // 60
    arms = [
        f"{arm.value} {_arm(name, one)}, over for {one.minutes_over} of {minutes} min "
        f"({one.state.replace('_', ' ')})"
        for arm, one in reading.both
    ]
    limit = f"more than {measured(name, reading.over)} for {minutes} min is too much"
    says = f"{ALARM[meaning(reading)]}: {'; '.join(arms)}; {limit}"
    return Guardrail(name=f"Alarm {name}", state=state, says=says)


def _arm(name: str, one: ArmReading) -> str:
    return "nothing yet" if one.value is None else measured(name, one.value)


def _idle(name: str) -> Guardrail:
    where = "only in the shadow" if KINDS[name].shadow else "only while users meet the candidate"
    return Guardrail(name=f"Alarm {name}", state=UNKNOWN, says=f"watched {where}")
