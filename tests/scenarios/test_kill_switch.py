"""The kill switch beside a controller that decides (O4), and gateways ahead of a restored store."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from greenlight.core import killing
from greenlight.core.errors import Conflict, Refused
from greenlight.core.incidents import Incident
from greenlight.core.killing import SLACK, KillEntry
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import (
    MINUTE,
    SECOND,
    Decision,
    Epoch,
    Inference,
    JournalEntry,
    LedgerEntry,
    Rollout,
    Version,
)
from greenlight.core.situation import Order
from greenlight.core.states import Action, RolloutStatus, VersionStatus
from greenlight.lookup import everything, made_live_by
from greenlight.ports import Store
from greenlight.stages import roll_out
from greenlight.stages.catch_up import RESTORED, catch_up, last_word
from greenlight.stages.decide import decide
from greenlight.stages.loop import lead, reconcile
from greenlight.stages.steer import steer
from greenlight.stages.survey import survey
from greenlight.testing.world import World
from tests.scenarios.worlds import BRIGHT, DIM, KIM, QUICK, QUORUM, TASK, Quick, approved

CLOSED = msgspec.structs.replace(QUICK, release_window="Mon-Tue 09:00-10:00 UTC")


class Killable(Quick):
    """A case with a kill switch; gateways obey it before the controller knows of it."""

    said: KillEntry | None = None
    known: KillEntry | None = None

    def look(
        self,
        authorise: Callable[[Rollout], None] = approved,
        *,
        holder: str = "one",
        ahead: int = 0,
    ) -> Decision | None:
        now = self.clock.now() + ahead
        return reconcile(
            self.store,
            TASK,
            authorise=authorise,
            kill=self.known,
            fence=lead(self.store, holder, now),
            now=now,
            random=self.ids.bytes,
        )

    def use(self, *, lift: bool = False, heard: bool = True) -> None:
        """Kill, or lift; `heard`: the controller knows of it."""
        self.said = killing.draft(
            TASK,
            lift=lift,
            known=self.said,
            least=0,
            person=KIM,
            why="flooded",
            now=self.clock.now(),
        )
        self.world.standing = self.said.standing
        self.known = self.said if heard else self.known

    def unaware(self, action: Action) -> None:
        """What a controller does that does not know of the kill switch."""
        found = survey(self.store, TASK, approved, self.clock.now())
        assert found is not None
        order = Order(action=action, by="ben", why="looks well")
        decide(
            self.store,
            found.rollout,
            found.epoch,
            entries=found.seen.entries,
            closed=found.seen.closed,
            splits=found.seen.splits,
            situation=msgspec.structs.replace(found.situation, order=order),
            fence=None,
            now=self.clock.now(),
            random=self.ids.bytes,
        )

    def again(self, kill: KillEntry | None) -> Rollout:
        """The candidate is approved anew, and starts anew."""
        [candidate] = self.store.scan(Version, {"label": "intent@2"})
        if candidate.status is not VersionStatus.APPROVED:
            fresh = msgspec.structs.replace(candidate, status=VersionStatus.APPROVED)
            self.store.commit(swap=[(candidate, fresh)])
        return roll_out.start(
            self.store,
            candidate,
            policy=QUICK,
            authorise=lambda digest: None,
            initiator="ana",
            kill=kill,
            now=self.clock.now(),
            random=self.ids.bytes,
        )

    def met(self, since: int) -> set[tuple[str, str | None]]:
        """(version, rollout) of every request since a moment."""
        found = everything(self.store, Inference, {"task": TASK})
        return {(one.version, one.rollout) for one in found if one.at >= since}

    def kinds(self) -> list[str]:
        return [entry.kind for entry in everything(self.store, LedgerEntry)]


def killable(policy: DecisionPolicy = QUICK) -> Killable:
    small = World(units=4000, requests_per_second=60.0, feedback_rate=0.8, mean_delay=SECOND // 2)
    return Killable(DIM, BRIGHT, 1, small, policy)


def test_a_rollout_that_is_killed_is_gone_before_and_after_the_controller_knows() -> None:
    it = killable()
    it.run(3 * SECOND)
    it.use(heard=False)
    killed_at = it.clock.now()
    for _ in range(8):
        it.world.tick(SECOND // 4)
    assert it.met(killed_at) == {(it.versions[0], None)}, "and nothing is evidence any more"
    assert it.now().status == RolloutStatus.RUNNING, "nobody has told the store"
    it.known = it.said
    made = it.look()
    assert made is not None and (made.action, made.code) == (Action.ROLLBACK, "kill")
    assert made.reason == "the kill switch, kim: flooded"
    routing = it.routing()
    assert (routing.kill, routing.candidate, routing.control) == (1, None, it.versions[0])
    assert it.status("intent@2") == VersionStatus.ROLLED_BACK
    incident = it.store.get(Incident, it.rollout.id)
    assert incident is not None and incident.code == "kill"
    before = it.kinds()
    assert before.count("kill") == 1
    it.world.tick(SECOND)
    assert it.look() is None
    assert it.kinds() == before, "it is told once"
    assert it.sound()


def test_a_widen_in_flight_undoes_no_kill() -> None:
    """ARCHITECTURE: whatever was decided before a kill is older than it, however late it comes."""
    it = killable()
    it.run(2 * SECOND)
    it.use(heard=False)
    killed_at = it.clock.now()
    it.unaware(Action.WIDEN)
    widened = it.routing()
    assert (widened.weight, widened.kill) == (0.5, 0)
    it.world.tick(SECOND)
    assert it.met(killed_at) == {(it.versions[0], None)}
    it.known = it.said
    it.look()
    assert (it.routing().kill, it.routing().candidate) == (1, None)
    it.world.tick(SECOND)
    assert it.met(killed_at) == {(it.versions[0], None)}
    assert it.sound()


@pytest.mark.parametrize("lag", [-SECOND, SECOND])
def test_a_promotion_that_the_kill_came_before_is_undone(lag: int) -> None:
    """Decided in the same moments, in whatever order: the candidate is out, control is back."""
    it = killable()
    if lag < 0:
        assert it.run(MINUTE).status == RolloutStatus.PROMOTED
        it.clock.advance(SECOND)
        it.use()
    else:
        it.run(MINUTE, until=lambda: it.now().step == 1)
        it.use(heard=False)
        killed_at = it.clock.now()
        it.unaware(Action.PROMOTE)
        it.world.tick(SECOND)
        assert it.met(killed_at) == {(it.versions[0], None)}, "no gateway took the promotion over"
        it.known = it.said
    promoted = it.routing()
    assert (promoted.control, promoted.kill) == (it.versions[1], 0)
    made = it.look()
    assert made is not None and (made.action, made.code) == (Action.ROLLBACK, "kill")
    assert "its promotion, decided after the kill, is undone" in made.reason
    routing = it.routing()
    assert (routing.control, routing.kill, routing.follows) == (
        it.versions[0],
        1,
        promoted.number,
    )
    assert it.now().status == RolloutStatus.ROLLED_BACK
    assert it.status("intent@1") == VersionStatus.LIVE
    assert it.status("intent@2") == VersionStatus.ROLLED_BACK
    assert it.store.get(Incident, it.rollout.id) is not None
    [restored] = it.store.scan(Version, {"label": "intent@1"})
    assert made_live_by(it.store, restored) is not None, "G1: were it adopted, it still would be"
    assert it.look() is None
    assert it.sound()


def test_what_was_live_long_before_the_kill_stays_live() -> None:
    """A kill takes a candidate away. What everybody has had for a while is none any more."""
    it = killable()
    assert it.run(MINUTE).status == RolloutStatus.PROMOTED
    it.clock.advance(SLACK + SECOND)
    it.use()
    assert it.look() is None
    assert (it.routing().kill, it.routing().control) == (1, it.versions[1])
    assert it.status("intent@2") == VersionStatus.LIVE
    assert it.kinds()[-2:] == ["kill", "epoch"]
    assert it.look() is None and it.kinds()[-2:] == ["kill", "epoch"]


def test_nothing_starts_until_the_kill_is_lifted_and_then_anew() -> None:
    it = killable()
    it.run(2 * SECOND)
    it.use()
    it.look()
    with pytest.raises(Refused, match=r"killed by kim \(generation 1\): flooded"):
        it.again(it.known)
    with pytest.raises(Refused, match="killed by kim"):  # the file was lost
        it.again(last_word(it.store, TASK, None))
    it.use(lift=True)
    assert it.look() is None
    assert it.routing().kill == 2
    second = it.again(it.known)
    assert it.now().status == RolloutStatus.ROLLED_BACK
    assert second.id != it.rollout.id and second.salt != it.rollout.salt
    assert (it.routing().kill, it.routing().rollout) == (2, second.id)
    started = it.clock.now()
    it.world.tick(2 * SECOND)
    assert {rollout for _, rollout in it.met(started)} == {second.id}
    assert (it.versions[1], second.id) in it.met(started)
    assert it.kinds().count("kill") == 2


def test_lifting_brings_nothing_back() -> None:
    """Killed and lifted before any controller came to look: the rollout is out all the same."""
    it = killable()
    it.run(2 * SECOND)
    it.use()
    it.use(lift=True)
    killed_at = it.clock.now()
    it.world.tick(SECOND)
    assert it.met(killed_at) == {(it.versions[0], None)}
    with pytest.raises(Refused, match="never comes back"):
        _order(it, Action.PAUSE)
    catch_up(  # as whoever starts a rollout does first
        it.store, TASK, kill=it.known, fence=None, now=it.clock.now(), random=it.ids.bytes
    )
    assert it.routing().kill == 0
    made = it.look()
    assert made is not None and "lifted meanwhile by kim" in made.reason
    assert it.now().status == RolloutStatus.ROLLED_BACK
    assert it.sound()


def test_what_waits_for_its_window_is_killed_too() -> None:
    it = killable(CLOSED)
    assert it.now().status == RolloutStatus.PENDING
    it.use()
    made = it.look()
    assert made is not None and made.code == "kill"
    assert it.now().status == RolloutStatus.ROLLED_BACK
    assert it.routing().kill == 1
    assert it.sound()


def test_what_slips_in_beside_a_kill_never_begins() -> None:
    """Somebody started it who did not know of the kill; it is pending, and so no epoch told."""
    it = killable(CLOSED)
    it.order(Action.WITHDRAW)
    it.use()
    it.look()
    assert it.routing().kill == 1
    [candidate] = it.store.scan(Version, {"label": "intent@2"})
    late = roll_out.start(
        it.store,
        candidate,
        policy=CLOSED,
        authorise=lambda digest: None,
        initiator="ana",
        now=it.clock.now(),
        random=it.ids.bytes,
    )
    it.look()
    found = it.store.get(Rollout, late.id)
    assert found is not None and found.status == RolloutStatus.ROLLED_BACK
    assert it.kinds().count("kill") == 1


def test_a_start_that_a_kill_comes_before_starts_nothing() -> None:
    """Both write an epoch after the same one: one of them is told to look again."""
    it = killable()
    it.order(Action.WITHDRAW)
    stale = it.routing()
    it.use()
    it.look()
    scan = it.store.scan
    it.store.scan = (  # type: ignore[method-assign]
        lambda kind, *given, **named: [stale] if kind is Epoch else scan(kind, *given, **named)
    )
    with pytest.raises(Conflict):
        it.again(None)


def test_people_give_no_traffic_to_what_is_killed_and_may_take_it() -> None:
    it = killable()
    it.run(2 * SECOND)
    it.use()
    for action in (Action.PAUSE, Action.WIDEN, Action.PROMOTE):
        with pytest.raises(Refused, match=rf"{action} is refused: intent is killed by kim"):
            _order(it, action)
    made = _order(it, Action.ROLLBACK)
    assert (made.code, it.routing().kill) == ("order", 1)
    assert it.kinds().count("kill") == 1
    assert it.look() is None


@pytest.mark.parametrize("end", ["widened", "promoted"])
def test_after_a_restore_the_next_epoch_is_above_what_gateways_route_by(end: str) -> None:
    """ARCHITECTURE: max(store, acknowledged) + 1; what was met in epochs that are lost is in no
    test, and the rollout goes on with its split."""
    it = killable()
    it.run(2 * SECOND)
    kept, backup = it.routing(), _backup(it.store)
    it.run(MINUTE, until=lambda: end == "widened" and it.now().step == 1)
    it.world.tick(SECOND)
    lost = it.routing()
    assert lost.number == kept.number + (1 if end == "widened" else 2)
    _restore(it.store, backup)
    assert it.routing() == kept
    it.world.tick(SECOND)  # gateways route on by what the store has lost, and say so
    assert it.look() is None
    now = it.routing()
    assert (now.number, now.follows) == (lost.number + 1, kept.number)
    assert (now.weight, now.salt, now.candidate) == (kept.weight, kept.salt, kept.candidate)
    [told] = it.store.scan(LedgerEntry, {"kind": RESTORED})
    assert (told.body["store"], told.body["acknowledged"]) == (kept.number, lost.number)
    assert it.run(MINUTE).status == RolloutStatus.PROMOTED
    left_out = {entry.epoch for entry in everything(it.store, JournalEntry) if entry.excluded}
    assert left_out == ({lost.number} if end == "widened" else set())
    assert it.sound()


def test_after_a_restore_a_kill_is_still_one() -> None:
    """The file knows what the store forgot."""
    it = killable()
    it.run(2 * SECOND)
    backup = _backup(it.store)
    it.use()
    it.look()
    it.world.tick(SECOND)
    killed = it.routing()
    _restore(it.store, backup)
    assert it.now().status == RolloutStatus.RUNNING
    restored_at = it.clock.now()
    it.world.tick(SECOND)
    assert it.met(restored_at) == {(it.versions[0], None)}
    made = it.look()
    assert made is not None and made.code == "kill"
    assert (it.routing().number, it.routing().kill) == (killed.number + 1, 1)


def test_nothing_goes_live_for_the_first_time_where_it_is_killed() -> None:
    it = killable()
    it.use()
    fresh = msgspec.structs.replace(
        it.store.scan(Version, {"label": "intent@2"})[0], task="tone", label="tone@1", digest="t"
    )
    fresh = msgspec.structs.replace(fresh, status=VersionStatus.APPROVED)
    it.store.commit(append=[fresh])
    assert it.said is not None
    said = msgspec.structs.replace(it.said, task="tone")
    lifted = msgspec.structs.replace(said, state="lifted", generation=2)

    def live(kill: KillEntry) -> Epoch:
        return roll_out.go_live(
            it.store,
            fresh,
            authorise=lambda digest: None,
            initiator="ana",
            kill=kill,
            now=it.clock.now(),
            random=it.ids.bytes,
        )

    with pytest.raises(Refused, match="tone is killed by kim"):
        live(said)
    assert live(lifted).kill == 2


def _order(it: Killable, action: Action) -> Decision:
    return steer(
        it.store,
        TASK,
        action,
        person=msgspec.structs.replace(KIM, roles=("product_owner",)),
        why="so be it",
        roles=QUORUM,
        authorise=approved,
        kill=it.known,
        now=it.clock.now(),
        random=it.ids.bytes,
    )


def _backup(store: Store) -> dict[str, Any]:
    """Everything that a store in memory holds."""
    return {name: copy.deepcopy(held) for name, held in vars(store).items() if name != "_lock"}


def _restore(store: Store, backup: dict[str, Any]) -> None:
    vars(store).update(copy.deepcopy(backup))
