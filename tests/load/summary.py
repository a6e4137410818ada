"""What a load test comes to, held against the service level of S4."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

P95_MS = 150.0
"""The 95th percentile may be this at most."""
ERROR_SHARE = 0.005
"""Fewer than this share of the requests may end in a server error."""
PACE = 0.95
"""Share of the asked rate that must have been reached, or the test says nothing about that rate."""


class Sample(msgspec.Struct, frozen=True):
    """One request."""

    at: float
    """When it was sent, in seconds of any clock."""
    ms: float
    """How long its answer, or the end of patience, took to come."""
    status: int
    """Of the answer; 0: none came."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the requests of the steady period.

    4xx are the client's errors: they are counted apart, and neither percentiles nor rate nor the
    share of errors know of them. Percentiles are None where nothing else is left.
    """

    requests: int
    """All of them, 4xx included."""
    errors_5xx: int
    timeouts: int
    """Requests without an answer, or without one in time."""
    errors_4xx: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    rate: float
    """Requests a second."""
    met: bool
    """Whether the service level was kept, at the rate that was asked for."""

    @property
    def error_share(self) -> float:
        """Server errors per request that is not the client's error."""
        counted = self.requests - self.errors_4xx
        return (self.errors_5xx + self.timeouts) / counted if counted else 0.0


def steady(samples: Sequence[Sample], ramp: float, seconds: float) -> list[Sample]:
    """The requests that were sent after the ramp, which begins with the first one."""
    begin = min((sample.at for sample in samples), default=0.0) + ramp
    return [sample for sample in samples if begin <= sample.at < begin + seconds]


def summarise(samples: Sequence[Sample], *, rate: float, seconds: float) -> Summary:
    """The summary of a steady period.

    Args:
        samples: its requests.
        rate: how many a second were asked for.
        seconds: how long it was.
    """
    counted = [sample for sample in samples if not 400 <= sample.status < 500]
    times = sorted(sample.ms for sample in counted)
    errors = sum(sample.status >= 500 for sample in counted)
    timeouts = sum(sample.status == 0 for sample in counted)
    reached = len(counted) / seconds
    p95 = percentile(times, 0.95)
    return Summary(
        requests=len(samples),
        errors_5xx=errors,
        timeouts=timeouts,
        errors_4xx=len(samples) - len(counted),
        p50_ms=percentile(times, 0.5),
        p95_ms=p95,
        p99_ms=percentile(times, 0.99),
        rate=round(reached, 3),
        met=p95 is not None
        and p95 <= P95_MS
        and errors + timeouts < ERROR_SHARE * len(counted)
        and reached >= PACE * rate,
    )


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that so large a share is not above (nearest rank); None without values."""
    if not ordered:
        return None
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def table(summary: Summary, rate: float) -> str:
    """The summary for people."""
    rows = [
        ("requests", str(summary.requests), ""),
        ("a second", f"{summary.rate:.2f}", f"at least {PACE:.0%} of {rate:g}"),
        ("p50", _ms(summary.p50_ms), ""),
        ("p95", _ms(summary.p95_ms), f"at most {P95_MS:g} ms"),
        ("p99", _ms(summary.p99_ms), ""),
        ("5xx", str(summary.errors_5xx), ""),
        ("timeouts", str(summary.timeouts), ""),
        ("server errors", f"{summary.error_share:.2%}", f"below {ERROR_SHARE:.1%}"),
        ("4xx, apart", str(summary.errors_4xx), ""),
        ("service level", "met" if summary.met else "MISSED", ""),
    ]
    return "\n".join(f"{name:<14}{value:>12}   {goal}".rstrip() for name, value, goal in rows)


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} ms"
