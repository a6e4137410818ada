"""Two who decide at once, and controllers whose clocks are wrong: one line of epochs all the same,
and nothing shipped by a clock (O1, O3, O4)."""

from __future__ import annotations

from functools import cache

import msgspec
import pytest

from greenlight.core.errors import Conflict, LostLease, Refused
from greenlight.core.records import HOUR, MINUTE, SECOND, Rollout, Version
from greenlight.core.states import Action, RolloutStatus, VersionStatus
from greenlight.stages import roll_out
from greenlight.stages.loop import LEASE_TTL, lead, reconcile
from tests.scenarios.faults import Eventful
from tests.scenarios.worlds import (
    AWFUL,
    BRIGHT,
    DIM,
    KIM,
    QUICK,
    TASK,
    TICK,
    Quick,
    approved,
    quick,
    under,
)

CLOSED = msgspec.structs.replace(QUICK, release_window="Mon 09:00-10:00 UTC")
PATIENT = under(horizon=HOUR + 5 * MINUTE)


def eventful(it: Quick) -> Eventful:
    assert isinstance(it.store, Eventful)
    return it.store


def unfenced(it: Quick) -> object:
    """A pass of somebody who does not ask who leads: only the compare-and-set keeps order."""
    return reconcile(
        it.store, TASK, authorise=approved, fence=None, now=it.clock.now(), random=it.ids.bytes
    )


@cache
def ticks_before(action: Action) -> int:
    """After how many ticks a better candidate's controller decides so."""
    it, ticks = quick(BRIGHT), 0
    while action not in it.actions():
        it.world.tick(TICK)
        it.look()
        ticks += 1
    return ticks


def about_to(action: Action) -> Quick:
    """A case at the moment before a decision to do so, with the world's next tick done."""
    it = quick(BRIGHT, store=Eventful())
    for _ in range(ticks_before(action) - 1):
        it.world.tick(TICK)
        it.look()
    it.world.tick(TICK)
    return it


def test_promotion_races_rollback_and_exactly_one_wins() -> None:
    """O4: both have read the same; whoever commits first has decided, and the other is told."""
    it = about_to(Action.PROMOTE)
    eventful(it).once("before", lambda: it.order(Action.ROLLBACK, KIM, "support is flooded"))
    with pytest.raises(Conflict):
        it.look()
    assert it.now().status == RolloutStatus.ROLLED_BACK
    assert it.routing().control == it.versions[0]
    assert it.status("intent@2") == VersionStatus.ROLLED_BACK
    assert it.look() is None
    assert it.sound()
    it = about_to(Action.PROMOTE)
    eventful(it).once("before", it.look)
    with pytest.raises(Conflict):
        it.order(Action.ROLLBACK, KIM, "support is flooded")
    assert it.now().status == RolloutStatus.PROMOTED
    assert it.routing().control == it.versions[1]
    with pytest.raises(Refused, match="no rollout is running"):
        it.order(Action.ROLLBACK, KIM, "support is flooded")
    assert it.sound()


@pytest.mark.parametrize("action", [Action.WIDEN, Action.PROMOTE])
def test_two_who_both_believe_that_they_lead_decide_once(action: Action) -> None:
    """O0: without any lease, between reading and writing of the one the other does all of it."""
    it = about_to(action)
    eventful(it).once("before", lambda: unfenced(it))
    with pytest.raises(Conflict):
        unfenced(it)
    assert it.actions().count(action) == 1
    assert it.sound()


@pytest.mark.parametrize("order", [Action.PAUSE, Action.WITHDRAW, Action.ROLLBACK])
def test_an_order_between_reading_and_writing_is_not_overwritten(order: Action) -> None:
    """O4: the controller was about to widen; the person's word stands."""
    it = about_to(Action.WIDEN)
    eventful(it).once("before", lambda: it.order(order))
    with pytest.raises(Conflict):
        it.look()
    assert it.actions()[-1] == order
    assert it.now().step == 0
    it.run(3 * SECOND)
    assert it.now().step == 0
    assert it.sound()


def test_a_lease_that_is_lost_in_the_middle_of_a_pass() -> None:
    """O1: at every fourth pass the leader stalls before its commit until another has taken over;
    what it then wants to write is refused, and the rollout ends as it should."""
    it = quick(BRIGHT, store=Eventful())
    store, lost = eventful(it), 0
    leading, other = "one", "two"
    for number in range(400):
        it.world.tick(TICK)
        if number % 4 == 3:
            before = len(it.decisions())

            def stall(other: str = other) -> None:
                it.clock.advance(LEASE_TTL)
                it.look(holder=other)

            store.once("before", stall)
            try:
                it.look(holder=leading)
            except (LostLease, Conflict):
                lost += 1
                assert len(it.decisions()) <= before + 1, "the other's, if any"
                leading, other = other, leading
            store.around = lambda *_: None
        else:
            it.look(holder=leading)
            assert it.look(holder=other) is None
        if it.now().ended_at is not None:
            break
    assert it.now().status == RolloutStatus.PROMOTED
    assert lost >= 4
    assert it.sound()


