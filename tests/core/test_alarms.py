"""O2: declared alarms, as a truth table."""

from __future__ import annotations

import pytest

from greenlight.core.alarms import AlarmRule, Judgement, Minute, State, judge, state

RULE = AlarmRule(name="p95", over=150.0, minutes=5)
SLOW = {minute: Minute(10, 151.0) for minute in range(1, 6)}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (SLOW, "breached"),
        ({**SLOW, 3: Minute(10, 150.0)}, "ok"),
        ({minute: Minute(5, 999.0) for minute in range(1, 6)}, "no_data"),
        ({minute: Minute(6, 999.0) for minute in range(1, 6)}, "breached"),
        ({5: Minute(1000, 999.0)}, "ok"),
        ({}, "no_data"),
        ({0: Minute(1000, 1.0)}, "no_data"),
    ],
    ids=[
        "over in every minute",
        "at the threshold once",
        "too few requests over the whole duration",
        "just enough",
        "one minute alone",
        "nothing at all",
        "data of long ago",
    ],
)
def test_an_arm(seen: dict[int, Minute], expected: State) -> None:
    assert state(RULE, seen, 5) == expected


@pytest.mark.parametrize(
    ("candidate", "control", "expected"),
    [
        ("ok", "ok", "ok"),
        ("ok", "breached", "page"),
        ("ok", "no_data", "ok"),
        ("breached", "ok", "rollback"),
        ("breached", "breached", "page"),
        ("breached", "no_data", "rollback"),
        ("no_data", "ok", "hold"),
        ("no_data", "breached", "page"),
        ("no_data", "no_data", "hold"),
    ],
)
def test_both_arms(candidate: State, control: State, expected: Judgement) -> None:
    """Only a candidate that breaches alone is rolled back; no data is never healthy."""
    assert judge(candidate, control) == expected
