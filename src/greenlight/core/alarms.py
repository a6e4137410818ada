"""Declared alarms (O2): a measurement over a threshold, minute by minute, for a duration.

An alarm is a policy and no test: it has no error budget. It rolls back only if the candidate
breaches and control does not; if control breaches, somebody should look. Too few requests are no
data, and no data is never healthy. Neither is what cannot be seen: measurements that are late
(stale), and measurements that cannot be had (failing).

| alarm                      | measured each minute and in each arm                             |
|----------------------------|------------------------------------------------------------------|
| `p95_latency_ms`           | 95th percentile of the own time of calls answered or timed out   |
| `server_error_rate`        | share of calls that failed, timed out or met an open breaker     |
| `bad_feedback_rate`        | share of BAD in the quality feedback received                    |
| `class_shift`              | how far the candidate's labels are from control's (bits, 0 to 1) |
| `shadow_disagreement_rate` | share of compared copies to which the arms said different things |

The last two measure the candidate against control, which cannot breach them. `class_shift` looks
at its whole duration at once. Copies are made in the shadow, where no user meets the candidate: the
alarm on them is watched there and nowhere else, and the others everywhere but there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from greenlight.core.checked import Policy
from greenlight.core.nearest import suggest
from greenlight.core.record import HOUR, MINUTE
from greenlight.core.states import Variant

State = Literal["ok", "breached", "no_data", "stale", "failing"]
Judgement = Literal["ok", "rollback", "page", "no_data", "stale", "failing"]
Unseen = Literal["stale", "failing"]

DOUBTS: tuple[Literal["failing", "stale", "no_data"], ...] = ("failing", "stale", "no_data")
"""What keeps an arm from being known, the most serious first."""

LONGEST = HOUR
"""No alarm looks back further."""


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What an alarm measures."""

    unit: Literal["ms", "share", "bits"]
    compares: bool = False
    """Whether it measures the candidate against control, which then cannot breach it."""
    shadow: bool = False
    """Whether it is measured on copies in the shadow, and not on what users are answered."""


KINDS: Mapping[str, Kind] = {
    "p95_latency_ms": Kind(unit="ms"),
    "server_error_rate": Kind(unit="share"),
    "bad_feedback_rate": Kind(unit="share"),
    "class_shift": Kind(unit="bits", compares=True),
    "shadow_disagreement_rate": Kind(unit="share", compares=True, shadow=True),
}
"""The alarms that can be declared."""


class AlarmRule(Policy, frozen=True, kw_only=True, rename={"duration": "for"}):
    """A threshold, for how long it must be passed, and on how much over all of that time."""

    name: str
    """Which alarm it is (`KINDS`)."""
    over: float
    """What is measured must be above this: milliseconds for `p95_latency_ms`, a share for the
    rates, bits (0 to 1) for `class_shift`."""
    duration: int = 5 * MINUTE
    """For how long, in every minute of it: whole minutes, at most `1h`. `class_shift` looks at all
    of it at once."""
    min_requests: int = 30
    """On how many requests, pieces of feedback or compared copies over all of that time; fewer are
    no data, and nothing grows."""

    def problems(self) -> Iterable[str]:
        kind = KINDS.get(self.name)
        if kind is None:
            yield f"no such alarm{suggest(self.name, KINDS)}"
        elif kind.unit != "ms" and not 0 <= self.over < 1:
            yield f"over: {self.over} is outside [0, 1); 0.005 is half a percent"
        elif self.over < 0:
            yield f"over: {self.over} ms is no time"
        if not 0 < self.duration <= LONGEST or self.duration % MINUTE:
            yield 'for: must be whole minutes, at most 1h, such as "5m"'
        if self.min_requests < 1:
            yield f"min_requests: {self.min_requests} would take no data for health; use 1 or more"

    @property
    def minutes(self) -> int:
        """How many minutes in a row must be over the threshold."""
        return self.duration // MINUTE


DEFAULT_ALARMS: Mapping[str, AlarmRule] = {
    rule.name: rule
    for rule in (
        AlarmRule(name="p95_latency_ms", over=150.0),
        AlarmRule(name="server_error_rate", over=0.005),
    )
}
"""What REQUIREMENTS O2 names; declared nowhere unless somebody writes it down."""


