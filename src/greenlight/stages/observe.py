"""Observe: turn what the gateways have stored into journal entries that are not there yet.

A cohort is taken only once every live gateway has stored everything up to the moment at which it
closes, so that what enters, and in which order, does not depend on who was slow. A gateway that
has fallen silent holds up what needs complete evidence (widening, promotion), not the evidence.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from greenlight.core import budget, fingerprint, routing
from greenlight.core.answers import ArmSummary, Event, Exposure
from greenlight.core.assignment import interval
from greenlight.core.evidence import outcome
from greenlight.core.metrics import BAD
from greenlight.core.policy import DecisionPolicy, RolloutPolicy
from greenlight.core.records import MINUTE, Epoch, JournalEntry, Replica, Rollout
from greenlight.lookout import heard
from greenlight.lookup import everything, evidence_of, splits
from greenlight.ports import Store

LATE = "late"
OTHER_SOURCE = "unit_source"
LOST_EPOCH = "epoch"

_PAGE = 5000
"""How many exposures or events one look takes in; the next look takes the rest."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be journaled of a unit: `at` is the moment that orders it."""

    test: str
    exposure: Exposure
    pi: float
    y: float
    at: int
    reviewer: str | None = None


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What one look adds, and how far it can see."""

    entries: list[JournalEntry]
    complete_until: int | None
    """Everything up to this moment is in the journal or among the entries; None: no gateway."""
    closed: dict[str, int]
    """By group of tests: cohorts up to this moment are closed, and what comes later is late."""
    soaking_since: int | None
    unreachable_since: int | None
    """Since when a live gateway's breaker lets nothing through to the candidate alone."""
    control_down_since: int | None
    """Since when no live gateway's breaker lets anything through to control."""
    acknowledged: int
    """The highest epoch of the task that any gateway routes by."""
    arms: list[ArmSummary]
    replicas: list[Replica]
    """Every gateway that the store knows."""
    splits: dict[int, float]
    """The candidate's share of units in each epoch of the rollout."""


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a group of tests, and the moment up to which everything that happened is in them.

    `closed` is that of the newest exposure (or event) of which no other can come that is not late.
    """

    group: str
    rows: list[Row]
    until: int
    closed: int


def observe(
    store: Store,
    rollout: Rollout,
    epoch: Epoch,
    policy: DecisionPolicy,
    now: int,
    page: int | None = None,
) -> Observation:
    """Look at a running rollout; nothing is written.

    Args:
        store: records and events.
        rollout: the running rollout.
        epoch: the task's newest epoch, which belongs to it.
        policy: the rollout's frozen policy.
        now: microseconds since 1970-01-01 UTC.
        page: how many exposures or events to take in, for who only wants to know how it stands.
    """
    rules, most = policy.rollout, _PAGE if page is None else page
    gateways = list(everything(store, Replica))
    replicas = heard(gateways, rules.stale_after, now)
    live = [replica for replica in replicas if replica.at > now - rules.stale_after]
    found = []
    if live:
        until = min(replica.flushed_through for replica in live)
        found = [
            _first_events(store, rollout.id, policy, until, most),
            _early(store, rollout.id, rules, until, most),
            *([_shadowed(store, rollout.id, rules, until, most)] if rules.shadow else []),
            _matured(store, rollout.id, policy, until, most),
        ]
    seen = [replica.flushed_through for replica in replicas] + [part.until for part in found]
    known, stored = evidence_of(store, rollout, policy)
    last_seq = 0 if stored is None else stored.last_seq
    split = splits(store, rollout)
    closed, epochs = known.closed, {epoch.number, *split}
    entries = [
        _entry(rollout, row, closed.get(part.group), epochs, rules, now)
        for part in found
        for row in part.rows
    ]
    return Observation(
        entries=[
            msgspec.structs.replace(entry, seq=seq)
            for seq, entry in enumerate(entries, last_seq + 1)
        ],
        complete_until=min(seen, default=None),
        closed=closed | {part.group: max(part.closed, closed.get(part.group, 0)) for part in found},
        soaking_since=_soaking_since(replicas, epoch),
        unreachable_since=_unreachable_since(live, epoch),
        control_down_since=_control_down_since(live, epoch),
        acknowledged=routing.acknowledged(gateways, rollout.task),
        arms=store.summarise(rollout.id),
        replicas=gateways,
        splits=split,
    )


def _entry(
    rollout: Rollout,
    row: Row,
    closed: int | None,
    epochs: Collection[int],
    rules: RolloutPolicy,
    now: int,
) -> JournalEntry:
    """The journal entry of a row; its number comes later.

    What came after its cohort had closed would enter out of order, and the order may depend on
    what it says: it is kept, and enters no test. So is what comes from an epoch that the store lost
    when it was restored from a backup.
    """
    excluded = None
    if row.exposure.epoch not in epochs:
        excluded = LOST_EPOCH
    elif closed is not None and row.at <= closed:
        excluded = LATE
    elif rules.unit_source not in (None, row.exposure.unit_source):
        excluded = OTHER_SOURCE
    return JournalEntry(
        rollout=rollout.id,
        seq=0,
        test=row.test,
        unit=row.exposure.unit,
        epoch=row.exposure.epoch,
        arm=row.exposure.variant,
        pi=row.pi,
        y=row.y,
        minute=1 + max(0, row.at - rollout.at) // MINUTE,
        excluded=excluded,
        source=None if row.reviewer is None else pseudonym(rollout, row.reviewer),
        at=now,
    )


def pseudonym(rollout: Rollout, reviewer: str) -> str:
    """What a reviewer is called in a rollout's journal: the same all through it, and only there."""
    name = fingerprint.digest({"salt": rollout.salt, "reviewer": reviewer})
    return name.removeprefix("sha256:")[:16]


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


