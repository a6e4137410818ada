"""The rules of drills (O6): what may be held, that none ever grows, and when one has passed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core import drill
from greenlight.core.alarms import DEFAULT_ALARMS, AlarmRule
from greenlight.core.drill import FAULTS, Findings, failure
from greenlight.core.errors import BadInput
from greenlight.core.orders import refusal
from greenlight.core.policy import DecisionPolicy, RolloutPolicy, Step
from greenlight.core.records import MINUTE, SECOND, Version
from greenlight.core.states import Action, VersionStatus
from greenlight.core.verdict import decide
from tests.core.test_verdict import LAST, LIMIT, NOW, POLICY, WIN, arms, evidence, situation

WORDS = "errors: 5% of its calls fail"
HERE = {"kind": "in_process"}


@pytest.mark.parametrize(
    ("changes", "seen", "action", "code"),
    [
        ({}, {}, Action.HOLD, "drill"),
        (LAST, {"superiority": WIN}, Action.HOLD, "drill"),
        ({"soaking_since": NOW}, {}, Action.HOLD, "drill"),
        ({}, {"exposed": 0}, Action.HOLD, "drill"),
        ({}, {"errors": LIMIT, "failed": 2}, Action.ROLLBACK, "errors"),
        ({}, {"quality": LIMIT}, Action.ROLLBACK, "quality"),
        ({"arms": arms(served=900)}, {}, Action.HOLD, "served_share"),
        ({"complete_until": None}, {}, Action.HOLD, "stale"),
        ({"started_at": 0}, {}, Action.INCONCLUSIVE, "horizon"),
    ],
)
def test_a_drill_is_rolled_back_like_any_rollout_and_never_grows(
    changes: dict[str, Any], seen: dict[str, Any], action: Action, code: str
) -> None:
    """The truth table of a drill; without the drill the first two rows widen and promote."""
    verdict = decide(situation(drill=WORDS, **changes), evidence(**seen), POLICY, NOW)
    assert (verdict.action, verdict.code) == (action, code)


def test_what_a_drill_says_of_itself() -> None:
    """Who reads its evidence knows why a test past its threshold did nothing."""
    runtime = drill.runtime_of(HERE, "errors", 0.05)
    assert drill.told(runtime) == WORDS
    assert drill.told(runtime, "alarm") == f"{WORDS}; only an alarm may roll it back"


@given(
    step=st.integers(0, 1),
    soaked=st.booleans(),
    log_e=st.dictionaries(
        st.sampled_from(["superiority", "quality", "errors", "no_worse__step", "intention"]),
        st.floats(-5, 20),
    ),
)
def test_nothing_makes_a_drill_grow(step: int, soaked: bool, log_e: dict[str, float]) -> None:
    """At best it is inconclusive, whatever the evidence says and whoever orders it."""
    changes = {"step": step, "drill": WORDS} | ({} if soaked else {"soaking_since": NOW})
    held, known = situation(**changes), evidence(**log_e)
    assert decide(held, known, POLICY, NOW).action not in (Action.WIDEN, Action.PROMOTE)
    order = Action.PROMOTE if step else Action.WIDEN
    assert refusal(order, held, known, POLICY, NOW) is not None


def version(label: str, runtime: dict[str, Any], bundle: str = "sha256:b") -> Version:
    return Version(
        digest=f"sha256:{label}",
        task="desk",
        label=label,
        bundle=bundle,
        runtime=runtime,
        lineage={},
        initiator="ana",
        status=VersionStatus.APPROVED,
        at=1,
    )


LIVE = version("desk@1", HERE)
DRILL = version("desk@drill-errors", drill.runtime_of(HERE, "errors", 0.05))
BY_ALARM = msgspec.structs.replace(POLICY, trigger="alarm")


@pytest.mark.parametrize(
    ("candidate", "policy", "held", "says"),
    [
        (DRILL, POLICY, True, None),
        (DRILL, BY_ALARM, True, None),
        (version("desk@2", HERE, "sha256:c"), POLICY, False, None),
        (DRILL, POLICY, False, "rehearses a fault (errors: 5% of its calls fail)"),
        (version("desk@2", HERE, "sha256:c"), POLICY, True, "rehearses no fault"),
        (version("desk@2", HERE, "sha256:c"), BY_ALARM, False, "only in a drill"),
        (
            version("desk@d", drill.runtime_of(HERE, "errors", 0.05), "sha256:old"),
            POLICY,
            True,
            "on a version that is not live; desk@1 is",
        ),
        (
            version("desk@d", drill.runtime_of({"kind": "http", "url": "u"}, "errors", 0.05)),
            POLICY,
            True,
            "on a version that is not live",
        ),
    ],
)
def test_what_may_be_held_as_a_drill(
    candidate: Version, policy: DecisionPolicy, held: bool, says: str | None
) -> None:
    found = drill.unfit(LIVE, candidate, policy, held=held)
    assert found is None if says is None else says in str(found)


def test_no_drill_is_held_on_a_drill_and_faults_have_bounds() -> None:
    with pytest.raises(BadInput, match="not on another drill"):
        drill.runtime_of(DRILL.runtime, "errors", 0.05)
    with pytest.raises(BadInput, match="there are errors, latency, quality"):
        drill.runtime_of(HERE, "fire", 0.05)
    for fault, bad in (("errors", 0.0), ("errors", 1.1), ("quality", -0.1), ("latency", 61.0)):
        with pytest.raises(BadInput, match="above 0 and at most"):
            drill.runtime_of(HERE, fault, bad)
    assert drill.in_earnest(DRILL.runtime) == HERE
    assert drill.told(drill.runtime_of(HERE, "latency", 0.25)) == (
        "latency: every call takes 0.25 s longer"
    )
    assert drill.told(drill.runtime_of(HERE, "quality", 0.3)) == (
        "quality: 30% of its answers are another label"
    )


def test_the_shadow_is_left_out() -> None:
    rules = RolloutPolicy(steps=(Step(weight=0.1), Step(weight=1.0)), shadow=MINUTE)
    policy = drill.before_users(DecisionPolicy(rollout=rules))
    assert policy.rollout.ladder[0].weight == 0.1


GONE = Findings(
    exposed_at=100 * SECOND,
    decided_at=110 * SECOND,
    action="rollback",
    code="errors",
    reason="more failures",
    applied_at=111 * SECOND,
    user_errors=0,
)
ALARMED = msgspec.structs.replace(
    GONE, code="alarm", alarm="server_error_rate", alarm_at=105 * SECOND
)


@pytest.mark.parametrize(
    ("found", "fault", "trigger", "says"),
    [
        (GONE, "errors", "evidence", None),
        (msgspec.structs.replace(GONE, code="breaker"), "errors", "evidence", None),
        (msgspec.structs.replace(GONE, code="latency_p95"), "latency", "evidence", None),
        (msgspec.structs.replace(GONE, code="metric:clicked"), "quality", "evidence", None),
        (msgspec.structs.replace(GONE, user_errors=None), "errors", "evidence", None),
        (ALARMED, "errors", "alarm", None),
        (msgspec.structs.replace(GONE, exposed_at=None), "errors", "evidence", "no unit met"),
        (msgspec.structs.replace(GONE, action=None), "errors", "evidence", "nothing was decided"),
        (
            msgspec.structs.replace(
                GONE, action="withdraw", code="order", reason="kim: late", before="stay (soaking)"
            ),
            "errors",
            "evidence",
            "called off by kim: late; the last verdict was stay (soaking)",
        ),
        (
            msgspec.structs.replace(GONE, action="inconclusive", code="horizon"),
            "errors",
            "evidence",
            "ended as inconclusive (horizon)",
        ),
        (GONE, "quality", "evidence", "not by evidence of quality"),
        (ALARMED, "errors", "evidence", "by alarm and not by evidence"),
        (GONE, "errors", "alarm", "by errors and not by alarm server_error_rate"),
        (ALARMED, "latency", "alarm", "by alarm and not by alarm p95_latency_ms"),
        (msgspec.structs.replace(GONE, code="order"), "errors", "evidence", "rolled back by order"),
        (msgspec.structs.replace(GONE, applied_at=None), "errors", "evidence", "not every gateway"),
        (
            msgspec.structs.replace(GONE, applied_at=221 * SECOND),
            "errors",
            "evidence",
            "after 2.0 min; 2.0 min is the most",
        ),
        (
            msgspec.structs.replace(ALARMED, exposed_at=111 * SECOND, applied_at=226 * SECOND),
            "errors",
            "alarm",
            "2.0 min after the alarm",
        ),
        (msgspec.structs.replace(GONE, user_errors=2), "errors", "evidence", "users saw 2 errors"),
    ],
)
def test_when_a_drill_has_passed(
    found: Findings, fault: str, trigger: drill.Trigger, says: str | None
) -> None:
    """O3, O6: by what was rehearsed, everywhere, in time, and nobody was left without an answer."""
    why = failure(found, FAULTS[fault], trigger, 2 * MINUTE)
    assert why is None if says is None else says in str(why)


def test_spans() -> None:
    assert (ALARMED.detection, ALARMED.after_alarm, ALARMED.propagation) == (
        10 * SECOND,
        5 * SECOND,
        SECOND,
    )
    assert (ALARMED.whole, ALARMED.alarm_to_control) == (11 * SECOND, 6 * SECOND)
    assert Findings(exposed_at=None).whole is None
    assert msgspec.structs.replace(GONE, action="withdraw").detection is None


def test_an_alarm_that_sees_the_fault_is_declared_where_there_is_none() -> None:
    own = {"server_error_rate": AlarmRule(name="server_error_rate", over=0.02)}
    assert drill.alarms(FAULTS["errors"], own, 0.05, None) == (own, None)
    found, added = drill.alarms(FAULTS["latency"], own, 0.25, None)
    assert found == {**own, "p95_latency_ms": DEFAULT_ALARMS["p95_latency_ms"]}
    assert added == DEFAULT_ALARMS["p95_latency_ms"]
    found, added = drill.alarms(FAULTS["quality"], {}, 0.3, 0.2)
    assert added is not None
    assert (added.name, added.over) == ("bad_feedback_rate", 0.32)
    with pytest.raises(BadInput, match="no alarm bad_feedback_rate is declared"):
        drill.alarms(FAULTS["quality"], {}, 0.3, None)


def test_how_long_a_drill_may_take() -> None:
    """As docs/how-to/drill.md says."""
    errors, quality = FAULTS["errors"], FAULTS["quality"]
    assert drill.limit(errors, POLICY, live=False) == 2 * MINUTE
    assert drill.limit(errors, POLICY, live=True) == 15 * MINUTE
    assert drill.limit(quality, POLICY, live=False) == POLICY.rollout.fast_window + 2 * MINUTE
    assert drill.limit(quality, POLICY, live=True) == POLICY.rollout.fast_window + 30 * MINUTE
    policy = msgspec.structs.replace(BY_ALARM, alarms=dict(DEFAULT_ALARMS))
    assert drill.limit(errors, policy, live=True) == 7 * MINUTE
