"""Units that are held back after the proof, rollouts that people call off, and a control that is
down (O1, O3, O4)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from greenlight.core.errors import Refused
from greenlight.core.incidents import Incident
from greenlight.core.records import MINUTE, SECOND, Inference, Replica, Rollout
from greenlight.core.states import Action, RolloutStatus, VersionStatus
from greenlight.testing.world import Quality
from tests.scenarios.worlds import BRIGHT, KIM, QUICK, TICK, Quick, quick, under

HELD = under(holdback=0.1, holdback_for=5 * SECOND)
FAILING = Quality(good=0.98, error=0.5)


def held_back(candidate: Quality = BRIGHT, holdback_for: int = 60 * SECOND) -> Quick:
    """A case in which the proof is there and a tenth of the units is held back."""
    it = quick(candidate, policy=under(holdback=0.1, holdback_for=holdback_for))
    it.run(MINUTE, until=lambda: it.now().step == 2)
    assert (it.newest().code, it.routing().weight) == ("holdback", 0.9)
    return it


def test_after_the_proof_some_are_held_back_and_then_all_meet_it() -> None:
    """O1: WIDEN (holdback) to all but a tenth, and PROMOTE (held_back) after its time."""
    it = quick(BRIGHT, policy=HELD)
    assert it.run(MINUTE).status == RolloutStatus.PROMOTED
    codes = it.codes()
    assert (codes[-1], it.newest().action) == ("held_back", Action.PROMOTE)
    proved = it.decisions()[codes.index("holdback")]
    assert proved.action == Action.WIDEN
    assert "10% of units are held back" in proved.reason
    assert it.newest().at - proved.at >= HELD.rollout.holdback_for
    assert it.weights() == [0.2, 0.5, 0.9]
    assert (it.status("intent@1"), it.status("intent@2")) == (
        VersionStatus.RETIRED,
        VersionStatus.LIVE,
    )
    assert it.sound()


def test_harm_that_comes_late_is_seen_by_who_is_held_back() -> None:
    """O3: nine in ten meet it, and it is rolled back all the same."""
    it = held_back()
    it.turn(FAILING)
    assert it.run(MINUTE).status == RolloutStatus.ROLLED_BACK
    assert it.routing().control == it.versions[0]
    assert it.status("intent@2") == VersionStatus.ROLLED_BACK
    assert it.store.scan(Incident)[0].code == it.newest().code
    assert it.sound()


def test_what_is_proved_has_no_horizon() -> None:
    """O1: its time ends while units are held back, and it is promoted, not inconclusive."""
    it = quick(BRIGHT, policy=under(HELD, horizon=10 * SECOND))
    ended = it.run(MINUTE)
    assert ended.status == RolloutStatus.PROMOTED
    assert ended.ended_at is not None and ended.ended_at > it.rollout.at + 10 * SECOND
    assert it.sound()


def test_people_take_in_hand_what_is_held_back() -> None:
    """O4: pause and resume; no further step but the promotion, which they may bring forward."""
    it = held_back()
    it.order(Action.PAUSE, KIM)
    it.run(2 * SECOND)
    assert (it.newest().code, it.now().step) == ("paused", 2)
    with pytest.raises(Refused, match=r"verdict is hold \(paused\)"):
        it.order(Action.PROMOTE)
    it.order(Action.RESUME)
    with pytest.raises(Refused, match="this is its last step"):
        it.order(Action.WIDEN)
    it.run(3 * SECOND)
    it.order(Action.PROMOTE)
    assert it.now().status == RolloutStatus.PROMOTED
    assert it.sound()


@pytest.mark.parametrize(
    ("revoke", "code"),
    [(True, "unapproved"), (False, "stale")],
)
def test_the_end_of_holding_back_is_held_like_any_growth(revoke: bool, code: str) -> None:
    """G1, O5: without approval, or without a gateway that reports, nothing is promoted."""
    it = held_back(holdback_for=2 * SECOND)

    def authorise(rollout: Rollout) -> None:
        if revoke:
            raise Refused("ana revoked her approval")

    for _ in range(20):
        if revoke:
            it.world.tick(TICK)
        else:
            it.clock.advance(TICK)
        it.look(authorise)
    assert (it.newest().code, it.now().status) == (code, RolloutStatus.RUNNING)


def at_once(it: Quick) -> None:
    """Nothing has happened yet."""


def dead(it: Quick) -> None:
    """Every call of the candidate fails, and its breaker is open."""
    it.run(SECOND)
    it.turn(Quality(good=0.98, error=1.0))
    it.world.tick(TICK)
    broken(it, candidate=True)


def broken(it: Quick, *, control: bool = False, candidate: bool = False) -> None:
    """The only gateway's breakers let nothing through any more."""
    since = it.clock.now() - SECOND
    down = [v for v, is_down in zip(it.versions, (control, candidate), strict=True) if is_down]
    [replica] = it.store.scan(Replica)
    it.store.heartbeat(msgspec.structs.replace(replica, open_since=dict.fromkeys(down, since)))


