"""The rows of the rollout's page on declared alarms (M3, O2)."""

from __future__ import annotations

from greenlight.core.records import MINUTE
from greenlight.dashboard.guardrails import OK, UNKNOWN, WATCH, Guardrail, guardrails
from greenlight.reporting.underway import alive, underway
from greenlight.testing.world import Quality
from tests.scenarios.test_alarms import FINE, SHADOWED, SLOW, Watched


def rows(it: Watched) -> dict[str, Guardrail]:
    """The page's rows by name."""
    now = it.clock.now()
    found = underway(it.store, it.now(), lookout=it.lookout, now=now)
    return {row.name: row for row in guardrails(found, alive(it.store, now), now)}


def test_each_arm_is_shown_against_the_threshold() -> None:
    """O2: while it is young, where it is healthy, and as it ended."""
    it = Watched(SLOW)
    it.live(2 * MINUTE)
    latency = rows(it)["Alarm p95_latency_ms"]
    assert latency.state == UNKNOWN
    assert latency.says == (
        "it has not been watched for long enough yet: candidate 200.0 ms, over for 2 of 5 min "
        "(no data); control 5.0 ms, over for 0 of 5 min (no data); more than 150.0 ms for 5 min is "
        "too much"
    )
    it.live(4 * MINUTE)
    ended = rows(it)
    assert ended["Alarm p95_latency_ms"].state == WATCH
    assert "the candidate breaches it, control does not" in ended["Alarm p95_latency_ms"].says
    errors = ended["Alarm server_error_rate"]
    assert (errors.state, errors.says.startswith("below its threshold: candidate 0%")) == (OK, True)


def test_what_is_not_watched_now_says_when() -> None:
    """O2: copies in the shadow, users out of it."""
    it = Watched(FINE, policy=SHADOWED)
    it.live(MINUTE // 2)
    found = rows(it)
    assert found["Alarm class_shift"].says == "watched only while users meet the candidate"
    assert "candidate nothing yet" in found["Alarm shadow_disagreement_rate"].says
    it.live(3 * MINUTE)
    assert it.weights() == [0.0, 0.5]
    assert rows(it)["Alarm shadow_disagreement_rate"].says == "watched only in the shadow"


def test_nothing_declared_is_nothing_watched() -> None:
    """O2"""
    policy = type(SHADOWED)()
    it = Watched(Quality(good=0.9), policy=policy)
    assert rows(it)["Alarms"] == Guardrail(name="Alarms", state=OK, says="none is declared")
