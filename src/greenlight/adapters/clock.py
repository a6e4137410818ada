"""The clock on the wall: the only place in Greenlight that reads it."""

from __future__ import annotations

import time


class SystemClock:
    """The operating system's clock (implements `ports.Clock`)."""

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000
