"""Declared alarms over whole rollouts: real controller, real events, a clock that is moved (O2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core.alarms import DEFAULT_ALARMS, AlarmRule
from greenlight.core.answers import ArmMinute
from greenlight.core.errors import Refused, StoreError
from greenlight.core.policy import DecisionPolicy, EvidencePolicy, RolloutPolicy, Step
from greenlight.core.records import HOUR, MINUTE, SECOND, Decision, Rollout
from greenlight.core.states import Action, RolloutStatus
from greenlight.lookout import Lookout
from greenlight.reporting.underway import underway
from greenlight.stages.loop import lead, reconcile
from greenlight.stages.replay import replay
from greenlight.testing.world import Quality, World
from tests.scenarios.worlds import TASK, Case, approved

TICK = 10 * SECOND
POLICY = DecisionPolicy(
    rollout=RolloutPolicy(
        steps=(Step(weight=0.5, soak=30 * SECOND), Step(weight=1.0)),
        horizon=HOUR,
        feedback_window=10 * SECOND,
        fast_window=5 * SECOND,
        grace=SECOND,
        min_outcomes=50,
        stale_after=20 * SECOND,
    ),
    evidence=EvidencePolicy(latency_slo_ms=None, min_error_excess=0.9, error_margin=0.1),
    alarms=dict(DEFAULT_ALARMS),
)
"""No evidence of failures or slowness is out of the ordinary: what happens, the alarms do."""
FINE, SLOW = Quality(good=0.9), Quality(good=0.9, latency_ms=200.0)
FAILING = Quality(good=0.9, error=0.2)


class Blind(MemoryStore):
    """A store whose minutes cannot be had while it is `blind`."""

    def __init__(self) -> None:
        super().__init__()
        self.blind = False
        self.asked: list[tuple[int, int]] = []

    def minutes(self, *given: Any, **named: Any) -> list[ArmMinute]:
        """As any store, or not at all."""
        if self.blind:
            raise StoreError("database is locked")
        self.asked.append((named["since"], named["until"]))
        return super().minutes(*given, **named)


class Watched(Case):
    """A rollout whose controller keeps what it has seen of the alarms."""

    store: Blind

    def __init__(
        self, candidate: Quality, control: Quality = FINE, policy: DecisionPolicy = POLICY
    ) -> None:
        self.lookout = Lookout()
        world = World(requests_per_second=2.0, mean_delay=SECOND)
        super().__init__(control, candidate, 1, world, policy, Blind())

    def look(self, authorise: Callable[[Rollout], None] = approved, **given: Any) -> Any:
        """One pass of the controller."""
        now = self.clock.now()
        fence = lead(self.store, "one", now)
        random = self.ids.bytes
        return reconcile(
            self.store,
            TASK,
            authorise=authorise,
            lookout=self.lookout,
            fence=fence,
            now=now,
            random=random,
        )

    def live(self, duration: int) -> Decision:
        """Let the world go on for so long, unless the rollout ends; returns the newest decision."""
        end = self.clock.now() + duration
        while self.clock.now() < end and self.now().ended_at is None:
            self.world.tick(TICK)
            self.look()
        return self.newest()

    def states(self, name: str) -> dict[str, str]:
        """How the arms stand under an alarm, as the newest decision has it."""
        found = self.newest().evidence["situation"]["alarms"][name]["arms"]
        return {arm: one["state"] for arm, one in found.items()}

    def replayed(self) -> bool:
        """Whether every decision comes out the same when it is taken once more."""
        again = replay(self.store, self.now())
        assert [one.difference for one in again if not one.equal] == []
        return len(again) > 0


@pytest.mark.parametrize(
    ("harm", "name"), [(SLOW, "p95_latency_ms"), (FAILING, "server_error_rate")]
)
def test_a_candidate_that_breaches_alone_is_gone_at_the_end_of_the_fifth_minute(
    harm: Quality, name: str
) -> None:
    """O2, O6: without any evidence, and with the numbers on the decision."""
    it = Watched(harm)
    made = it.live(10 * MINUTE)
    assert (made.action, made.code) == (Action.ROLLBACK, "alarm")
    assert made.at == it.rollout.at + 5 * MINUTE
    assert it.now().status == RolloutStatus.ROLLED_BACK
    assert it.routing().candidate is None
    assert made.reason.startswith(f"alarm {name}: the candidate breaches it, control does not (")
    found = made.evidence["situation"]["alarms"][name]
    assert found["arms"]["candidate"]["minutes_over"] == 5
    assert (found["arms"]["control"]["state"], found["judgement"]) == ("ok", "rollback")
    assert (found["at"], found["for_s"]) == (made.at, 300)
    assert it.replayed()


def test_where_both_breach_somebody_should_look() -> None:
    """O2: control's breach only pages."""
    it = Watched(SLOW, SLOW)
    made = it.live(6 * MINUTE)
    assert (made.action, made.code) == (Action.HOLD, "alarm_page")
    assert made.at == it.rollout.at + 5 * MINUTE
    assert "both arms breach it" in made.reason
    assert it.states("p95_latency_ms") == {"control": "breached", "candidate": "breached"}
    with pytest.raises(Refused, match=r"verdict is hold \(alarm_page\)"):
        it.order(Action.PROMOTE)
    it.turn(SLOW, control=FINE)
    assert it.live(2 * MINUTE).code == "alarm", "a minute of control alone below it is enough"
    assert it.replayed()


