"""Declared alarms (O2): a measurement over a threshold, minute by minute, for a duration.

An alarm is a policy and no test: it has no error budget. It rolls back only if the candidate
breaches and control does not; if both do, somebody should look. Too few requests are no data, and
no data is never healthy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

State = Literal["ok", "breached", "no_data"]
Judgement = Literal["ok", "rollback", "page", "hold"]


class AlarmRule(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold, for how many whole minutes in a row it must be passed, and on how many requests
    over all of them."""

    name: str
    over: float
    minutes: int = 5
    min_requests: int = 30


class Minute(msgspec.Struct, frozen=True):
    """What one arm showed in one minute: a rate, a percentile, whatever the rule is about."""

    requests: int
    value: float


def state(rule: AlarmRule, seen: Mapping[int, Minute], last: int) -> State:
    """How an arm stands at the end of minute `last`.

    Args:
        rule: the alarm's.
        seen: minute → what was measured; a minute without requests is absent.
        last: the newest minute that is over.
    """
    window = [seen.get(minute) for minute in range(last - rule.minutes + 1, last + 1)]
    requests = sum(minute.requests for minute in window if minute is not None)
    if requests < rule.min_requests:
        return "no_data"
    passed = all(minute is not None and minute.value > rule.over for minute in window)
    return "breached" if passed else "ok"


def judge(candidate: State, control: State) -> Judgement:
    """What the two arms' states come to.

    | candidate \\ control | ok       | breached | no data  |
    |----------------------|----------|----------|----------|
    | ok                   | ok       | page     | ok       |
    | breached             | rollback | page     | rollback |
    | no data              | hold     | page     | hold     |
    """
    if control == "breached":
        return "page"
    return {"ok": "ok", "breached": "rollback", "no_data": "hold"}[candidate]  # type: ignore[return-value]
