"""Release windows on the clock of their zone: why one is closed, and when it opens (G4)."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from greenlight.core.records import SECOND
from greenlight.stages.release_windows import closed, opens_at

WINDOW = "Mon-Thu 09:00-16:00 Europe/Berlin"


def at(text: str, zone: str = "Europe/Berlin") -> int:
    """A moment as a zone's clocks show it, in µs since 1970."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("now", "opening"),
    [
        ("2027-01-11T08:59:59", "2027-01-11T09:00:00"),
        ("2027-01-11T16:00:00", "2027-01-12T09:00:00"),
        ("2027-01-14T23:00:00", "2027-01-18T09:00:00"),
        # Clocks are set forward in the night to Sunday: the morning comes an hour sooner.
        ("2027-03-27T12:00:00", "2027-03-29T09:00:00"),
    ],
)
def test_a_closed_window_says_when_it_opens(now: str, opening: str) -> None:
    assert opens_at(WINDOW, at(now)) == at(opening)
    reason = closed(WINDOW, at(now))
    assert reason is not None and f"it is {datetime.fromisoformat(now):%a %H:%M} there" in reason
    assert reason.endswith(f"it opens on {datetime.fromisoformat(opening):%a at %H:%M}")
    assert opens_at(WINDOW, at(opening)) is None, "and then it does"


def test_an_open_window_and_none_need_no_opening() -> None:
    for window in (WINDOW, None):
        assert closed(window, at("2027-01-11T09:00:00")) is None
        assert opens_at(window, at("2027-01-11T15:59:59")) is None


def test_a_window_of_one_day_opens_a_week_later() -> None:
    window = "Sun 02:00-02:30 UTC"
    opening = at("2027-01-17T02:00:00", "UTC")
    assert opens_at(window, at("2027-01-10T02:30:00", "UTC")) == opening