def test_two_controllers_with_clocks_an_hour_apart() -> None:
    """Each takes the other's lease for one of another time and takes it away: they decide by turns,
    each fenced, and the one whose clock is wrong only holds."""
    it = quick(BRIGHT, policy=PATIENT)
    for _ in range(60):
        it.world.tick(TICK)
        for holder, ahead in (("right", 0), ("wrong", HOUR)):
            if it.now().ended_at is None:
                it.look(holder=holder, ahead=ahead)
    assert it.now().status == RolloutStatus.PROMOTED
    for decision in it.decisions():
        if decision.at > it.clock.now():
            assert (decision.action, decision.code) == (Action.HOLD, "stale")
    assert it.intact()


@pytest.mark.parametrize("ahead", [2 * MINUTE, HOUR])
def test_a_clock_that_jumps_forward_ships_nothing(ahead: int) -> None:
    """Evidence is as old as it looks by that clock: held, and gone on with once the clock is right
    again. The lease that was taken in the future keeps nobody out."""
    it = quick(BRIGHT, policy=PATIENT)
    it.run(SECOND)
    for _ in range(24):
        it.world.tick(TICK)
        decision = it.look(ahead=ahead)
        assert decision is None or decision.action == Action.HOLD
    assert (it.now().step, it.newest().code) == (0, "stale")
    assert it.run(MINUTE).status == RolloutStatus.PROMOTED
    assert it.sound()


def test_a_clock_that_jumps_over_the_horizon_takes_traffic_away_and_gives_none() -> None:
    it = quick(BRIGHT)
    it.run(3 * SECOND)
    decision = it.look(ahead=24 * HOUR)
    assert decision is not None and decision.action == Action.INCONCLUSIVE
    assert (it.routing().candidate, it.routing().control) == (None, it.versions[0])


@pytest.mark.parametrize("behind", [10 * SECOND, 5 * HOUR])
def test_a_clock_that_jumps_back_ships_nothing(behind: int) -> None:
    """No split has soaked by that clock. Harm is seen all the same."""
    it = quick(BRIGHT)
    it.run(SECOND)
    for _ in range(24):
        it.world.tick(TICK)
        decision = it.look(ahead=-behind)
        assert decision is None or decision.action in (Action.STAY, Action.HOLD)
    assert it.now().step == 0
    assert it.run(MINUTE).status == RolloutStatus.PROMOTED
    worse = quick(AWFUL)
    worse.run(SECOND)
    while worse.now().ended_at is None:
        worse.world.tick(TICK)
        worse.look(ahead=-behind)
    assert worse.now().status == RolloutStatus.ROLLED_BACK
    assert worse.clock.now() - worse.rollout.at < 10 * SECOND


def test_a_lease_of_a_clock_that_was_set_back_keeps_nobody_out_and_fences() -> None:
    """The one who took it an hour ahead is dead; whoever comes does not wait for an hour."""
    it = quick(DIM)
    now = it.clock.now()
    early = lead(it.store, "ahead", now + HOUR)
    late = lead(it.store, "right", now)
    assert early is not None and late is not None
    assert late.token == early.token + 1
    with pytest.raises(LostLease):
        it.store.commit(append=[], fence=early, now=now)
    soon = lead(it.store, "soon", now + SECOND)
    assert soon is None, "an ordinary lease is waited for"


def test_passes_of_two_controllers_in_any_order_make_one_story() -> None:
    """O1: whoever happens to hold the lease looks; half of the passes find the other's lease."""
    it = quick(BRIGHT)
    for number in range(80):
        it.world.tick(TICK)
        if number == 10:
            it.clock.advance(2 * SECOND)
        for holder in ("one", "two") if number % 3 else ("two", "one"):
            if it.now().ended_at is None:
                it.look(holder=holder)
    assert it.now().status == RolloutStatus.PROMOTED
    assert it.sound()


def test_two_people_who_start_at_once_outside_the_window() -> None:
    """O0: one of a task at a time, those that wait included: the second is refused."""
    it = quick(AWFUL, policy=CLOSED, store=Eventful())
    it.order(Action.WITHDRAW)

    def again() -> None:
        roll_out.start(
            it.store,
            it.store.scan(Version, {"label": "intent@2"})[0],
            policy=CLOSED,
            authorise=lambda digest: None,
            initiator="ana",
            now=it.clock.now(),
            random=it.ids.bytes,
        )

    eventful(it).once("before", again)
    with pytest.raises(Conflict):
        again()
    assert len(it.store.scan(Rollout, {"ended_at": None})) == 1
