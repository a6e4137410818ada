"""Rollouts that wait: for their release window, for approval, for the window to open again (O1, G1,
G4). What waits gets no traffic, and what waits with traffic is watched all the same."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest

from greenlight.core.errors import Refused
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import DAY, HOUR, MINUTE, SECOND, Inference, Replica, Rollout
from greenlight.core.states import Action, RolloutStatus, Variant, VersionStatus
from greenlight.lookup import everything
from greenlight.testing.world import Quality
from tests.scenarios.worlds import AWFUL, BRIGHT, KIM, QUICK, TICK, Quick, quick, under

WINDOW = "Mon-Thu 09:00-16:00 Europe/Berlin"
FAILING = Quality(good=0.98, error=0.5)


def berlin(day: int, hour: int, minute: int, second: int = 0) -> int:
    """A moment of January 2027, whose 18th is a Monday."""
    there = datetime(2027, 1, day, hour, minute, second, tzinfo=ZoneInfo("Europe/Berlin"))
    return int(there.timestamp()) * SECOND


def windowed(policy: DecisionPolicy = QUICK) -> DecisionPolicy:
    return msgspec.structs.replace(policy, release_window=WINDOW)


def waiting(candidate: Quality = BRIGHT, policy: DecisionPolicy = QUICK) -> Quick:
    """Started five seconds before its window opens."""
    return quick(candidate, policy=windowed(policy), began=berlin(18, 8, 59, 55))


def met(it: Quick) -> int:
    """How many requests ever met the candidate."""
    rows = everything(it.store, Inference, {"task": "intent"})
    return sum(row.variant == Variant.CANDIDATE for row in rows)


def revoked(rollout: Rollout) -> None:
    raise Refused("ana revoked her approval")


def test_a_rollout_outside_its_window_waits_and_begins_once_that_opens() -> None:
    """G4: pending, with nothing routed; then START, and all the way up."""
    it = waiting()
    assert it.now().status == RolloutStatus.PENDING
    assert "the release window is Mon-Thu 09:00-16:00 Europe/Berlin" in it.newest().reason
    it.run(4 * SECOND)
    assert (it.codes(), met(it), it.routing().number) == (["pending"], 0, 2)
    assert it.status("intent@2") == VersionStatus.APPROVED
    it.run(2 * SECOND)
    assert it.codes()[:2] == ["pending", "start"]
    assert (it.routing().weight, it.status("intent@2")) == (0.2, VersionStatus.CANARY)
    assert met(it) > 0
    assert it.sound()
    assert it.run(MINUTE).status == RolloutStatus.PROMOTED
    assert it.actions()[:2] == [Action.START, Action.START]
    assert it.sound()


def test_approvals_are_asked_for_again_when_it_would_begin() -> None:
    """G1: revoked while it waits, it stays pending; signed anew, it begins."""
    it = waiting()
    it.run(10 * SECOND, revoked)
    assert (it.now().status, it.codes(), met(it)) == (RolloutStatus.PENDING, ["pending"], 0)
    it.run(SECOND)
    assert it.now().status == RolloutStatus.RUNNING
    assert it.sound()


def test_what_waits_too_long_ends_as_inconclusive() -> None:
    """O1: nobody has met it, so that its version stays as it is, approved."""
    it = waiting(policy=under(horizon=10 * SECOND))
    assert it.run(MINUTE, revoked).status == RolloutStatus.INCONCLUSIVE
    assert (it.codes(), met(it)) == (["pending", "horizon"], 0)
    assert it.status("intent@2") == VersionStatus.APPROVED
    assert it.routing().control == it.versions[0]
    assert it.sound()


@pytest.mark.parametrize(
    ("order", "end"),
    [(Action.ROLLBACK, RolloutStatus.ROLLED_BACK), (Action.WITHDRAW, RolloutStatus.WITHDRAWN)],
)
def test_what_waits_can_be_called_off_and_nothing_else(order: Action, end: RolloutStatus) -> None:
    """O4."""
    it = waiting()
    it.run(SECOND)
    for refused in (Action.PAUSE, Action.RESUME, Action.WIDEN, Action.PROMOTE):
        with pytest.raises(Refused, match="it has not begun yet"):
            it.order(refused)
    it.order(order, KIM)
    assert it.now().status == end
    assert it.run(20 * SECOND).status == end, "the window opens, and nothing begins"
    assert met(it) == 0
    assert (it.routing().candidate, it.routing().control) == (None, it.versions[0])
    assert it.sound()


@pytest.mark.parametrize(("left", "step"), [(2, 0), (6, 1)])
def test_a_window_that_closes_holds_what_gives_traffic(left: int, step: int) -> None:
    """G4: neither WIDEN nor PROMOTE while it is closed; the split in force stays."""
    it = quick(BRIGHT, policy=windowed(), began=berlin(18, 15, 59, 60 - left))
    it.run(10 * SECOND)
    assert (it.now().step, it.newest().code) == (step, "window")
    assert it.newest().action == Action.HOLD
    assert "it is Mon 16:00 there" in it.newest().reason
    with pytest.raises(Refused, match=r"the verdict is hold \(window\)"):
        it.order((Action.WIDEN, Action.PROMOTE)[step])
    assert it.sound()


def test_a_window_that_closes_keeps_nothing_from_being_rolled_back() -> None:
    """O3: at night as well as by day, and by a person too."""
    it = quick(BRIGHT, policy=windowed(), began=berlin(18, 15, 59, 57))
    it.run(8 * SECOND)
    assert it.newest().code == "window"
    it.turn(FAILING)
    assert it.run(MINUTE).status == RolloutStatus.ROLLED_BACK
    assert it.newest().code == "errors"
    assert it.sound()
    it = quick(BRIGHT, policy=windowed(), began=berlin(18, 15, 59, 57))
    it.run(8 * SECOND)
    assert it.order(Action.ROLLBACK, KIM).action == Action.ROLLBACK


def test_what_a_closed_window_held_goes_on_the_next_day() -> None:
    """G4: the gateways were there all night."""
    policy = windowed(under(horizon=2 * DAY))
    it = quick(BRIGHT, policy=policy, began=berlin(18, 15, 59, 57), requests_per_second=40.0)
    it.run(10 * SECOND)
    assert it.newest().code == "window"
    it.clock.advance(17 * HOUR - 20 * SECOND)
    it.run(5 * SECOND)
    assert it.newest().code == "window"
    assert it.run(MINUTE).status == RolloutStatus.PROMOTED
    assert it.decisions()[-1].at > berlin(19, 9, 0)
    assert it.sound()


@pytest.mark.parametrize(
    ("candidate", "code"), [(FAILING, "errors"), (AWFUL, "quality")], ids=["fails", "is worse"]
)
def test_failures_while_it_waits_for_approval_are_heeded(candidate: Quality, code: str) -> None:
    """O3: an approval is taken back in the middle, and then the candidate turns bad: a rollout that
    waits for people is rolled back like any other (Flagger's issue 1801: it was not)."""
    it = quick(BRIGHT)
    it.run(2 * SECOND)
    it.run(4 * SECOND, revoked)
    assert it.newest().code == "unapproved"
    it.turn(candidate)
    assert it.run(MINUTE, revoked).status == RolloutStatus.ROLLED_BACK
    assert it.newest().code == code
    assert Action.WIDEN not in it.actions()
    assert it.sound()


def test_a_dead_candidate_that_waits_for_approval_is_taken_out() -> None:
    """O3: its breaker is open while control's is not."""
    it = quick(BRIGHT)
    it.run(2 * SECOND)
    since = it.clock.now()
    while it.now().ended_at is None:
        it.world.tick(TICK)
        [replica] = it.store.scan(Replica)
        dead = {it.versions[1]: since}
        it.store.heartbeat(msgspec.structs.replace(replica, open_since=dead))
        it.look(revoked)
    assert (it.now().status, it.newest().code) == (RolloutStatus.ROLLED_BACK, "breaker")
    assert it.clock.now() - since <= QUICK.rollout.breaker_max + TICK


@pytest.mark.parametrize("ahead", [10 * HOUR, -14 * HOUR])
def test_a_clock_that_jumps_into_the_window_begins_nothing(ahead: int) -> None:
    """G4: beginning is giving traffic, and no gateway agrees that it is time."""
    it = quick(BRIGHT, policy=windowed(under(horizon=2 * DAY)), began=berlin(19, 0, 30))
    for _ in range(8):
        it.world.tick(TICK)
        it.look(ahead=ahead)
    assert (it.now().status, it.routing().number) == (RolloutStatus.PENDING, 2)
