"""Release windows on the clock of their time zone."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from greenlight.core.records import SECOND
from greenlight.core.windows import DAYS, Window, parse


def closed(window: str | None, now: int) -> str | None:
    """Why a candidate may get no more traffic now; None if it may.

    Args:
        window: as it stands in the policy (`core.windows`); None: always open.
        now: microseconds since 1970-01-01 UTC.
    """
    found = None if window is None else parse(window)
    if found is None:
        return None
    there = _there(found, now)
    if _holds(found, there):
        return None
    return (
        f"the release window is {window}, and it is {there:%a %H:%M} there; it opens on "
        f"{_opening(found, there):%a at %H:%M}"
    )


def opens_at(window: str | None, now: int) -> int | None:
    """When a window opens (µs since 1970); None where a candidate may get more traffic now."""
    found = None if window is None else parse(window)
    if found is None:
        return None
    there = _there(found, now)
    return None if _holds(found, there) else int(_opening(found, there).timestamp()) * SECOND


def _there(window: Window, now: int) -> datetime:
    return datetime.fromtimestamp(now // SECOND, UTC).astimezone(ZoneInfo(window.zone))


def _holds(window: Window, there: datetime) -> bool:
    return window.holds(there.weekday(), there.hour * 60 + there.minute)


def _opening(window: Window, there: datetime) -> datetime:
    """The next moment at which a window that is closed opens; every window has a day."""
    at = time(*divmod(window.since, 60), tzinfo=there.tzinfo)
    days = (there.date() + timedelta(more) for more in range(len(DAYS) + 1))
    openings = (datetime.combine(day, at) for day in days if day.weekday() in window.days)
    return next(opening for opening in openings if opening > there)
