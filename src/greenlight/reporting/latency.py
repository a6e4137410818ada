"""How long each arm of a rollout takes: its 95th percentile, with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

import msgspec

from greenlight.core import ids
from greenlight.core.records import Inference, Rollout
from greenlight.core.states import Status, Variant
from greenlight.core.stats.sequential import quantile_interval
from greenlight.core.words import DISPLAYED
from greenlight.ports import Records

SHARE = 0.95
MOST = 5000
"""Answers of an arm that are looked at, its first ones: an interval over the newest would not be
one that may be watched."""
_PAGE = 1000


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """The 95th percentile of an arm in milliseconds; an end is None where nothing bounds it yet."""

    answers: int
    low: float | None
    high: float | None


def latencies(records: Records, rollout: Rollout) -> dict[Variant, Latency]:
    """By arm, for arms that have answered; a call that ran out of time took longer than any other.

    Args:
        records: the store.
        rollout: running or ended.
    """
    found = {}
    for variant in Variant:
        times = list(islice(_times(records, rollout, variant), MOST))
        if times:
            low, high = quantile_interval(times, SHARE, DISPLAYED)
            found[variant] = Latency(answers=len(times), low=_finite(low), high=_finite(high))
    return found


def _times(records: Records, rollout: Rollout, variant: Variant) -> Iterator[float]:
    """Milliseconds of its attempts, the first ones first."""
    after: tuple[str | int, ...] = (ids.floor(rollout.at),)
    where = {"task": rollout.task, "rollout": rollout.id, "variant": variant.value}
    while page := records.scan(Inference, where, after=after, limit=_PAGE):
        for made in page:
            if made.status is Status.OK:
                yield made.latency_ms
            elif made.status is Status.TIMEOUT:
                yield math.inf
        after = (page[-1].id,)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
