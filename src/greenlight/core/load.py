"""What a load test found, and the service level that it is held against (REQUIREMENTS S4).

`tests.load.run` writes the summary, `greenlight eval load` makes the part `load` of it. A summary
is believed as far as its own numbers agree: whether the level was kept is worked out anew.

4xx are the client's errors: they are counted apart, and neither percentiles nor rate nor the share
of errors know of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from greenlight.core.errors import BadInput

P95_MS = 150.0
"""The 95th percentile may be this at most."""
ERROR_RATE = 0.005
"""Fewer than this share of the requests may end in a server error."""
PACE = 0.95
"""Share of the asked rate that must have been reached, or the test says nothing about that rate."""

RATE, RAMP_S, STEADY_S = 2.0, 60.0, 600.0
"""Requests a second, and seconds of ramp and of steady load, from which on a test is one of the
service level and not only a trial."""

GOALS = {
    "p95_ms": P95_MS,
    "error_rate": ERROR_RATE,
    "pace": PACE,
    "rate": RATE,
    "ramp_s": RAMP_S,
    "steady_s": STEADY_S,
}
"""The same by the names under which a document holds them."""

AGAIN = "run the load test again and take the file that it writes"

_NUMBERS = (
    *("asked", "ramp_s", "steady_s", "requests", "errors_5xx", "timeouts", "errors_4xx"),
    *("p50_ms", "p95_ms", "p99_ms", "rate"),
)
_POSITIVE = frozenset({"asked", "steady_s", "requests"})
_MOST = 1e12
_ROUNDED = 0.001


class Summary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What came of the requests of the steady period."""

    provenance: dict[str, Any]
    """Where, when and by which command it was measured; of the machine that asked."""
    note: str
    """What else is to be known of it, in words; may be empty."""
    task: str
    asked: float
    """Requests a second that were to be made."""
    ramp_s: float
    """Seconds in which the users came; what they asked meanwhile does not count."""
    steady_s: float
    """Seconds that count."""
    requests: int
    """All of them, 4xx included."""
    errors_5xx: int
    timeouts: int
    """Requests without an answer, or without one in time."""
    errors_4xx: int
    p50_ms: float | None
    """Percentiles are None where nothing but 4xx came."""
    p95_ms: float | None
    p99_ms: float | None
    rate: float
    """Requests a second that came about."""
    met: bool
    """Whether the service level was kept, at the rate that was asked for."""
    versions: dict[str, int]
    """Good answers by the label of the version that gave them, as the gateway named it; it names
    versions only to a key with the scope `admin`."""

    @property
    def counted(self) -> int:
        """Requests that are not the client's error."""
        return self.requests - self.errors_4xx

    @property
    def answered(self) -> int:
        """Requests with a good answer."""
        return self.counted - self.errors_5xx - self.timeouts

    @property
    def error_rate(self) -> float:
        """Server errors per request that is not the client's error."""
        return (self.errors_5xx + self.timeouts) / self.counted if self.counted else 0.0

    @property
    def whole(self) -> bool:
        """Whether it asked as much and as long as the service level wants it."""
        return self.asked >= RATE and self.ramp_s >= RAMP_S and self.steady_s >= STEADY_S


def kept(summary: Summary) -> bool:
    """Whether the service level was kept, from the numbers alone."""
    return (
        summary.p95_ms is not None
        and summary.p95_ms <= P95_MS
        and summary.errors_5xx + summary.timeouts < ERROR_RATE * summary.counted
        and summary.counted / summary.steady_s >= PACE * summary.asked
    )


def decode(data: bytes, name: str, *, task: str, label: str) -> Summary:
    """A summary of a version under load, from the bytes of its file.

    Args:
        data: JSON.
        name: of the file, for messages.
        task: of the version.
        label: of the version.

    Raises:
        BadInput: these bytes are no summary, nothing was measured, its numbers do not agree,
            another task was asked, or another version answered.
    """
    try:
        summary = msgspec.json.decode(data, type=Summary)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadInput(f"{name}: no readable summary of a load test ({error}); {AGAIN}") from error
    for found, remedy in (
        (_problems(summary), AGAIN),
        (_of_another_task(summary, task, label), f"take one that was made with --task {task}"),
        (_of_others(summary, label), f"run the load test while {label} alone is served"),
    ):
        problem = next(found, None)
        if problem is not None:
            raise BadInput(f"{name}: {problem}; {remedy}")
    return summary


def result(summary: Summary, label: str) -> dict[str, Any]:
    """What the part `load` of a version's evaluation holds.

    Args:
        summary: as `decode` gives it.
        label: of the version.
    """
    return {
        "met": summary.met,
        "whole": summary.whole,
        "error_rate": summary.error_rate,
        **{name: getattr(summary, name) for name in _NUMBERS},
        "goals": GOALS,
        "version": _verified(summary, label),
        "note": summary.note,
        "provenance": summary.provenance,
    }


def _verified(summary: Summary, label: str) -> dict[str, Any]:
    """Whether it is known that this version was measured, or why not."""
    named = summary.versions.get(label, 0)
    if named == summary.answered > 0:
        return {"verified": True}
    return {
        "verified": False,
        "reason": f"the gateway named the version of {named:,} of {summary.answered:,} good "
        "answers; it does so for a key with the scopes predict and admin",
    }


def _of_another_task(summary: Summary, task: str, label: str) -> Iterator[str]:
    if summary.task != task:
        yield f"task: {summary.task!r} was put under load, and {label} is of {task!r}"


def _of_others(summary: Summary, label: str) -> Iterator[str]:
    others = [(name, count) for name, count in sorted(summary.versions.items()) if name != label]
    if others:
        told = ", ".join(f"{name} gave {count:,}" for name, count in others)
        yield f"versions: {told} of {summary.answered:,} good answers, not {label}"


def _problems(summary: Summary) -> Iterator[str]:
    """What is wrong with the numbers: the field, its value and the rule."""
    for name in _NUMBERS:
        yield from _number(name, getattr(summary, name))
    failed = summary.errors_5xx + summary.timeouts + summary.errors_4xx
    if failed > summary.requests:
        yield f"requests: {summary.requests}, and {failed} of them failed; there cannot be more"
    times = [time for time in (summary.p50_ms, summary.p95_ms, summary.p99_ms) if time is not None]
    if times != sorted(times):
        told = ", ".join(f"{time:g}" for time in times)
        yield f"p50_ms, p95_ms, p99_ms: {told}; none may be below the one before"
    rate = summary.counted / summary.steady_s
    if abs(summary.rate - rate) > _ROUNDED:
        yield f"rate: {summary.rate}; requests less errors_4xx by steady_s make {rate:.3f}"
    if summary.met is not kept(summary):
        right = "kept" if kept(summary) else "missed"
        yield f"met: {str(summary.met).lower()}; by its own numbers the service level was {right}"
    yield from _versions(summary)


def _number(name: str, value: float | None) -> Iterator[str]:
    if value is None:
        yield f"{name}: null; nothing but client errors came: see that task and key are right"
    elif not 0 <= value <= _MOST:
        yield f"{name}: {value}; must be a number from 0 to {_MOST:g}"
    elif value == 0 and name in _POSITIVE:
        yield f"{name}: {value}; must be above 0"


def _versions(summary: Summary) -> Iterator[str]:
    for label, count in summary.versions.items():
        if count < 1:
            yield f"versions: {label!r} gave {count} answers; must be 1 or more"
    total = sum(summary.versions.values())
    if total > summary.answered:
        yield f"versions: {total} answers, and only {summary.answered} were good ones"
