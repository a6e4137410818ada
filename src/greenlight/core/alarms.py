"""Declared alarms (O2): a measurement over a threshold, minute by minute, for a duration.

An alarm is a policy and no test: it has no error budget. It rolls back only if the candidate
breaches and control does not; if both do, somebody should look. Too few requests are no data, and
no data is never healthy.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from greenlight.core.records import MINUTE

State = Literal["ok", "breached", "no_data"]
Judgement = Literal["ok", "rollback", "page", "hold"]


class AlarmRule(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold, for how long it must be passed, and on how many requests over all of it."""

    name: str
    over: float
    duration: int = 5 * MINUTE
    """Microseconds; whole minutes count."""
    min_requests: int = 30

    @property
    def minutes(self) -> int:
        """How many minutes in a row must be over the threshold; at least one."""
        return max(1, -(-self.duration // MINUTE))


class Watch(msgspec.Struct, kw_only=True):
    """One arm under one alarm: the minutes that count, fed as they end."""

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
        window = range(minute - self.rule.minutes + 1, minute + 1)
        found = [self.seen[number] for number in window if number in self.seen]
        if sum(requests for requests, _ in found) < self.rule.min_requests:
            return "no_data"
        if not all(measured > self.rule.over for _, measured in found):
            return "ok"
        # A silent minute among minutes that are all over the threshold is not health.
        return "breached" if len(found) == len(window) else "no_data"


def judge(candidate: State, control: State) -> Judgement:
    """What the two arms' states come to.

    | candidate \\ control | ok       | breached | no data  |
    |----------------------|----------|----------|----------|
    | ok                   | ok       | page     | hold     |
    | breached             | rollback | page     | rollback |
    | no data              | hold     | page     | hold     |
    """
    if control == "breached":
        return "page"
    if candidate == "breached":
        return "rollback"
    return "ok" if candidate == control == "ok" else "hold"
