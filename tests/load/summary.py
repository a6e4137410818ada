"""What the requests of a load test come to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from greenlight.core.load import ERROR_RATE, P95_MS, PACE, Summary, kept


class Sample(msgspec.Struct, frozen=True):
    """One request."""

    at: float
    """When it was sent, in seconds of any clock."""
    ms: float
    """How long its answer, or the end of patience, took to come."""
    status: int
    """Of the answer; 0: none came."""
    version: str = ""
    """Label of the version that answered, where the gateway names it."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a gateway."""

    task: str
    """Of the kind `classify`."""
    rate: float
    """Requests a second once all users are there."""
    ramp: float
    """Seconds in which they come, which do not count."""
    seconds: float
    """How long the rate is kept up."""
    note: str = ""
    """What else is to be known."""


def steady(samples: Sequence[Sample], ramp: float, seconds: float) -> list[Sample]:
    """The requests that were sent after the ramp, which begins with the first one."""
    begin = min((sample.at for sample in samples), default=0.0) + ramp
    return [sample for sample in samples if begin <= sample.at < begin + seconds]


def summarise(samples: Sequence[Sample], plan: Plan, provenance: Mapping[str, Any]) -> Summary:
    """The summary of a steady period.

    Args:
        samples: its requests.
        plan: what was asked.
        provenance: where, when and by which command.
    """
    counted = [sample for sample in samples if not 400 <= sample.status < 500]
    times = sorted(sample.ms for sample in counted)
    named = (sample.version for sample in samples if sample.version and 0 < sample.status < 400)
    found = Summary(
        provenance=dict(provenance),
        note=plan.note,
        task=plan.task,
        asked=plan.rate,
        ramp_s=plan.ramp,
        steady_s=plan.seconds,
        requests=len(samples),
        errors_5xx=sum(sample.status >= 500 for sample in counted),
        timeouts=sum(sample.status == 0 for sample in counted),
        errors_4xx=len(samples) - len(counted),
        p50_ms=_rounded(percentile(times, 0.5)),
        p95_ms=_rounded(percentile(times, 0.95)),
        p99_ms=_rounded(percentile(times, 0.99)),
        rate=round(len(counted) / plan.seconds, 3),
        met=False,
        versions=dict(sorted(Counter(named).items())),
    )
    return msgspec.structs.replace(found, met=kept(found))


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that so large a share is not above (nearest rank); None without values."""
    if not ordered:
        return None
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def table(summary: Summary) -> str:
    """The summary for people."""
    rows = [
        ("requests", str(summary.requests), ""),
        ("a second", f"{summary.rate:.2f}", f"at least {PACE:.0%} of {summary.asked:g}"),
        ("p50", _ms(summary.p50_ms), ""),
        ("p95", _ms(summary.p95_ms), f"at most {P95_MS:g} ms"),
        ("p99", _ms(summary.p99_ms), ""),
        ("5xx", str(summary.errors_5xx), ""),
        ("timeouts", str(summary.timeouts), ""),
        ("server errors", f"{summary.error_rate:.2%}", f"below {ERROR_RATE:.1%}"),
        ("4xx, apart", str(summary.errors_4xx), ""),
        *((name, f"{count} answers", "") for name, count in summary.versions.items()),
        ("service level", "met" if summary.met else "MISSED", ""),
    ]
    return "\n".join(f"{name:<14}{value:>14}   {goal}".rstrip() for name, value, goal in rows)


def _rounded(ms: float | None) -> float | None:
    return None if ms is None else round(ms, 3)


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} ms"
