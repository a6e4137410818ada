"""A controller, or whoever starts and orders, that is killed before or after a write (O1, O3).

Each of them writes in one transaction. So "between every two writes" means: before each commit and
after it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from greenlight.core.errors import Conflict, LostLease, Refused
from greenlight.core.incidents import Incident
from greenlight.core.records import MINUTE, SECOND, Epoch, JournalEntry, Rollout, Version
from greenlight.core.states import Action, RolloutStatus, VersionStatus
from greenlight.lookup import everything
from greenlight.stages import roll_out
from greenlight.stages.loop import LEASE_TTL
from greenlight.testing.world import Quality
from tests.scenarios.faults import Eventful, Killed, die
from tests.scenarios.worlds import AWFUL, BRIGHT, QUICK, TASK, TICK, Quick, quick, under

HELD_BACK = under(shadow=2 * SECOND, holdback=0.05, holdback_for=2 * SECOND)


def told(it: Quick) -> list[tuple[Action, str, int]]:
    return [(one.action, one.code, one.epoch_seen) for one in it.decisions()]


def journal(it: Quick) -> list[JournalEntry]:
    return list(everything(it.store, JournalEntry, {"rollout": it.rollout.id}))


@pytest.mark.parametrize(
    ("candidate", "policy", "end"),
    [
        (BRIGHT, HELD_BACK, RolloutStatus.PROMOTED),
        (AWFUL, QUICK, RolloutStatus.ROLLED_BACK),
        (Quality(good=0.98, lost=0.7), under(hold_max=SECOND), RolloutStatus.WITHDRAWN),
    ],
)
def test_killed_before_and_after_every_commit(
    candidate: Quality, policy: object, end: RolloutStatus
) -> None:
    """Every pass is taken three times: killed before its commit, killed after it, and spared. What
    is decided, journaled and routed is what an undisturbed controller decides."""
    calm = quick(candidate, policy=policy)  # type: ignore[arg-type]
    assert calm.run(MINUTE).status == end
    it = quick(candidate, policy=policy, store=Eventful())  # type: ignore[arg-type]
    store = it.store
    assert isinstance(store, Eventful)
    kills = 0
    while it.now().ended_at is None:
        it.world.tick(TICK)
        for when in ("before", "after"):
            before = store.content()
            store.once(when, die)
            try:
                it.look()
            except Killed:
                kills += 1
                assert (store.content() == before) == (when == "before")
        it.look()
    assert kills > 2 * len(calm.decisions())
    assert it.now().status == end
    assert told(it) == told(calm)
    assert it.weights() == calm.weights()
    assert journal(it) == journal(calm)
    assert it.sound()


def test_another_takes_over_after_each_kill_that_changed_the_routing() -> None:
    """The next leader waits for the lease, goes on where the store is, and who comes back from the
    dead writes nothing."""
    it = quick(BRIGHT, policy=HELD_BACK, store=Eventful())
    store, routed, gaps = it.store, [it.routing().number], []
    assert isinstance(store, Eventful)

    def die_of_news(when: str, number: int) -> None:
        if when == "after" and it.routing().number > routed[-1]:
            routed.append(it.routing().number)
            die()

    store.around = die_of_news
    leading, died_at, commits = 0, 0, 0
    while it.now().ended_at is None:
        it.world.tick(TICK)
        try:
            it.look(holder=f"holder {leading}")
        except Killed:
            leading, died_at, commits = leading + 1, it.clock.now(), store.commits
            assert it.look(holder=f"holder {leading}") is None, "the dead one's lease still runs"
            continue
        if died_at and store.commits > commits:
            gaps.append(it.clock.now() - died_at)
            died_at = 0
            assert it.look(holder=f"holder {leading - 1}") is None
    assert routed == [2, 3, 4, 5, 6], "canary, last step, held back, promoted"
    assert it.now().status == RolloutStatus.PROMOTED
    assert gaps and max(gaps) <= LEASE_TTL + TICK
    assert it.sound()


def start(it: Quick) -> Rollout:
    return roll_out.start(
        it.store,
        next(v for v in it.store.scan(Version) if v.label == "intent@2"),
        policy=QUICK,
        authorise=lambda digest: None,
        initiator="ana",
        now=it.clock.now(),
        random=it.ids.bytes,
    )


def ended() -> tuple[Quick, Eventful]:
    """A case whose rollout is over, and whose candidate is approved anew."""
    it = quick(AWFUL, store=Eventful())
    it.order(Action.WITHDRAW)
    old = it.store.scan(Version, {"label": "intent@2"})[0]
    signed = msgspec.structs.replace(old, status=VersionStatus.APPROVED)
    it.store.commit(swap=[(old, signed)])
    assert isinstance(it.store, Eventful)
    return it, it.store


def pending() -> tuple[Quick, Eventful]:
    """A case whose rollout waits for a window that is open by now."""
    policy = msgspec.structs.replace(QUICK, release_window="Fri 08:01-24:00 UTC")
    it = quick(BRIGHT, policy=policy, store=Eventful())
    assert it.now().status == RolloutStatus.PENDING
    it.clock.advance(MINUTE)
    it.world.tick(TICK)
    assert isinstance(it.store, Eventful)
    return it, it.store


def running() -> tuple[Quick, Eventful]:
    it = quick(BRIGHT, store=Eventful())
    it.run(3 * SECOND)
    assert isinstance(it.store, Eventful)
    return it, it.store


@pytest.mark.parametrize(
    ("scene", "act", "again"),
    [
        (ended, start, "one runs at a time"),
        (pending, lambda it: it.look(), None),
        (running, lambda it: it.order(Action.ROLLBACK), "no rollout is running"),
        (running, lambda it: it.order(Action.WITHDRAW), "no rollout is running"),
        (running, lambda it: it.order(Action.PAUSE), "paused already"),
        (running, lambda it: it.order(Action.WIDEN), None),
    ],
    ids=["start", "begin", "rollback", "abort", "pause", "widen"],
)
def test_who_starts_begins_or_orders_does_all_of_it_or_nothing(
    scene: Callable[[], tuple[Quick, Eventful]], act: Callable[[Quick], object], again: str | None
) -> None:
    """O4: killed before the commit nothing has happened, and the same word can be given again;
    killed after it all has happened, and the same word given again says so."""
    it, store = scene()
    before, commits = store.content(), store.commits
    store.once("before", die)
    with pytest.raises(Killed):
        act(it)
    assert store.content() == before
    store.once("after", die)
    with pytest.raises(Killed):
        act(it)
    assert store.commits == commits + 2, "one commit each time"
    done = store.content()
    assert len(done[Epoch]) + len(done[Rollout]) >= len(before[Epoch]) + len(before[Rollout])
    assert done != before
    if again is not None:
        with pytest.raises(Refused, match=again):
            act(it)
        assert store.content() == done
    assert it.sound()


def test_a_rollback_and_what_is_owed_after_it_are_one() -> None:
    """O3: whoever is killed right after a rollback leaves the incident open for whoever comes."""
    it = quick(AWFUL, store=Eventful())
    assert isinstance(it.store, Eventful)
    it.store.around = lambda when, number: (
        die() if when == "after" and it.now().ended_at is not None else None
    )
    with pytest.raises(Killed):
        it.run(MINUTE)
    [incident] = it.store.scan(Incident)
    assert (incident.rollout, incident.decision) == (it.rollout.id, it.newest().id)
    assert (incident.steps, incident.closed_at) == ({}, None)


def test_the_dead_who_were_only_slow_write_nothing() -> None:
    """A pass that stops right before its commit for longer than its lease lasts, and goes on."""
    it = quick(BRIGHT, store=Eventful())
    assert isinstance(it.store, Eventful)
    it.run(2 * SECOND)
    passes: list[object] = []

    def sleep() -> None:
        it.clock.advance(LEASE_TTL + 1)
        it.world.tick(TICK)
        passes.append(it.look(holder="two"))

    it.world.tick(TICK)
    it.store.once("before", sleep)
    with pytest.raises((LostLease, Conflict)):
        it.look(holder="one")
    assert passes
    assert it.run(MINUTE).status == RolloutStatus.PROMOTED
    assert it.sound()


def test_no_kill_makes_a_version_stand_where_its_traffic_is_not() -> None:
    """After a kill at any commit: a candidate in canary has a rollout, one in none has none."""
    it = quick(BRIGHT, policy=HELD_BACK, store=Eventful())
    assert isinstance(it.store, Eventful)

    def consistent(when: str, number: int) -> None:
        routing, now = it.routing(), it.now()
        in_canary = it.status("intent@2") == VersionStatus.CANARY
        assert in_canary == (routing.candidate is not None) == (now.ended_at is None)
        live = {v.digest for v in it.store.scan(Version) if v.status == VersionStatus.LIVE}
        assert live == {routing.control}

    it.store.around = consistent
    assert it.run(MINUTE).status == RolloutStatus.PROMOTED
    assert roll_out.active(it.store, TASK) is None
