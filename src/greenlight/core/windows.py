"""Release windows: the hours of the week in which a candidate may get more traffic (G4)."""

from __future__ import annotations

import re

import msgspec

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EXAMPLE = '"Mon-Thu 09:00-16:00 Europe/Berlin"'

_FORM = re.compile(
    r"(?P<days>\w{3}(?:-\w{3})?(?:,\w{3}(?:-\w{3})?)*) "
    r"(?P<from>\d\d:\d\d)-(?P<to>\d\d:\d\d) (?P<zone>[\w+/-]+)"
)
_WEEK = len(DAYS)
_DAY_MINUTES = 24 * 60


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Some days of the week, from one time of day to another, where a time zone's clocks show it.

    Days are numbered from 0 (Monday), times are minutes since midnight; `until` is not in it.
    """

    days: frozenset[int]
    since: int
    until: int
    zone: str

    def holds(self, day: int, minute: int) -> bool:
        """Whether it is open on a day of the week at a minute of the day."""
        return day in self.days and self.since <= minute < self.until


def parse(text: str) -> Window | None:
    """The window that a text names; None if it names none.

    Days are a list of days and spans (`Mon-Thu`, `Mon,Wed,Fri`), then the times, then the zone.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    days: set[int] = set()
    for part in found["days"].split(","):
        ends = part.split("-")
        if any(end not in DAYS for end in ends):
            return None
        first, last = DAYS.index(ends[0]), DAYS.index(ends[-1])
        days |= {(first + more) % _WEEK for more in range((last - first) % _WEEK + 1)}
    since, until = _minutes(found["from"]), _minutes(found["to"])
    if since is None or until is None or since >= until:
        return None
    return Window(days=frozenset(days), since=since, until=until, zone=found["zone"])


def _minutes(text: str) -> int | None:
    hour, minute = int(text[:2]), int(text[3:])
    total = hour * 60 + minute
    return total if minute < 60 and total <= _DAY_MINUTES else None
