"""A circuit breaker: after too many failures in a row, stop asking for a while.

    state      on                                   next
    closed     failure, fewer than `threshold`      closed
    closed     failure number `threshold` in a row  open
    closed     success                              closed, count back to 0
    open       `reset` has passed, a call is asked  half-open: this one call, the probe, may go
    half-open  the probe succeeds                   closed
    half-open  the probe fails                      open
    half-open  no word of the probe for `reset`     half-open, with a new probe

Pure: it is told the time. (Nygard, Release It!, 2nd ed., "Circuit Breaker".)
"""

from __future__ import annotations

import enum


class BreakerState(enum.StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """Lets nothing through for a while after too many failures in a row.

    Ask `admit` before a call; tell `succeeded` or `failed` after it, with the ticket it gave. A
    ticket names the period in which the call began, so that a straggler from before the breaker
    opened can neither close it nor count twice.
    """

    def __init__(self, threshold: int, reset: int) -> None:
        """Start closed.

        Args:
            threshold: consecutive failures that open the breaker, at least 1.
            reset: how long it stays open before a probe, in microseconds.
        """
        if threshold < 1:
            raise ValueError(f"threshold: {threshold} failures can open nothing; use 1 or more")
        if reset < 0:
            raise ValueError(f"reset: {reset} µs is negative")
        self._threshold = threshold
        self._reset = reset
        self._failures = 0
        self._period = 0
        self._state = BreakerState.CLOSED
        self._since = 0
        self._open_since: int | None = None

    @property
    def state(self) -> BreakerState:
        """Open stays open until a call is asked for after the reset time."""
        return self._state

    @property
    def open_since(self) -> int | None:
        """When it first opened since the last success; None while it is closed.

        A probe that fails does not change it: nothing has got through in between.
        """
        return self._open_since

    def admit(self, now: int) -> int | None:
        """A ticket for one call, or None while the breaker lets nothing through."""
        if self._state is BreakerState.CLOSED:
            return self._period
        if now - self._since < self._reset:
            return None
        self._enter(BreakerState.HALF_OPEN, now)
        return self._period

    def succeeded(self, ticket: int, now: int) -> None:
        """The call with this ticket was answered."""
        if ticket != self._period:
            return
        if self._state is BreakerState.HALF_OPEN:
            self._enter(BreakerState.CLOSED, now)
            self._open_since = None
        self._failures = 0

    def failed(self, ticket: int, now: int) -> None:
        """The call with this ticket was not answered."""
        if ticket != self._period:
            return
        self._failures += 1
        if self._state is BreakerState.HALF_OPEN or self._failures >= self._threshold:
            self._enter(BreakerState.OPEN, now)
            if self._open_since is None:
                self._open_since = now

    def _enter(self, state: BreakerState, now: int) -> None:
        self._state = state
        self._since = now
        self._period += 1
