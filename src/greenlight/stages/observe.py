"""Observe: turn what the gateways have stored into journal entries that are not there yet.

A cohort is taken only once every live gateway has stored everything up to the moment at which it
closes, so that what enters, and in which order, does not depend on who was slow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from greenlight.core.assignment import interval
from greenlight.core.evidence import outcome
from greenlight.core.metrics import BAD
from greenlight.core.policy import RolloutPolicy
from greenlight.core.records import (
    MINUTE,
    ArmSummary,
    Epoch,
    EvidenceState,
    Exposure,
    JournalEntry,
    Replica,
    Rollout,
)
from greenlight.ports import Store

GONE = 10
"""A replica silent for this many times `stale_after` has been taken down, not delayed."""

Row = tuple[str, Exposure, float, float, int]
"""Test, the unit's exposure, π, y, and the moment that orders it."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What one look adds, and how far it can see."""

    entries: list[JournalEntry]
    complete_until: int | None
    soaking_since: int | None
    arms: list[ArmSummary]


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
    replicas = _live(store, rules, now)
    complete_until = min((replica.flushed_through for replica in replicas), default=None)
    rows = [] if complete_until is None else list(_rows(store, rollout, rules, complete_until))
    state = store.get(EvidenceState, rollout.id)
    last_seq = state.last_seq if state else 0
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
        complete_until=complete_until,
        soaking_since=_soaking_since(replicas, epoch),
        arms=store.summarise(rollout.id),
    )


def _live(store: Store, rules: RolloutPolicy, now: int) -> list[Replica]:
    horizon = now - GONE * rules.stale_after
    return [replica for replica in store.scan(Replica) if replica.at > horizon]


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


def _rows(store: Store, rollout: Rollout, rules: RolloutPolicy, until: int) -> Iterable[Row]:
    yield from _first_events(store, rollout.id, until)
    yield from _early(store, rollout.id, rules, until)
    yield from _matured(store, rollout.id, rules, until)


def _first_events(store: Store, rollout: str, until: int) -> list[Row]:
    """Exposures and first failures, interleaved in time: a failure must find only the units that
    were at risk before it."""
    exposed = store.exposures(rollout, lacking="exposure", until=until, limit=_PAGE)
    if len(exposed) == _PAGE:
        until = exposed[-1].at
    failures = store.failures(rollout, until=until)
    units = {exposure.unit for exposure in exposed} | {failure.unit for failure in failures}
    past = store.past(rollout, sorted(units))
    rows: list[Row] = [
        ("exposure", exposure, _probability(exposure, past), 0.0, exposure.at)
        for exposure in exposed
    ]
    for failure in failures:
        own = next(item for item in past[failure.unit] if item.epoch == failure.epoch)
        rows.append(("error", own, _probability(own, past), 1.0, failure.at))
    return sorted(rows, key=lambda row: (row[4], row[0] == "error"))


def _early(store: Store, rollout: str, rules: RolloutPolicy, until: int) -> Iterable[Row]:
    window = rules.fast_window
    exposed = store.exposures(rollout, lacking="fast", until=until - window, limit=_PAGE)
    said = store.feedback_on(rollout, "quality", exposed, window)
    past = store.past(rollout, [exposure.unit for exposure in exposed])
    for exposure in exposed:
        values = [value for _, value, _ in said.get((exposure.unit, exposure.epoch), ())]
        y = 0.0 if BAD in values else 1.0
        yield "fast", exposure, _probability(exposure, past), y, exposure.at


def _matured(store: Store, rollout: str, rules: RolloutPolicy, until: int) -> Iterable[Row]:
    closed = until - rules.feedback_window - rules.grace
    exposed = store.exposures(rollout, lacking="presence", until=closed, limit=_PAGE)
    said = store.feedback_on(rollout, "quality", exposed, rules.feedback_window)
    past = store.past(rollout, [exposure.unit for exposure in exposed])
    for exposure in exposed:
        pi = _probability(exposure, past)
        y = outcome(said.get((exposure.unit, exposure.epoch), ()))
        yield "presence", exposure, pi, float(y is not None), exposure.at
        if y is not None:
            yield "quality", exposure, pi, y, exposure.at


def _probability(exposure: Exposure, past: dict[str, list[Exposure]]) -> float:
    """π by the interval rule: what earlier epochs reveal of the unit's bucket."""
    earlier = (item for item in past[exposure.unit] if item.epoch < exposure.epoch)
    known = interval((item.weight, item.variant) for item in earlier)
    return known.probability(exposure.weight)


_PAGE = 5000
