"""The declared alarms of a rollout, fed minute by minute as minutes end.

What they say at a moment depends on nothing but the minutes of the longest duration before it. So
whoever begins anew asks for those minutes and says the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from greenlight.core.alarms import (
    KINDS,
    AlarmRule,
    ArmReading,
    Reading,
    State,
    Unseen,
    Watch,
    judge,
)
from greenlight.core.answers import ArmMinute
from greenlight.core.records import MINUTE, SECOND
from greenlight.core.states import Variant
from greenlight.core.stats.drift import jensen_shannon

RARE = 4.265
"""Standard deviations that chance alone goes beyond once in a hundred thousand times."""


class Shift(msgspec.Struct, kw_only=True):
    """How far the candidate's labels are from control's over an alarm's whole duration."""

    rule: AlarmRule
    seen: dict[int, tuple[Mapping[str, int], Mapping[str, int]]] = {}
    """Minute → how often control gave each label, and how often the candidate did."""

    def feed(self, minute: int, control: Mapping[str, int], candidate: Mapping[str, int]) -> None:
        """Take what one minute showed; minutes come in order."""
        if control or candidate:
            self.seen[minute] = (control, candidate)
        for old in [known for known in self.seen if known <= minute - self.rule.minutes]:
            del self.seen[old]

    def read(self, minute: int) -> ArmReading:
        """How the candidate stands at the end of a minute."""
        totals: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        for number, counts in self.seen.items():
            if minute - self.rule.minutes < number <= minute:
                for total, more in zip(totals, counts, strict=True):
                    total.update(more)
        control, candidate = (total.total() for total in totals)
        value = _distance(*totals) if control and candidate else None
        state: State = "no_data"
        enough = min(control, candidate) >= self.rule.min_requests
        if value is not None and enough and minute + 1 >= self.rule.minutes:
            labels = len(totals[0].keys() | totals[1].keys())
            if by_chance(labels, control, candidate) <= self.rule.over:
                state = "breached" if value > self.rule.over else "ok"
        return ArmReading(
            state=state,
            value=value,
            minutes_over=self.rule.minutes if state == "breached" else 0,
            requests=min(control, candidate),
        )


def by_chance(labels: int, control: int, candidate: int) -> float:
    """The distance in bits that equal arms hardly ever go beyond.

    The divergence of two samples of one distribution, times 8·ln 2 / (1/n + 1/m), is about χ² with
    a degree of freedom for each label but one; its quantile is that of Wilson and Hilferty (1931).
    With rare labels it is passed more often, yet less than once in a thousand times (tests). Where
    so much is more than the threshold, there are too few requests for so many labels.
    """
    if labels < 2:
        return 0.0
    freedom = labels - 1
    part = 2 / (9 * freedom)
    quantile = freedom * (1 - part + RARE * math.sqrt(part)) ** 3
    return quantile * (1 / control + 1 / candidate) / (8 * math.log(2))


def _distance(control: Mapping[str, int], candidate: Mapping[str, int]) -> float:
    labels = sorted(control.keys() | candidate.keys())
    if len(labels) < 2:
        return 0.0
    counts = ([one.get(label, 0) for label in labels] for one in (control, candidate))
    return jensen_shannon(*counts)


class Watches:
    """The alarms of one rollout that apply in the shadow, or those that apply out of it."""

    def __init__(self, rules: Mapping[str, AlarmRule], *, origin: int, shadow: bool) -> None:
        """Begin to watch; nothing is known yet.

        Args:
            rules: those declared, by name.
            origin: when the first units met the candidate, or the first copies were made (µs since
                1970-01-01 UTC); minutes are counted from it.
            shadow: whether copies are made and nobody meets the candidate.
        """
        self._origin = origin
        self._rules = {name: rule for name, rule in rules.items() if KINDS[name].shadow == shadow}
        self._watches = {
            (name, arm): Watch(rule=rule)
            for name, rule in self._rules.items()
            if name != "class_shift"
            for arm in Variant
            if arm == Variant.CANDIDATE or not KINDS[name].compares
        }
        self._shifts = {
            name: Shift(rule=rule) for name, rule in self._rules.items() if name == "class_shift"
        }
        self._next = 0

    @property
    def labels(self) -> bool:
        """Whether the labels of a minute are wanted."""
        return bool(self._shifts)

    def due(self, complete: int) -> tuple[int, int] | None:
        """The minutes that are over and still to be fed, as [since, until); None: none is.

        Args:
            complete: every event received up to this moment is in the store.
        """
        if not self._rules:
            return None
        end = max(0, (complete + 1 - self._origin) // MINUTE)
        begin = max(self._next, end - max(rule.minutes for rule in self._rules.values()))
        if begin >= end:
            return None
        return self._origin + begin * MINUTE, self._origin + end * MINUTE

    def feed(self, span: tuple[int, int], found: Sequence[ArmMinute]) -> None:
        """Take what the minutes that were due showed.

        Args:
            span: as `due` gave it.
            found: what the store answered.
        """
        seen = {(one.at, one.variant): one for one in found}
        for at in range(*span, MINUTE):
            minute = (at - self._origin) // MINUTE
            arms = {arm: seen.get((at, arm)) or ArmMinute(at=at, variant=arm) for arm in Variant}
            for (name, arm), watch in self._watches.items():
                counted, value = _measured(name, arms[arm])
                watch.feed(minute, counted, value=value)
            for shift in self._shifts.values():
                shift.feed(minute, arms[Variant.CONTROL].labels, arms[Variant.CANDIDATE].labels)
            self._next = minute + 1

    def read(self, now: int, unseen: Unseen | None = None) -> dict[str, Reading]:
        """How every alarm stands after the minutes that were fed.

        Args:
            now: microseconds since 1970-01-01 UTC.
            unseen: why the arms cannot be seen now, if so.
        """
        return {name: self._reading(name, now, unseen) for name in self._rules}

    def _reading(self, name: str, now: int, unseen: Unseen | None) -> Reading:
        rule, last = self._rules[name], self._next - 1
        arms = {arm: watch.read(last) for (of, arm), watch in self._watches.items() if of == name}
        if name in self._shifts:
            arms[Variant.CANDIDATE] = self._shifts[name].read(last)
        if unseen is not None:
            arms = {arm: msgspec.structs.replace(one, state=unseen) for arm, one in arms.items()}
        control = arms[Variant.CONTROL].state if Variant.CONTROL in arms else "ok"
        passed = self._origin + rule.duration
        return Reading(
            judgement=judge(arms[Variant.CANDIDATE].state, control),
            over=rule.over,
            for_s=rule.duration // SECOND,
            arms=arms,
            at=self._origin + self._next * MINUTE if self._next else None,
            left_s=max(0, -(-(passed - now) // SECOND)),
        )


def _measured(name: str, found: ArmMinute) -> tuple[int, float]:
    """On how much a minute's measurement rests, and what it is."""
    if name == "p95_latency_ms":
        return found.timed, found.p95_ms or 0.0
    bad, counted = {
        "server_error_rate": (found.failed, found.requests),
        "bad_feedback_rate": (found.bad, found.good + found.bad),
        "shadow_disagreement_rate": (found.compared - found.agreed, found.compared),
    }[name]
    return counted, bad / counted if counted else 0.0
