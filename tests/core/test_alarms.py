"""O2: declared alarms, as a truth table."""

from __future__ import annotations

import pytest

from greenlight.core.alarms import AlarmRule, Judgement, State, Watch, judge
from greenlight.core.records import MINUTE, SECOND

RULE = AlarmRule(name="p95", over=150.0)
SLOW = {minute: (10, 151.0) for minute in range(1, 6)}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (SLOW, "breached"),
        ({**SLOW, 3: (10, 150.0)}, "ok"),
        ({minute: (5, 999.0) for minute in range(1, 6)}, "no_data"),
        ({minute: (6, 999.0) for minute in range(1, 6)}, "breached"),
        ({5: (1000, 999.0)}, "no_data"),
        ({5: (1000, 999.0), 2: (9, 1.0)}, "ok"),
        ({}, "no_data"),
        ({0: (1000, 1.0)}, "no_data"),
    ],
    ids=[
        "over in every minute",
        "at the threshold once",
        "too few requests over the whole duration",
        "just enough",
        "silent minutes beside one that is over",
        "silent minutes, and one that is healthy",
        "nothing at all",
        "data of long ago",
    ],
)
def test_an_arm(seen: dict[int, tuple[int, float]], expected: State) -> None:
    watch = Watch(rule=RULE)
    for minute in range(6):
        requests, value = seen.get(minute, (0, 0.0))
        watch.feed(minute, requests, value=value)
    assert watch.state(5) == expected


def test_a_rate_is_that_of_bad_requests() -> None:
    watch = Watch(rule=AlarmRule(name="errors", over=0.005, duration=90 * SECOND))
    assert watch.rule.minutes == 2
    for minute in range(100):
        watch.feed(minute, 1000, bad=6)
    assert watch.state(99) == "breached"
    assert len(watch.seen) == 2, "it remembers what counts, however long it watches"
    watch.feed(100, 1000, bad=5)
    assert watch.state(100) == "ok"
    with pytest.raises(ValueError, match="either"):
        watch.feed(101, 10)
    assert AlarmRule(name="x", over=1.0, duration=MINUTE // 2).minutes == 1


@pytest.mark.parametrize(
    ("candidate", "control", "expected"),
    [
        ("ok", "ok", "ok"),
        ("ok", "breached", "page"),
        ("ok", "no_data", "hold"),
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