def misnamed(alarms: Mapping[str, AlarmRule]) -> Iterable[str]:
    """Rules that stand under another name than their own."""
    for name, rule in alarms.items():
        if name != rule.name:
            yield f"alarms.{name}: the rule is for {rule.name}"


class ArmReading(msgspec.Struct, frozen=True, kw_only=True):
    """How an arm stands under an alarm."""

    state: State
    value: float | None = None
    """What was measured last within the duration; None: nothing."""
    minutes_over: int = 0
    """How many minutes in a row, the newest of them last, are over the threshold."""
    requests: int = 0
    """How much was counted over the duration."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How both arms stand under an alarm. Only the candidate is there where it is measured against
    control."""

    judgement: Judgement
    over: float
    for_s: int
    """The duration, in seconds."""
    arms: dict[Variant, ArmReading]
    at: int | None = None
    """When the newest minute that counts ended (µs since 1970-01-01 UTC); None: none has."""
    left_s: int = 0
    """How many seconds are still to pass before the duration has passed once."""

    @property
    def both(self) -> list[tuple[Variant, ArmReading]]:
        """The arms that are there, the candidate first."""
        order = (Variant.CANDIDATE, Variant.CONTROL)
        return [(arm, self.arms[arm]) for arm in order if arm in self.arms]


class Watch(msgspec.Struct, kw_only=True):
    """One arm under one alarm: the minutes that count, fed as they end.

    Minutes are numbered from 0. Before the duration has passed once there is no data.
    """

    rule: AlarmRule
    seen: dict[int, tuple[int, float]] = {}
    """Minute → requests and what was measured."""

    def feed(
        self, minute: int, requests: int, *, bad: int | None = None, value: float | None = None
    ) -> None:
        """Take what one minute showed; minutes come in order, and one without requests is none.

        Args:
            minute: its number.
            requests: how many there were.
            bad: how many of them count against the rate; or
            value: the measurement itself, such as a percentile.

        Raises:
            ValueError: both of `bad` and `value`, or neither.
        """
        if (bad is None) == (value is None):
            raise ValueError("give either how many requests were bad, or the measured value")
        if requests > 0:
            measured = bad / requests if bad is not None else value
            assert measured is not None
            self.seen[minute] = (requests, measured)
        for old in [known for known in self.seen if known <= minute - self.rule.minutes]:
            del self.seen[old]

    def state(self, minute: int) -> State:
        """How the arm stands at the end of a minute."""
        window = self._window(minute)
        found = [self.seen[number] for number in window if number in self.seen]
        if sum(requests for requests, _ in found) < self.rule.min_requests or window[0] < 0:
            return "no_data"
        if not all(measured > self.rule.over for _, measured in found):
            return "ok"
        # A silent minute among minutes that are all over the threshold is not health.
        return "breached" if len(found) == len(window) else "no_data"

    def read(self, minute: int) -> ArmReading:
        """How the arm stands at the end of a minute, with the numbers."""
        found = [self.seen.get(number) for number in self._window(minute)]
        known = [one for one in found if one is not None]
        over = itertools.takewhile(
            lambda one: one is not None and one[1] > self.rule.over, reversed(found)
        )
        return ArmReading(
            state=self.state(minute),
            value=known[-1][1] if known else None,
            minutes_over=sum(1 for _ in over),
            requests=sum(requests for requests, _ in known),
        )

    def _window(self, minute: int) -> range:
        return range(minute - self.rule.minutes + 1, minute + 1)


def judge(candidate: State, control: State) -> Judgement:
    """What the two arms' states come to.

    | candidate \\ control | ok       | breached | no data  | stale   | failing |
    |----------------------|----------|----------|----------|---------|---------|
    | ok                   | ok       | page     | no data  | stale   | failing |
    | breached             | rollback | page     | rollback | page    | page    |
    | no data              | no data  | page     | no data  | stale   | failing |
    | stale                | stale    | page     | stale    | stale   | failing |
    | failing              | failing  | page     | failing  | failing | failing |

    Whatever is not `ok` keeps a candidate from growing. Control without data is known to be without
    traffic; where it cannot be seen it may breach as well, and nothing is rolled back on that.
    """
    if control == "breached":
        return "page"
    if candidate == "breached":
        return "page" if control in ("stale", "failing") else "rollback"
    for doubt in DOUBTS:
        if doubt in (candidate, control):
            return doubt
    return "ok"