def test_too_little_traffic_is_no_health() -> None:
    """O2: fewer than `min_requests` over the whole duration: hold, and nothing is promoted."""
    it = Watched(Quality(good=1.0), Quality(good=0.2))
    it.change(requests_per_second=0.15)
    made = it.live(8 * MINUTE)
    assert (made.action, made.code, it.now().step) == (Action.HOLD, "alarm_no_data", 0)
    assert "too little traffic" in made.reason and "which is not health" in made.reason
    it.change(requests_per_second=2.0)
    assert it.live(10 * MINUTE).action == Action.PROMOTE, "what holds is the lack of traffic alone"
    assert it.replayed()


def test_a_young_rollout_says_for_how_long_still() -> None:
    """O2: however good it looks, nothing grows before it has been watched for once that long."""
    it = Watched(Quality(good=1.0), Quality(good=0.2))
    made = it.live(TICK)
    assert (made.action, made.code) == (Action.HOLD, "alarm_no_data")
    assert "not been watched for long enough yet, 290 s are still to come" in made.reason
    assert it.live(5 * MINUTE - 2 * TICK).code == "alarm_no_data"
    assert it.live(TICK).action == Action.PROMOTE
    assert it.now().ended_at == it.rollout.at + 5 * MINUTE


def test_traffic_that_stops_is_no_health() -> None:
    """O2, HABITS: no data is not read as healthy."""
    it = Watched(FINE)
    it.live(6 * MINUTE)
    assert it.states("p95_latency_ms") == {"control": "ok", "candidate": "ok"}
    it.change(requests_per_second=0.0)
    made = it.live(6 * MINUTE)
    assert (made.action, made.code) == (Action.HOLD, "alarm_no_data")
    assert it.states("p95_latency_ms") == {"control": "no_data", "candidate": "no_data"}


def test_an_alarm_that_fails_keeps_nothing_else_from_working() -> None:
    """O2: what cannot be measured holds; errors roll back all the same, by their own evidence."""
    it = Watched(FINE, policy=msgspec.structs.replace(POLICY, evidence=EvidencePolicy()))
    it.live(6 * MINUTE)
    it.store.blind = True
    made = it.live(MINUTE)
    assert (made.action, made.code) == (Action.HOLD, "alarm_failing")
    assert it.states("server_error_rate") == {"control": "failing", "candidate": "failing"}
    it.turn(FAILING)
    made = it.live(3 * MINUTE)
    assert (made.action, made.code) == (Action.ROLLBACK, "errors")
    assert it.replayed()


def test_what_failed_for_a_while_is_made_up_for() -> None:
    """O2: the minutes that could not be had are asked for again, and none is left out."""
    it = Watched(SLOW)
    it.live(2 * MINUTE)
    it.store.blind = True
    it.live(2 * MINUTE)
    it.store.blind = False
    made = it.live(2 * MINUTE)
    assert (made.code, made.at) == ("alarm", it.rollout.at + 5 * MINUTE)


def test_a_silent_gateway_makes_alarms_stale() -> None:
    """O2: what has not been heard is neither healthy nor a breach."""
    it = Watched(SLOW)
    it.live(4 * MINUTE)
    it.clock.advance(2 * MINUTE)
    made = it.look()
    assert (made.action, made.code) == (Action.HOLD, "stale")
    assert it.states("p95_latency_ms") == {"control": "stale", "candidate": "stale"}
    assert it.look() is None, "nothing new"
    assert it.replayed()


