"""The page of one rollout: how its candidate fares, what it is held to, and what was decided."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from greenlight.core import aftermath
from greenlight.core.incidents import Incident
from greenlight.core.records import SECOND, Decision, Rollout
from greenlight.core.states import Variant
from greenlight.core.waiting import way
from greenlight.core.words import told
from greenlight.dashboard import charts
from greenlight.dashboard.evidence import groups
from greenlight.dashboard.guardrails import guardrails
from greenlight.dashboard.http import Answer, Page, Request
from greenlight.dashboard.rendering import points
from greenlight.dashboard.tasks import House
from greenlight.lookup import find_by_id
from greenlight.ports import Records
from greenlight.reporting import latency
from greenlight.reporting.latency import Latency, latencies
from greenlight.reporting.underway import Underway, alive, underway
from greenlight.reporting.words import duration, ending

MOST = 50
"""Decisions on a page, the newest ones."""


class Rollouts:
    """Answers for `/rollouts/{id}`."""

    def __init__(self, house: House) -> None:
        """Know whom to ask."""
        self._house = house
        self._slow = Remembered(house.store)

    def one(self, request: Request) -> Answer:
        """GET: one rollout, by its id or the beginning of it."""
        store, now = self._house.store, self._house.clock.now()
        rollout = find_by_id(store, Rollout, request.query["id"])
        live = rollout.task in self._house.kinds() and rollout.ended_at is None
        digest = self._house.digest(rollout.task) if live else ""
        found = underway(store, rollout, lookout=self._house.lookout, now=now)
        decided = store.scan(Decision, {"rollout": rollout.id}, newest_first=True, limit=MOST + 1)
        end = now if rollout.ended_at is None else rollout.ended_at
        incident = store.get(Incident, rollout.id)
        values: dict[str, Any] = {
            "topic": rollout.task,
            "digest": digest,
            "now": now,
            "found": found,
            "rollout": rollout,
            "ending": ending(rollout, end),
            "way": way(rollout.status, rollout.step, found.policy),
            "ahead": self._house.ahead(rollout.task) if live else None,
            "incident": incident,
            "standing": "" if incident is None else aftermath.standing(incident),
            "steps": [] if incident is None else list(aftermath.told(incident)),
            "splits": _splits(store, found, end),
            "groups": groups(found),
            "arms": [(variant, found.counts.get(variant, {})) for variant in Variant],
            "rates": _rates(found),
            "difference": _difference(found),
            "slow": _slow(found, self._slow.of(rollout, now)),
            "guardrails": guardrails(found, alive(store, now), now),
            "told": told(found.copies),
            "decisions": decided[:MOST],
            "more": len(decided) > MOST,
            "horizon": duration(found.policy.rollout.horizon),
        }
        return Page("rollout.html", values)


class Remembered:
    """Latencies by rollout; they take long to find, and an old one is told from an interval."""

    _LASTS = 10 * SECOND
    _MOST = 16

    def __init__(self, records: Records) -> None:
        self._records = records
        self._known: OrderedDict[str, tuple[int, bool, Mapping[Variant, Latency]]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, rollout: Rollout, now: int) -> Mapping[Variant, Latency]:
        """The latencies of a rollout's arms, a few seconds old at most."""
        with self._lock:
            at, final, found = self._known.get(rollout.id, (0, False, {}))
            if final or now - at < self._LASTS:
                return found
        found = latencies(self._records, rollout)
        final = rollout.ended_at is not None or (
            len(found) == len(Variant) and all(o.answers >= latency.MOST for o in found.values())
        )
        with self._lock:
            self._known[rollout.id] = (now, final, found)
            self._known.move_to_end(rollout.id)
            if len(self._known) > self._MOST:
                self._known.popitem(last=False)
        return found


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A value with its interval, as text and as a drawing."""

    name: str
    kind: str
    """`control`, `candidate` or `difference`."""
    value: str
    interval: str
    on: int
    """How many outcomes, units or answers it rests on."""
    drawn: charts.Interval | None


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Values on one scale, and the ends of it."""

    rows: Sequence[Row]
    low: str = ""
    high: str = ""


def _splits(store: Records, found: Underway, end: int) -> list[charts.Split]:
    """The same drawing for a screen and for a phone; none before the first split."""
    if not found.periods:
        return []
    began = [store.get(Decision, period.decision) for period in found.periods]
    decisions = [decision for decision in began if decision is not None]
    return [
        charts.split(found.periods, decisions, found.rollout.candidate, end, width)
        for width in (charts.WIDE, charts.NARROW)
    ]


def _rates(found: Underway) -> Rows:
    """The arms' GOOD rates."""
    rates = {variant: found.rate(variant) for variant in Variant}
    known = {variant: rate for variant, rate in rates.items() if rate is not None}
    if not known:
        return Rows(rows=[])
    drawn, low, high = charts.intervals([charts.rate(rate) for rate in known.values()])
    rows = [
        Row(
            name=_names(found)[variant],
            kind=variant.value,
            value=f"{rate.value:.1%}",
            interval=f"{rate.low:.1%} to {rate.high:.1%}",
            on=rate.n,
            drawn=place,
        )
        for (variant, rate), place in zip(known.items(), drawn, strict=True)
    ]
    return Rows(rows=rows, low=f"{max(low, 0):.0%}", high=f"{min(high, 1):.0%}")


def _difference(found: Underway) -> Rows:
    """How much better the candidate's answers are, beside no difference at all."""
    interval = found.difference
    if interval is None:
        return Rows(rows=[])
    low, high = interval
    mean = found.evidence.difference.mean
    reach = max(abs(low), abs(high))
    (drawn, _), start, end = charts.intervals([(low, mean, high), (-reach, None, reach)])
    row = Row(
        name="difference",
        kind="difference",
        value=f"{points(mean)} points",
        interval=f"{points(low)} to {points(high)} points",
        on=found.evidence.difference.n,
        drawn=drawn,
    )
    return Rows(rows=[row], low=points(start, 0), high=points(end, 0))


def _slow(found: Underway, slow: Mapping[Variant, Latency]) -> Rows:
    """The arms' 95th percentiles; where nothing bounds one yet, its line has an open end."""
    bounded = [end for one in slow.values() for end in (one.low, one.high) if end is not None]
    if not bounded:
        return Rows(rows=[])
    open_end = max(bounded) * 1.2
    spans = [
        (one.low or 0.0, None, open_end if one.high is None else one.high) for one in slow.values()
    ]
    drawn, low, high = charts.intervals(spans)
    rows = [
        Row(
            name=_names(found)[variant],
            kind=variant.value,
            value="",
            interval=_between(one),
            on=one.answers,
            drawn=place,
        )
        for (variant, one), place in zip(slow.items(), drawn, strict=True)
    ]
    return Rows(rows=rows, low=f"{max(low, 0.0):.1f} ms", high=f"{high:.1f} ms")


def _names(found: Underway) -> dict[Variant, str]:
    return {Variant.CONTROL: found.control, Variant.CANDIDATE: found.candidate}


def _between(one: Latency) -> str:
    if one.low is None:
        return "not known yet" if one.high is None else f"up to {one.high:.1f} ms"
    if one.high is None:
        return f"at least {one.low:.1f} ms"
    return f"{one.low:.1f} to {one.high:.1f} ms"
