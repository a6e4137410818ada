"""What is made of times, answers and routings. Pure: no store, no clock."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from greenlight.core.alarms import AlarmRule, Watch, judge
from greenlight.core.metrics import BAD
from greenlight.core.records import MINUTE, Epoch, Inference
from greenlight.core.routing import ENDS
from greenlight.core.states import Action, Status, Variant

OK, FAILED = Status.OK, (Status.ERROR, Status.TIMEOUT, Status.SHORT_CIRCUIT)


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that at least this share of the values do not exceed.

    Raises:
        ValueError: no values, or a share outside (0, 1].
    """
    if not values or not 0 < share <= 1:
        raise ValueError(f"no percentile {share} of {len(values)} values")
    return sorted(values)[math.ceil(share * len(values)) - 1]


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Values of several runs."""

    median: float
    p99: float
    max: float
    all: list[float]


def spread(values: Sequence[float]) -> Spread | None:
    """How values are spread; None: there are none."""
    if not values:
        return None
    return Spread(
        median=statistics.median(values),
        p99=percentile(values, 0.99),
        max=max(values),
        all=list(values),
    )


class Met(msgspec.Struct, frozen=True, kw_only=True):
    """What users and the candidate had to do with each other."""

    assigned: int
    """Requests that went to the candidate first."""
    answered: int
    """Those of them that it answered itself."""
    users: int
    """Units of whom at least one request was assigned to it."""
    first_at: int | None
    """When the first of them was received (µs); None: there was none."""


def met(inferences: Iterable[Inference], candidate: str) -> Met:
    """What the log says of a candidate."""
    own = [one for one in inferences if one.version == candidate]
    return Met(
        assigned=len(own),
        answered=sum(one.served_version == candidate for one in own),
        users=len({one.unit for one in own}),
        first_at=min((one.at for one in own), default=None),
    )


def violations(
    inferences: Iterable[Inference], candidate: str, epoch: Epoch, applied: Mapping[str, int]
) -> list[str]:
    """Where the log says that a candidate was used after it had been taken out of traffic.

    Args:
        inferences: everything that was answered, as stored.
        candidate: the digest of what was rolled back.
        epoch: the routing without it.
        applied: replica → when it took that routing over (µs). An inference does not say which
            replica it came from, so the last one of them counts.
    """
    last = max(applied.values())
    found = []
    for one in inferences:
        if one.version != candidate:
            continue
        if one.epoch >= epoch.number:
            found.append(f"{one.id}: assigned to it in epoch {one.epoch}")
        if one.at > last:
            late = (one.at - last) / 1000
            found.append(f"{one.id}: received {late:g} ms after the last replica had gone over")
    return found


def twice(epochs: Iterable[Epoch], actions: Iterable[Action]) -> list[str]:
    """What was decided more often than once: a rollout ends once, and no epoch has two that follow.

    Args:
        epochs: all of a task.
        actions: of all decisions on a rollout.
    """
    ends = Counter(action for action in actions if action in ENDS)
    followed = Counter(epoch.follows for epoch in epochs)
    return [
        *(f"{action}: decided {n} times" for action, n in ends.items() if n > 1),
        *(f"epoch {number} is followed {n} times" for number, n in followed.items() if n > 1),
    ]


class Minute(msgspec.Struct, frozen=True, kw_only=True):
    """One arm in one minute since the first of its units met the candidate."""

    requests: int = 0
    failed: int = 0
    p95_ms: float = 0.0
    judged: int = 0
    bad: int = 0


Minutes = Mapping[int, Mapping[Variant, Minute]]
"""What both arms showed, by the number of the minute."""


def minutes(
    inferences: Iterable[Inference], rollout: str, words: Mapping[str, float]
) -> dict[int, dict[Variant, Minute]]:
    """What an alarm would have seen of a rollout; the last minute, which is not over, is left out.

    Args:
        inferences: everything that was answered, as stored.
        rollout: its id.
        words: inference → what was said of it, 1 for GOOD and 0 for BAD.
    """
    own = [one for one in inferences if one.rollout == rollout and one.status in (OK, *FAILED)]
    first = min((one.at for one in own if one.variant == Variant.CANDIDATE), default=0)
    rows: dict[tuple[int, Variant], list[Inference]] = {}
    for one in own:
        if one.at >= first:
            rows.setdefault(((one.at - first) // MINUTE, one.variant), []).append(one)
    last = max((number for number, _ in rows), default=0)
    found: dict[int, dict[Variant, Minute]] = {}
    for (number, arm), group in sorted(rows.items()):
        if number < last:
            found.setdefault(number, {})[arm] = _minute(group, words)
    return found


def _minute(group: Sequence[Inference], words: Mapping[str, float]) -> Minute:
    said = [words[one.id] for one in group if one.id in words]
    return Minute(
        requests=len(group),
        failed=sum(one.status in FAILED for one in group),
        p95_ms=percentile([one.latency_ms for one in group], 0.95),
        judged=len(said),
        bad=sum(word == BAD for word in said),
    )


def fires(seen: Minutes, rule: AlarmRule) -> int | None:
    """After how many minutes an alarm would have rolled back; None: not in the time seen.

    Arithmetic of its own, to hold against what the controller did.

    Args:
        seen: what both arms showed.
        rule: the alarm; `core.alarms` says what it measures.
    """
    watches = {arm: Watch(rule=rule) for arm in Variant}
    for number in range(max(seen, default=-1) + 1):
        for arm, watch in watches.items():
            counted, value = _measured(rule, seen.get(number, {}).get(arm, Minute()))
            watch.feed(number, counted, value=value)
        control, candidate = (watches[arm].state(number) for arm in Variant)
        if judge(candidate, control) == "rollback":
            return number + 1
    return None


def _measured(rule: AlarmRule, minute: Minute) -> tuple[int, float]:
    """On how much a measurement rests, and what it is."""
    if rule.name == "p95_latency_ms":
        return minute.requests, minute.p95_ms
    if rule.name == "server_error_rate":
        return minute.requests, minute.failed / max(minute.requests, 1)
    return minute.judged, minute.bad / max(minute.judged, 1)
