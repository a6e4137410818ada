"""Observe: turn what the gateways have stored into journal entries that are not there yet.

A cohort is taken only once every live gateway has stored everything up to the moment at which it
closes, so that what enters, and in which order, does not depend on who was slow. A gateway that
has fallen silent holds up what needs complete evidence (widening, promotion), not the evidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from greenlight.core.answers import ArmSummary, Exposure
from greenlight.core.assignment import interval
from greenlight.core.evidence import outcome
from greenlight.core.metrics import BAD
from greenlight.core.policy import RolloutPolicy
from greenlight.core.records import MINUTE, Epoch, EvidenceState, JournalEntry, Replica, Rollout
from greenlight.lookup import everything
from greenlight.ports import Store

GONE = 10
"""A replica silent for this many times `stale_after` has been taken down, not delayed."""

_PAGE = 5000
"""How many exposures or failures one look takes in; the next look takes the rest."""

Row = tuple[str, Exposure, float, float, int]
"""Test, the unit's exposure, π, y, and the moment that orders it."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What one look adds, and how far it can see."""

    entries: list[JournalEntry]
    complete_until: int | None
    """Everything up to this moment is in the journal or among the entries; None: no gateway."""
    soaking_since: int | None
    arms: list[ArmSummary]


class Rows(msgspec.Struct, frozen=True):
    """Rows of some tests, and the moment up to which there are no others."""

    rows: list[Row]
    until: int


def observe(
    store: Store, rollout: Rollout, epoch: Epoch, rules: RolloutPolicy, now: int
) -> Observation:
    """Look at a running rollout; nothing is written.

    Args:
        store: records and events.
        rollout: the running rollout.
        epoch: the task's newest epoch, which belongs to it.
        rules: the rollout's frozen policy.
        now: microseconds since 1970-01-01 UTC.
    """
    replicas = _heard_since(store, now - GONE * rules.stale_after)
    live = [replica for replica in replicas if replica.at > now - rules.stale_after]
    found = []
    if live:
        until = min(replica.flushed_through for replica in live)
        found = [
            _first_events(store, rollout.id, until),
            _early(store, rollout.id, rules, until),
            _matured(store, rollout.id, rules, until),
        ]
    seen = [replica.flushed_through for replica in replicas] + [part.until for part in found]
    state = store.get(EvidenceState, rollout.id)
    last_seq = state.last_seq if state else 0
    rows = [row for part in found for row in part.rows]
    return Observation(
        entries=[
            JournalEntry(
                rollout=rollout.id,
                seq=seq,
                test=test,
                unit=exposure.unit,
                epoch=exposure.epoch,
                arm=exposure.variant,
                pi=pi,
                y=y,
                minute=1 + max(0, at - rollout.at) // MINUTE,
                at=now,
            )
            for seq, (test, exposure, pi, y, at) in enumerate(rows, start=last_seq + 1)
        ],
        complete_until=min(seen, default=None),
        soaking_since=_soaking_since(replicas, epoch),
        arms=store.summarise(rollout.id),
    )


def _heard_since(store: Store, moment: int) -> list[Replica]:
    return [replica for replica in everything(store, Replica) if replica.at > moment]


def _soaking_since(replicas: Sequence[Replica], epoch: Epoch) -> int | None:
    """When the last gateway took over the epoch; None while one has not."""
    if not replicas:
        return None
    moments = []
    for replica in replicas:
        if replica.epochs.get(epoch.task) != epoch.number:
            return None
        moments.append(replica.applied_at[epoch.task])
    return max(moments)


def _first_events(store: Store, rollout: str, until: int) -> Rows:
    """Exposures and first failures, interleaved in time: a failure must find only the units that
    were at risk before it, and all of them."""
    exposed = store.exposures(rollout, lacking="exposure", until=until, limit=_PAGE)
    failures = store.failures(rollout, until=until, limit=_PAGE)
    if len(failures) == _PAGE:
        until = failures[-1].at
        exposed = [exposure for exposure in exposed if exposure.at <= until]
    if len(exposed) == _PAGE:
        until = exposed[-1].at
        failures = [failure for failure in failures if failure.at < until]
    units = {exposure.unit for exposure in exposed} | {failure.unit for failure in failures}
    past = store.past(rollout, sorted(units))
    rows: list[Row] = [
        ("exposure", exposure, _probability(exposure, past), 0.0, exposure.at)
        for exposure in exposed
    ]
    for failure in failures:
        own = next(item for item in past[failure.unit] if item.epoch == failure.epoch)
        rows.append(("error", own, _probability(own, past), 1.0, failure.at))
    return Rows(sorted(rows, key=lambda row: (row[4], row[0] == "error")), until)


def _early(store: Store, rollout: str, rules: RolloutPolicy, until: int) -> Rows:
    window = rules.fast_window
    exposed = store.exposures(rollout, lacking="fast", until=until - window, limit=_PAGE)
    said = store.feedback_on(rollout, "quality", exposed, window)
    past = store.past(rollout, [exposure.unit for exposure in exposed])
    rows: list[Row] = []
    for exposure in exposed:
        values = [value for _, value, _ in said.get((exposure.unit, exposure.epoch), ())]
        y = 0.0 if BAD in values else 1.0
        rows.append(("fast", exposure, _probability(exposure, past), y, exposure.at))
    return Rows(rows, until if len(exposed) < _PAGE else exposed[-1].at + window)


def _matured(store: Store, rollout: str, rules: RolloutPolicy, until: int) -> Rows:
    closing = rules.feedback_window + rules.grace
    exposed = store.exposures(rollout, lacking="presence", until=until - closing, limit=_PAGE)
    said = store.feedback_on(rollout, "quality", exposed, rules.feedback_window)
    past = store.past(rollout, [exposure.unit for exposure in exposed])
    rows: list[Row] = []
    for exposure in exposed:
        pi = _probability(exposure, past)
        y = outcome(said.get((exposure.unit, exposure.epoch), ()))
        rows.append(("presence", exposure, pi, float(y is not None), exposure.at))
        if y is not None:
            rows.append(("quality", exposure, pi, y, exposure.at))
    return Rows(rows, until if len(exposed) < _PAGE else exposed[-1].at + closing)


def _probability(exposure: Exposure, past: dict[str, list[Exposure]]) -> float:
    """π by the interval rule: what the unit's exposures before this one reveal of its bucket.

    Before in time: while gateways take over an epoch one after the other, a unit can meet the new
    split first and the old one after it.
    """
    earlier = (item for item in past[exposure.unit] if _moment(item) < _moment(exposure))
    known = interval((item.weight, item.variant) for item in earlier)
    return known.probability(exposure.weight)


def _moment(exposure: Exposure) -> tuple[int, int]:
    return exposure.at, exposure.epoch
