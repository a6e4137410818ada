"""Worlds in which something stops or fails in the middle: what is missing is never taken for good
news, and nothing ships for want of it (O1, O5)."""

from __future__ import annotations

import pytest

from greenlight.core.errors import StoreError
from greenlight.core.records import MINUTE, SECOND, EvidenceState, Inference, Replica
from greenlight.core.states import Action, RolloutStatus, VersionStatus
from greenlight.testing.world import Quality
from tests.scenarios.faults import Deaf
from tests.scenarios.worlds import AWFUL, BRIGHT, TICK, Quick, quick, under

SHORT = under(horizon=12 * SECOND)
BEFORE_USERS = under(horizon=12 * SECOND, shadow=2 * SECOND)


def after_widening(it: Quick) -> Quick:
    """The case at its last step, where the proof is all that is missing."""
    it.run(MINUTE, until=lambda: it.now().step == 1)
    assert it.now().step == 1
    return it


def ended_without_a_word(it: Quick) -> bool:
    """Whether the rollout ended by its horizon, with all traffic on control."""
    assert (it.now().status, it.newest().code) == (RolloutStatus.INCONCLUSIVE, "horizon")
    assert (it.routing().candidate, it.routing().control) == (None, it.versions[0])
    assert it.status("intent@2") == VersionStatus.SHELVED
    return it.sound()


def test_feedback_that_stops() -> None:
    """O5: an excellent candidate of which nobody says anything more gets no further."""
    it = after_widening(quick(BRIGHT, policy=SHORT))
    it.change(feedback_rate=0.0)
    it.world._pending.clear()
    it.run(MINUTE)
    assert it.actions().count(Action.WIDEN) == 1
    assert ended_without_a_word(it)


def test_feedback_of_the_candidate_that_stops() -> None:
    """EVIDENCE, presence: control's goes on. What is heard of one arm alone compares nothing."""
    it = quick(BRIGHT, policy=SHORT)
    it.run(SECOND)
    judge = it.world._judge
    it.world._judge = lambda row, quality: row.variant == "control" and judge(row, quality)
    it.run(MINUTE)
    assert Action.PROMOTE not in it.actions()
    assert it.routing().control == it.versions[0]
    assert it.sound()


@pytest.mark.parametrize("policy", [SHORT, BEFORE_USERS], ids=["canary", "shadow"])
def test_traffic_that_stops(policy: object) -> None:
    """O5: gateways live and nobody asks: no harm, no proof, and no growth in the end."""
    it = quick(BRIGHT, policy=policy)  # type: ignore[arg-type]
    it.run(TICK)
    it.change(requests_per_second=0.0)
    it.run(MINUTE)
    assert not {Action.WIDEN, Action.PROMOTE} & set(it.actions())
    assert ended_without_a_word(it)


def test_traffic_that_stops_and_comes_back() -> None:
    """EVIDENCE: the break says nothing for or against; what was shown before it still counts."""
    it = quick(BRIGHT)
    it.run(3 * SECOND)
    it.change(requests_per_second=0.0)
    it.run(20 * SECOND)
    known = it.store.get(EvidenceState, it.rollout.id)
    it.run(5 * SECOND)
    assert it.store.get(EvidenceState, it.rollout.id) == known
    it.change(requests_per_second=60.0)
    assert it.run(MINUTE).status == RolloutStatus.PROMOTED
    assert it.sound()


def test_a_gateway_that_stops_and_comes_back() -> None:
    """O5: HOLD while it is silent, and on once everything it had is in the store."""
    it = after_widening(quick(BRIGHT))
    ingest, heartbeat = it.store.ingest, it.store.heartbeat
    kept: list[object] = []
    it.store.ingest = lambda *events: kept.append(events)  # type: ignore[method-assign]
    it.store.heartbeat = lambda replica: None  # type: ignore[method-assign]
    it.run(10 * SECOND)
    assert (it.newest().action, it.newest().code) == (Action.HOLD, "stale")
    it.store.ingest, it.store.heartbeat = ingest, heartbeat  # type: ignore[method-assign]
    for events in kept:
        ingest(*events)  # type: ignore[misc]
    assert it.run(MINUTE).status == RolloutStatus.PROMOTED
    assert it.sound()