def _unreachable_since(live: Sequence[Replica], epoch: Epoch) -> int | None:
    since = [
        replica.open_since[epoch.candidate]
        for replica in live
        if epoch.candidate in replica.open_since and epoch.control not in replica.open_since
    ]
    return min(since, default=None)


def _control_down_since(live: Sequence[Replica], epoch: Epoch) -> int | None:
    since = [replica.open_since.get(epoch.control) for replica in live]
    known = [moment for moment in since if moment is not None]
    return max(known) if known and len(known) == len(since) else None


def _first_events(
    store: Store, rollout: str, policy: DecisionPolicy, until: int, most: int
) -> Rows:
    """Exposures and first events, interleaved in time: an event must find only the units that
    were at risk before it, and all of them."""
    kinds = budget.event_kinds(policy)
    exposed = store.exposures(rollout, lacking="exposure", until=until, limit=most)
    pages = [store.first_events(rollout, kind=k, until=until, limit=most) for k in kinds]
    closed = until
    for page in pages:
        if len(page) == most and page[-1].at <= until:
            # More may have come in the very same moment.
            until, closed = page[-1].at, page[-1].at - 1
    exposed = [exposure for exposure in exposed if exposure.at <= until]
    events: list[Event] = [event for page in pages for event in page if event.at <= until]
    if len(exposed) == most:
        until, closed = exposed[-1].at, exposed[-1].at - 1
        events = [event for event in events if event.at < until]
    units = {exposure.unit for exposure in exposed} | {event.unit for event in events}
    past = store.past(rollout, sorted(units))
    rows = [
        Row(test="exposure", exposure=e, pi=_probability(e, past), y=0.0, at=e.at) for e in exposed
    ]
    for event in events:
        own = next(item for item in past[event.unit] if item.epoch == event.epoch)
        pi = _probability(own, past)
        at_once = float(event.at == own.at)
        rows.append(Row(test=event.kind, exposure=own, pi=pi, y=at_once, at=event.at))
    order = {"exposure": 0, **{kind: number for number, kind in enumerate(kinds, start=1)}}
    rows.sort(key=lambda row: (row.at, order[row.test]))
    return Rows(group="events", rows=rows, until=until, closed=closed)