def paused(it: Quick) -> None:
    it.run(SECOND)
    it.order(Action.PAUSE, KIM)


def widened(it: Quick) -> None:
    it.run(MINUTE, until=lambda: it.now().step == 1)


@pytest.mark.parametrize("scene", [at_once, paused, widened])
def test_what_is_aborted_is_withdrawn_wherever_it_is(scene: Callable[[Quick], None]) -> None:
    """O4."""
    it = quick(BRIGHT)
    scene(it)
    aborted(it)


def test_a_candidate_that_is_dead_is_aborted_like_any_other() -> None:
    """O4: its breaker is open on every gateway when somebody calls it off."""
    it = quick(BRIGHT)
    dead(it)
    assert all(it.versions[1] in replica.open_since for replica in it.store.scan(Replica))
    aborted(it)


def aborted(it: Quick) -> None:
    """Abort it. That is no word on the candidate: it is shelved, nobody is owed anything, and
    control answers everybody from the next request on."""
    decision = it.order(Action.WITHDRAW, KIM, "the campaign is off")
    assert (decision.action, decision.code) == (Action.WITHDRAW, "order")
    assert it.now().status == RolloutStatus.WITHDRAWN
    assert (it.status("intent@1"), it.status("intent@2")) == (
        VersionStatus.LIVE,
        VersionStatus.SHELVED,
    )
    assert it.store.scan(Incident) == []
    before = it.clock.now()
    it.world.tick(TICK)
    rows = [row for row in it.store.scan(Inference, limit=10**6) if row.at >= before]
    assert rows and {row.version for row in rows} == {it.versions[0]}
    assert it.sound()


def test_nothing_goes_back_to_a_control_that_is_down() -> None:
    """O3: on every gateway control's breaker is open and the candidate fails: it is held, for what
    went back would not be answered; once control is there again it is rolled back."""
    it = quick(FAILING)
    for _ in range(30):
        it.world.tick(TICK)
        broken(it, control=True, candidate=True)
        it.look()
    assert (it.newest().action, it.newest().code) == (Action.HOLD, "control_down")
    assert it.now().status == RolloutStatus.RUNNING
    assert it.run(SECOND).status == RolloutStatus.ROLLED_BACK, "what was shown has been shown"
    assert it.newest().code in ("errors", "breaker")
    assert it.sound()


@pytest.mark.parametrize("order", [Action.ROLLBACK, Action.WITHDRAW])
def test_a_person_decides_where_control_is_down(order: Action) -> None:
    """O4: their word goes before the hold; nothing that gives traffic does."""
    it = quick(BRIGHT)
    it.run(SECOND)
    it.world.tick(TICK)
    broken(it, control=True)
    it.look()
    assert it.newest().code == "control_down"
    with pytest.raises(Refused, match=r"hold \(control_down\)"):
        it.order(Action.WIDEN)
    assert it.order(order, KIM).action == order
    assert it.routing().candidate is None
    assert it.sound()


def test_a_control_that_is_down_on_one_gateway_is_not_down() -> None:
    """O3: another gateway still reaches it, so that traffic may go back."""
    it = quick(FAILING)
    while it.now().ended_at is None and it.clock.now() < it.rollout.at + MINUTE:
        it.world.tick(TICK)
        [replica] = [one for one in it.store.scan(Replica) if one.id == "simulated"]
        ill = {it.versions[0]: it.rollout.at}
        it.store.heartbeat(msgspec.structs.replace(replica, id="ill", open_since=ill))
        it.look()
    assert it.now().status == RolloutStatus.ROLLED_BACK
    assert "control_down" not in it.codes()


def test_policies_of_these_worlds_are_sound() -> None:
    """The last rung before the promotion leaves out who is held back."""
    assert [step.weight for step in HELD.rollout.ladder] == [0.2, 0.5, 0.9, 1.0]
    assert HELD.rollout.last_step == QUICK.rollout.last_step == 1
