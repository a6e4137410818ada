"""The breaker, transition by transition (P1)."""

from __future__ import annotations

import pytest

from greenlight.core.breaker import BreakerState, CircuitBreaker
from greenlight.core.records import SECOND

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def run(breaker: CircuitBreaker, script: str) -> list[str]:
    """Run a script of one word per second: ok, fail, or a bare ask; what was let through."""
    seen = []
    for second, word in enumerate(script.split()):
        now = second * SECOND
        ticket = breaker.admit(now)
        if ticket is not None and word == "ok":
            breaker.succeeded(ticket, now)
        elif ticket is not None and word == "fail":
            breaker.failed(ticket, now)
        seen.append(f"{'-' if ticket is None else 'call'} {breaker.state}")
    return seen


@pytest.mark.parametrize(
    ("script", "last"),
    [
        ("ok", "call closed"),
        ("fail", "call closed"),
        ("fail fail", "call open"),
        ("fail ok fail", "call closed"),
        ("fail fail ok", "- open"),
        ("fail fail" + " ask" * 9, "- open"),
        ("fail fail" + " ask" * 9 + " ask", "call half_open"),
        ("fail fail" + " ask" * 9 + " ask ask", "- half_open"),
        ("fail fail" + " ask" * 9 + " ok", "call closed"),
        ("fail fail" + " ask" * 9 + " ok fail", "call closed"),
        ("fail fail" + " ask" * 9 + " fail", "call open"),
        ("fail fail" + " ask" * 9 + " fail" + " ask" * 9, "- open"),
        ("fail fail" + " ask" * 9 + " fail" + " ask" * 9 + " ok", "call closed"),
        ("fail fail" + " ask" * 9 + " ask" + " ask" * 10, "call half_open"),
    ],
)
def test_transitions(script: str, last: str) -> None:
    """Success resets the count; half-open lets exactly one probe through; a lost probe is
    replaced after the reset time."""
    assert run(CircuitBreaker(threshold=2, reset=10 * SECOND), script)[-1] == last


@pytest.mark.parametrize(
    ("script", "since"),
    [
        ("ok", None),
        ("fail", None),
        ("ok fail fail", 2),
        ("fail fail" + " ask" * 9, 1),
        ("fail fail" + " ask" * 9 + " ask", 1),
        ("fail fail" + " ask" * 9 + " fail", 1),
        ("fail fail" + " ask" * 9 + " fail" + " ask" * 9 + " fail", 1),
        ("fail fail" + " ask" * 9 + " ok", None),
        ("fail fail" + " ask" * 9 + " ok fail", None),
        ("fail fail" + " ask" * 9 + " ok fail fail", 13),
    ],
)
def test_since_when_nothing_gets_through(script: str, since: int | None) -> None:
    """Verdicts: a fault of the data plane is a breaker that has been open for a while. A probe
    that fails does not begin that while anew; one that succeeds ends it."""
    breaker = CircuitBreaker(threshold=2, reset=10 * SECOND)
    run(breaker, script)
    assert breaker.open_since == (None if since is None else since * SECOND)


def test_a_straggler_from_before_does_not_close_an_open_breaker() -> None:
    breaker = CircuitBreaker(threshold=1, reset=SECOND)
    slow, quick = breaker.admit(0), breaker.admit(0)
    assert slow is not None and quick is not None
    breaker.failed(quick, 1)
    breaker.succeeded(slow, 2)
    assert breaker.state is OPEN
    assert breaker.open_since == 1
    probe = breaker.admit(1 + SECOND)
    assert probe is not None
    breaker.succeeded(slow, 3 + SECOND)
    assert breaker.state is HALF_OPEN
    breaker.succeeded(probe, 4 + SECOND)
    assert breaker.state is CLOSED


@pytest.mark.parametrize(("threshold", "reset"), [(0, 1), (1, -1)])
def test_settings_that_make_no_sense_are_refused(threshold: int, reset: int) -> None:
    with pytest.raises(ValueError):
        CircuitBreaker(threshold, reset)
