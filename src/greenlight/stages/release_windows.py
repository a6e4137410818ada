"""Release windows on the clock of their time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from greenlight.core.records import SECOND
from greenlight.core.windows import parse


def closed(window: str | None, now: int) -> str | None:
    """Why a candidate may get no more traffic now; None if it may.

    Args:
        window: as it stands in the policy (`core.windows`); None: always open.
        now: microseconds since 1970-01-01 UTC.
    """
    found = None if window is None else parse(window)
    if found is None:
        return None
    there = datetime.fromtimestamp(now // SECOND, UTC).astimezone(ZoneInfo(found.zone))
    if found.holds(there.weekday(), there.hour * 60 + there.minute):
        return None
    return f"the release window is {window}, and it is {there:%a %H:%M} there"
