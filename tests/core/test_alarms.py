"""O2: declared alarms, as a truth table."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import msgspec
import pytest

from greenlight.core.alarms import (
    DEFAULT_ALARMS,
    KINDS,
    AlarmRule,
    ArmReading,
    Judgement,
    Reading,
    State,
    Watch,
    judge,
)
from greenlight.core.errors import PolicyError
from greenlight.core.policy import DecisionPolicy
from greenlight.core.reasons import alarm, alarms
from greenlight.core.records import HOUR, MINUTE, SECOND
from greenlight.core.states import Variant

RULE = AlarmRule(name="p95_latency_ms", over=150.0)
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
    """O2"""
    watch = Watch(rule=RULE)
    for minute in range(6):
        requests, value = seen.get(minute, (0, 0.0))
        watch.feed(minute, requests, value=value)
    assert watch.state(5) == expected


def test_a_rate_is_that_of_bad_requests() -> None:
    """O2"""
    watch = Watch(rule=AlarmRule(name="server_error_rate", over=0.005, duration=2 * MINUTE))
    assert watch.rule.minutes == 2
    for minute in range(100):
        watch.feed(minute, 1000, bad=6)
    assert watch.state(99) == "breached"
    assert len(watch.seen) == 2, "it remembers what counts, however long it watches"
    watch.feed(100, 1000, bad=5)
    assert watch.state(100) == "ok"
    with pytest.raises(ValueError, match="either"):
        watch.feed(101, 10)


@pytest.mark.parametrize("value", [1.0, 999.0])
def test_what_is_younger_than_the_duration_has_no_data(value: float) -> None:
    """O2: neither slow nor healthy, before it has been watched for once that long."""
    watch = Watch(rule=RULE)
    for minute in range(4):
        watch.feed(minute, 1000, value=value)
        assert watch.state(minute) == "no_data"
    watch.feed(4, 1000, value=value)
    assert watch.state(4) == ("ok" if value == 1.0 else "breached")


def test_a_reading_has_the_numbers() -> None:
    """O2: what was measured last, for how many minutes in a row, and on how much."""
    watch = Watch(rule=RULE)
    for minute, value in enumerate([200.0, 100.0, 160.0, 170.0, 180.0]):
        watch.feed(minute, 10, value=value)
    assert watch.read(4) == ArmReading(state="ok", value=180.0, minutes_over=3, requests=50)
    watch.feed(5, 0, value=0.0)
    assert watch.read(5) == ArmReading(state="ok", value=180.0, minutes_over=0, requests=40)
    assert watch.read(99) == ArmReading(state="no_data")


STATES: tuple[State, ...] = get_args(State)
TABLE: dict[State, tuple[Judgement, ...]] = {
    # control:    ok        breached  no_data     stale    failing
    "ok": ("ok", "page", "no_data", "stale", "failing"),
    "breached": ("rollback", "page", "rollback", "page", "page"),
    "no_data": ("no_data", "page", "no_data", "stale", "failing"),
    "stale": ("stale", "page", "stale", "stale", "failing"),
    "failing": ("failing", "page", "failing", "failing", "failing"),
}


@pytest.mark.parametrize(("candidate", "control"), list(itertools.product(STATES, STATES)))
def test_both_arms(candidate: State, control: State) -> None:
    """O2: only a candidate that is seen to breach alone is rolled back; no data is never healthy,
    and nothing is compared with what cannot be seen."""
    assert judge(candidate, control) == TABLE[candidate][STATES.index(control)]


def reading(candidate: State, control: State | None = "ok", **fields: Any) -> Reading:
    """How two arms stand that measured 180.25 and 12.0."""
    arms = {Variant.CANDIDATE: ArmReading(state=candidate, value=180.25)}
    if control is not None:
        arms[Variant.CONTROL] = ArmReading(state=control, value=12.0)
    return Reading(
        judgement=judge(candidate, control or "ok"), over=150.0, for_s=300, arms=arms, **fields
    )


NUMBERS = "(candidate 180.2 ms, control 12.0 ms; 150.0 ms for 5 min is the limit)"


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (reading("ok"), "below its threshold"),
        (reading("breached"), "the candidate breaches it, control does not"),
        (
            reading("breached", "breached"),
            "both arms breach it, so it says nothing of the candidate; somebody should look",
        ),
        (
            reading("ok", "breached"),
            "control breaches it, so it says nothing of the candidate; somebody should look",
        ),
        (
            reading("breached", "stale"),
            "the candidate breaches it and control cannot be seen, so there is nothing to compare "
            "it with; somebody should look",
        ),
        (reading("no_data"), "there is too little traffic to tell, which is not health"),
        (
            reading("no_data", left_s=120),
            "it has not been watched for long enough yet, 120 s are still to come",
        ),
        (reading("stale"), "a gateway has not reported the last minutes, so nobody knows"),
        (
            reading("failing"),
            "it cannot be measured: the store does not answer (see the controller's log)",
        ),
    ],
)
def test_what_is_said(found: Reading, says: str) -> None:
    """O2: every judgement has a reason with its numbers."""
    assert alarm("p95_latency_ms", found) == f"alarm p95_latency_ms: {says} {NUMBERS}"


def test_alarms_that_are_judged_alike_are_said_together() -> None:
    """O2"""
    found = {
        "p95_latency_ms": reading("breached"),
        "server_error_rate": msgspec.structs.replace(reading("ok"), arms={}, over=0.005),
        "class_shift": msgspec.structs.replace(reading("breached", None), over=0.05),
    }
    assert alarms(found, "rollback") == (
        "alarm class_shift: the candidate breaches it, control does not (candidate 180.2 bits; "
        "0.05 bits for 5 min is the limit); "
        f"alarm p95_latency_ms: the candidate breaches it, control does not {NUMBERS}"
    )
    assert alarms(found, "ok") == (
        "alarm server_error_rate: below its threshold (0.5% for 5 min is the limit)"
    )
    assert alarms(found, "page") == alarms({}, "ok") == ""


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "p95_latency"}, "no such alarm; did you mean 'p95_latency_ms'?"),
        ({"name": "price"}, "no such alarm; there are: bad_feedback_rate, class_shift, "),
        ({"name": "server_error_rate", "over": 5.0}, r"over: 5.0 is outside \[0, 1\)"),
        ({"over": -1.0}, "over: -1.0 ms is no time"),
        ({"duration": 90 * SECOND}, 'for: must be whole minutes, at most 1h, such as "5m"'),
        ({"duration": 0}, "for: must be whole minutes"),
        ({"duration": HOUR + MINUTE}, "for: must be whole minutes"),
        ({"min_requests": 0}, "min_requests: 0 would take no data for health; use 1 or more"),
    ],
)
def test_a_rule_checks_itself(fields: dict[str, Any], says: str) -> None:
    """O2"""
    with pytest.raises(PolicyError, match=says):
        AlarmRule(**{"name": "p95_latency_ms", "over": 150.0, **fields})


def test_alarms_are_part_of_the_policy() -> None:
    """O2: frozen at the start, and in its digest; nothing is declared unless somebody does."""
    assert DecisionPolicy().alarms == {}
    policy = DecisionPolicy(alarms=dict(DEFAULT_ALARMS))
    frozen = msgspec.to_builtins(policy)
    assert frozen["alarms"]["p95_latency_ms"]["for"] == 5 * MINUTE
    assert msgspec.convert(frozen, DecisionPolicy) == policy
    assert policy.digest != DecisionPolicy().digest
    assert {name: (rule.over, rule.duration) for name, rule in DEFAULT_ALARMS.items()} == {
        "p95_latency_ms": (150.0, 5 * MINUTE),
        "server_error_rate": (0.005, 5 * MINUTE),
    }
    with pytest.raises(PolicyError, match=r"alarms.class_shift: the rule is for p95_latency_ms"):
        DecisionPolicy(alarms={"class_shift": RULE})
    assert [name for name, kind in KINDS.items() if kind.compares] == [
        "class_shift",
        "shadow_disagreement_rate",
    ]