def _shadowed(store: Store, rollout: str, rules: RolloutPolicy, until: int, most: int) -> Rows:
    """First copies that one arm failed alone; a copy may be as much later than its request as
    `grace` allows."""
    alone = store.first_events(rollout, kind=budget.SHADOW, until=until - rules.grace, limit=most)
    past = store.past(rollout, sorted({event.unit for event in alone}))
    rows = []
    for event in alone:
        own = next(item for item in past[event.unit] if item.epoch == event.epoch)
        failed = msgspec.structs.replace(own, variant=event.variant)
        rows.append(Row(test=budget.SHADOW, exposure=failed, pi=0.5, y=0.0, at=event.at))
    return _cohorts("shadow", rows, alone, until, rules.grace, most)


def _early(store: Store, rollout: str, rules: RolloutPolicy, until: int, most: int) -> Rows:
    """What became of exposures within the fast window: was there a BAD, did an attempt fail?"""
    window = rules.fast_window
    exposed = store.exposures(rollout, lacking="fast", until=until - window, limit=most)
    said = store.feedback_on(rollout, "quality", exposed, window)
    failed = store.failed_within(rollout, exposed, window)
    past = store.past(rollout, [exposure.unit for exposure in exposed])
    rows: list[Row] = []
    for exposure in exposed:
        place = (exposure.unit, exposure.epoch)
        pi = _probability(exposure, past)
        values = [word.value for word in said.get(place, ())]
        for test, bad in (("fast", BAD in values), ("healthy", place in failed)):
            rows.append(Row(test=test, exposure=exposure, pi=pi, y=1.0 - bad, at=exposure.at))
    return _cohorts("fast", rows, exposed, until, window, most)


def _matured(store: Store, rollout: str, policy: DecisionPolicy, until: int, most: int) -> Rows:
    """What was said of exposures within the feedback window, metric by metric."""
    window = policy.rollout.feedback_window
    closing = window + policy.rollout.grace
    exposed = store.exposures(rollout, lacking="presence", until=until - closing, limit=most)
    said = store.feedback_on(rollout, "quality", exposed, window)
    secondary = {
        name: (metric, store.feedback_on(rollout, name, exposed, window))
        for name, metric in policy.secondaries.items()
        if metric.bounds is not None
    }
    past = store.past(rollout, [exposure.unit for exposure in exposed])
    rows: list[Row] = []
    for exposure in exposed:
        place, at = (exposure.unit, exposure.epoch), exposure.at
        pi = _probability(exposure, past)
        word = outcome(said.get(place, ()))
        heard = float(word is not None)
        rows.append(Row(test="presence", exposure=exposure, pi=pi, y=heard, at=at))
        if word is not None:
            rows.append(
                Row(
                    test="quality",
                    exposure=exposure,
                    pi=pi,
                    y=word.value,
                    at=at,
                    reviewer=word.reviewer,
                )
            )
        for name, (metric, words) in secondary.items():
            value = outcome(words.get(place, ()))
            if value is not None:
                y = metric.scaled(value.value)
                rows.append(Row(test=f"metric:{name}", exposure=exposure, pi=pi, y=y, at=at))
    return _cohorts("matured", rows, exposed, until, closing, most)


def _cohorts(
    group: str,
    rows: list[Row],
    found: Sequence[Exposure | Event],
    until: int,
    closing: int,
    most: int,
) -> Rows:
    """Rows of exposures (or events) that close so long after they came, as far as a page went."""
    if len(found) < most:
        return Rows(group=group, rows=rows, until=until, closed=until - closing)
    last = found[-1].at
    return Rows(group=group, rows=rows, until=last + closing, closed=last - 1)


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
