"""What a circuit breaker adds to a call: to one of a millisecond, and to one of no time at all.

A breaker is never alone on the way to a provider: `Calls` has a deadline and a bound on the calls
under way beside it. Both are measured, the breaker by itself and all three.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

from benchmarks.pages import Found
from greenlight.adapters.clock import SystemClock
from greenlight.adapters.runtimes.calls import Calls
from greenlight.core.breaker import CircuitBreaker
from greenlight.core.errors import ModelFailed
from greenlight.core.records import SECOND

CALL_S = 0.001
BLOCK = 100
"""Calls of one kind in a row; the kinds take turns, so that both meet the same noise."""


def measure(calls: int) -> Found:
    """So many calls of every kind, in microseconds by median.

    Args:
        calls: a multiple of `BLOCK`.
    """
    return asyncio.run(_measure(calls))


async def _measure(calls: int) -> Found:
    guard = _calls()
    clock, breaker = SystemClock(), CircuitBreaker(5, 5 * SECOND)

    async def alone(call: Callable[[], Awaitable[None]]) -> None:
        ticket = breaker.admit(clock.now())
        assert ticket is not None
        await call()
        breaker.succeeded(ticket, clock.now())

    async def guarded(call: Callable[[], Awaitable[None]]) -> None:
        async with guard.call():
            await call()

    spent = await _in_turn(
        {
            "bare": _working,
            "guarded": lambda: guarded(_working),
            "nothing": _nothing,
            "nothing_with_breaker": lambda: alone(_nothing),
            "nothing_guarded": lambda: guarded(_nothing),
        },
        calls,
    )
    refused = await _refusals(calls)
    await guard.close()
    return {
        "calls": calls,
        "call_us": round(spent["bare"], 2),
        "guarded_call_us": round(spent["guarded"], 2),
        "overhead": round(spent["guarded"] / spent["bare"] - 1, 5),
        "breaker_us": round(spent["nothing_with_breaker"] - spent["nothing"], 3),
        "guard_us": round(spent["nothing_guarded"] - spent["nothing"], 3),
        "refusal_us": round(refused, 3),
    }


def _calls(failures: int = 5) -> Calls:
    """Calls to a place that is never asked."""
    return Calls(
        "http://127.0.0.1:9/",
        clock=SystemClock(),
        timeout=2 * SECOND,
        failures=failures,
        reset=3600 * SECOND,
        concurrency=128,
    )


async def _nothing() -> None:
    return


async def _working() -> None:
    """A call of a millisecond. It works all the time: what waits wakes up when it pleases."""
    end = time.perf_counter() + CALL_S
    while time.perf_counter() < end:
        pass


async def _in_turn(kinds: dict[str, Callable[[], Awaitable[None]]], calls: int) -> dict[str, float]:
    """The median of each kind, in µs."""
    spent: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(calls // BLOCK):
        for name, call in kinds.items():
            spent[name] += [await _timed(call) for _ in range(BLOCK)]
    return {name: 1e6 * statistics.median(seconds) for name, seconds in spent.items()}


async def _timed(call: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began


async def _refusals(calls: int) -> float:
    """The median of calls that an open breaker turns away, in µs."""
    guard = _calls(failures=1)
    guard.end(guard.begin(), ModelFailed("away"))

    async def refused() -> None:
        try:
            async with guard.call():
                raise AssertionError("the breaker is open")
        except ModelFailed:
            return

    found = await _in_turn({"refused": refused}, calls)
    await guard.close()
    return found["refused"]
