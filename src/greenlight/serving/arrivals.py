"""When requests arrived: strictly increasing times, and which of them are still being answered.

Evidence waits until every gateway has stored all that it received up to a moment. So a gateway's
times must never run backwards, and a request that is not recorded yet must hold that moment back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from greenlight.ports import Clock


class Arrivals:
    """Hands out receive times and remembers those whose request is not recorded yet."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0
        self._open: dict[int, None] = {}

    def open(self) -> int:
        """The receive time of a request that has just arrived whole; to be closed once recorded.

        The time is in microseconds and unique to the request.
        """
        at = self._last = max(self._last + 1, self._clock.now())
        self._open[at] = None
        return at

    def close(self, at: int) -> None:
        """The request that arrived then is recorded, or will never be."""
        del self._open[at]

    @contextmanager
    def arrive(self) -> Iterator[int]:
        """A receive time, open as long as the block lasts."""
        at = self.open()
        try:
            yield at
        finally:
            self.close(at)

    def complete_until(self) -> int:
        """A time up to which every request has been recorded, and none will arrive any more."""
        oldest = next(iter(self._open), None)
        if oldest is not None:
            return oldest - 1
        self._last = max(self._last, self._clock.now() - 1)
        return self._last