def test_a_minute_is_asked_for_once() -> None:
    """O2: what looking costs does not depend on how often it is done."""
    it = Watched(FINE)
    it.live(3 * MINUTE)
    began = it.rollout.at
    each = [(began + n * MINUTE, began + (n + 1) * MINUTE) for n in range(3)]
    assert it.store.asked == each
    it.lookout = Lookout()
    it.look()
    assert it.store.asked == [*each, (began, began + 3 * MINUTE)], "who begins anew asks for all"


@pytest.mark.parametrize("restarted", [150, 290])
def test_a_restart_does_not_move_the_moment(restarted: int) -> None:
    """O2: the alarm comes as it would have come without it."""
    it = Watched(SLOW)
    it.live(restarted * SECOND)
    it.lookout = Lookout()
    made = it.live(10 * MINUTE)
    assert (made.code, made.at) == ("alarm", it.rollout.at + 5 * MINUTE)


def test_a_slow_burn_at_the_threshold_is_no_breach() -> None:
    """O2: over means over."""
    it = Watched(Quality(good=0.9, latency_ms=150.0))
    it.live(8 * MINUTE)
    assert it.now().status == RolloutStatus.RUNNING
    assert it.states("p95_latency_ms")["candidate"] == "ok"


def test_a_single_good_minute_starts_the_count_anew() -> None:
    """O2: every minute of the duration must be over."""
    it = Watched(SLOW)
    it.live(3 * MINUTE)
    it.turn(FINE)
    it.live(MINUTE)
    it.turn(SLOW)
    made = it.live(10 * MINUTE)
    assert (made.code, made.at) == ("alarm", it.rollout.at + 9 * MINUTE)


def test_a_change_of_an_alarm_is_news_and_its_measurements_are_not() -> None:
    """O2: each state of an alarm stands on a decision, however often nothing else changes."""
    it = Watched(FINE)
    it.live(5 * MINUTE)
    before = len(it.decisions())
    it.live(MINUTE)
    assert len(it.decisions()) == before
    it.turn(FINE, control=SLOW)
    it.live(5 * MINUTE)
    assert it.codes()[before:] == ["alarm_page"]
    it.turn(SLOW, control=SLOW)
    it.live(5 * MINUTE)
    assert it.codes()[before:] == ["alarm_page", "alarm_page"], "now the candidate as well"


def test_what_is_shown_is_of_now() -> None:
    """O2, M3: between two decisions, too; of what has ended, what the last one saw."""
    it = Watched(SLOW)
    it.live(2 * MINUTE)
    seen = underway(it.store, it.now(), lookout=it.lookout, now=it.clock.now()).alarms
    arm = seen["p95_latency_ms"].arms
    assert [(arm[one].value, arm[one].minutes_over) for one in sorted(arm)] == [
        (200.0, 2),
        (5.0, 0),
    ]
    decided = underway(it.store, it.now()).alarms["p95_latency_ms"]
    assert {one.minutes_over for one in decided.arms.values()} == {0}
    it.live(4 * MINUTE)
    ended = underway(it.store, it.now(), now=it.clock.now()).alarms["p95_latency_ms"]
    assert ended.judgement == "rollback"


SHADOWED = DecisionPolicy(
    rollout=msgspec.structs.replace(POLICY.rollout, shadow=MINUTE),
    alarms={
        name: AlarmRule(name=name, over=0.1, duration=2 * MINUTE)
        for name in ("shadow_disagreement_rate", "class_shift")
    },
)


def test_a_candidate_that_says_other_things_ends_in_the_shadow() -> None:
    """O2, S6: an accuracy proxy; a copy may be as much later than its request as `grace` says."""
    it = Watched(Quality(good=0.9, differs=0.4), policy=SHADOWED)
    made = it.live(5 * MINUTE)
    assert made.reason.startswith("alarm shadow_disagreement_rate: the candidate breaches it")
    assert made.at == it.rollout.at + 2 * MINUTE + TICK, "the first look after the grace"
    assert it.weights() == [0.0]
    assert it.replayed()


def test_a_candidate_with_other_labels_leaves_the_shadow_and_is_gone() -> None:
    """O2: an accuracy proxy among users, counted from when they first met it."""
    other = Quality(good=0.9, says="transfer", differs=0.05)
    it = Watched(other, Quality(good=0.9, says="card"), policy=SHADOWED)
    made = it.live(10 * MINUTE)
    assert made.reason.startswith("alarm class_shift: the candidate breaches it")
    assert it.weights() == [0.0, 0.5]
    met = it.decisions()[-1].at - 2 * MINUTE
    assert [one.at for one in it.decisions() if one.action == Action.WIDEN] == [met]
    assert it.replayed()