def failing(it: Quick) -> None:
    """From now on every call fails, whichever version it is of."""
    nothing = Quality(good=0.5, error=1.0)
    it.turn(nothing, control=nothing)


@pytest.mark.parametrize("policy", [SHORT, BEFORE_USERS], ids=["canary", "shadow"])
def test_every_call_of_both_arms_fails(policy: object) -> None:
    """O1: who fails as often as control is not worse than it, and has shown nothing either."""
    it = quick(BRIGHT, policy=policy)  # type: ignore[arg-type]
    failing(it)
    it.run(MINUTE)
    assert not {Action.WIDEN, Action.PROMOTE, Action.ROLLBACK} & set(it.actions())
    assert ended_without_a_word(it)


def test_an_outage_of_both_arms_in_the_middle() -> None:
    """O1: neither rolled back for it nor promoted in it, nor soon after."""
    it = after_widening(quick(BRIGHT))
    failing(it)
    it.run(3 * SECOND)
    assert it.now().step == 1 and it.newest().code != "superior"
    it.turn(BRIGHT, control=Quality(good=0.5))
    assert it.run(3 * SECOND).step == 1
    assert Action.ROLLBACK not in it.actions()
    assert it.newest().code == "served_share", "too few of this split's requests were answered"
    assert it.sound()


QUESTIONS = (
    "get",
    "scan",
    "commit",
    "exposures",
    "first_events",
    "failed_within",
    "feedback_on",
    "past",
    "summarise",
)


@pytest.fixture(scope="module")
def calm() -> Quick:
    """A poor candidate that nothing disturbs on its way out."""
    it = quick(AWFUL)
    it.run(MINUTE)
    return it


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_that_fails_changes_nothing(name: str, calm: Quick) -> None:
    """O5, REQUIREMENTS X: each question of a pass in turn is answered with an error, again and
    again: a pass that cannot know decides nothing, and the rollout ends as if it had not been."""
    it = quick(AWFUL, store=Deaf())
    store = it.store
    assert isinstance(store, Deaf)
    refused = 0
    while it.now().ended_at is None:
        it.world.tick(TICK)
        before = store.content()
        store.to = frozenset({name})
        try:
            it.look()
        except StoreError:
            refused += 1
            store.to = frozenset()
            assert store.content() == before
        store.to = frozenset()
        it.look()
    assert refused >= 10
    assert [(d.action, d.code) for d in it.decisions()] == [
        (d.action, d.code) for d in calm.decisions()
    ]
    assert it.sound()


def test_everything_fails_at_once() -> None:
    """O1: both arms' calls, all feedback, and every second question. Traffic stays as it is, and
    the horizon takes it away."""
    it = quick(BRIGHT, policy=SHORT, store=Deaf())
    assert isinstance(it.store, Deaf)
    failing(it)
    it.change(feedback_rate=0.0)
    number = 0
    while it.now().ended_at is None:
        it.world.tick(TICK)
        number += 1
        it.store.to = frozenset({QUESTIONS[number // 2 % len(QUESTIONS)]} if number % 2 else ())
        try:
            it.look()
        except StoreError:
            assert number % 2
        it.store.to = frozenset()
    assert ended_without_a_word(it)


def test_nobody_is_answered_by_a_candidate_whose_rollout_has_ended() -> None:
    """O3: a gateway that was away while the rollout ended takes over the end, not the split."""
    it = quick(AWFUL)
    it.run(SECOND)
    poll, away = it.world._poll, it.world._epoch
    it.world._poll = lambda now: None
    it.run(MINUTE)
    assert it.now().status == RolloutStatus.ROLLED_BACK
    it.world._poll = poll
    before = it.clock.now()
    it.world.tick(TICK)
    rows = [row for row in it.store.scan(Inference, limit=10**6) if row.at >= before]
    assert rows and {row.version for row in rows} == {it.versions[0]}
    [replica] = it.store.scan(Replica)
    assert replica.epochs["intent"] == it.routing().number > away.number
