"""People take a rollout in hand, beside a controller that looks all the time (O4)."""

from __future__ import annotations

import pytest

from greenlight.core.approval import Person
from greenlight.core.errors import BadInput, Conflict, Refused
from greenlight.core.records import MINUTE, SECOND, Decision, LedgerEntry, Rollout
from greenlight.core.states import Action, RolloutStatus, VersionStatus
from greenlight.stages import roll_out
from greenlight.stages.replay import replay
from greenlight.testing.world import Quality
from tests.scenarios.worlds import BEN, BETTER, GOOD, KIM, POOR, TASK, Case, case


def order(it: Case, action: Action, who: Person = BEN, why: str = "so be it") -> Decision:
    return it.order(action, who, why)


def newest(it: Case) -> Decision:
    return it.store.scan(Decision, {"rollout": it.rollout.id}, newest_first=True, limit=1)[0]


def test_anybody_takes_a_candidate_out_of_traffic_at_once() -> None:
    """It needs no controller, and every step is on record."""
    it = case(GOOD, BETTER)
    it.run(3 * SECOND)
    made = order(it, Action.ROLLBACK, KIM, "support is flooded")
    assert (made.action, made.code) == (Action.ROLLBACK, "order")
    assert made.reason == "kim (operations): support is flooded"
    routing = roll_out.current_epoch(it.store, TASK)
    assert routing is not None and (routing.candidate, routing.weight) == (None, 0.0)
    assert it.now().status == RolloutStatus.ROLLED_BACK
    assert it.status("intent@2") == VersionStatus.ROLLED_BACK
    kinds = [entry.kind for entry in it.store.scan(LedgerEntry)]
    assert kinds.count("decision") == len(it.actions())
    assert all(found.equal for found in replay(it.store, it.now()))
    with pytest.raises(Refused, match="no rollout is running, so there is nothing to rollback"):
        order(it, Action.ROLLBACK)


def test_what_is_paused_grows_only_once_it_is_resumed() -> None:
    it = case(GOOD, BETTER)
    it.run(3 * SECOND)
    order(it, Action.PAUSE, KIM, "nobody watches")
    assert it.now().paused == "kim (operations): nobody watches"
    it.run(30 * SECOND)
    assert (newest(it).code, it.now().step) == ("paused", 0)
    with pytest.raises(Refused, match="paused already"):
        order(it, Action.PAUSE)
    with pytest.raises(Refused, match=r"verdict is hold \(paused\)"):
        order(it, Action.WIDEN)
    order(it, Action.RESUME)
    assert it.now().paused is None
    assert it.run(2 * MINUTE).status == RolloutStatus.PROMOTED
    assert all(found.equal for found in replay(it.store, it.now()))


def test_a_pause_protects_no_poor_candidate() -> None:
    it = case(GOOD, POOR)
    it.run(2 * SECOND)
    order(it, Action.PAUSE)
    ended = it.run(MINUTE)
    assert (ended.status, newest(it).code != "order") == (RolloutStatus.ROLLED_BACK, True)


def until_it_is_taken(it: Case, action: Action, why: str) -> None:
    """Give an order again and again, until nothing stands against it."""
    for _ in range(120):
        it.run(SECOND)
        try:
            order(it, action, why=why)
            return
        except Refused:
            continue
    raise AssertionError(f"{action} was refused for two minutes")


def test_who_is_in_a_hurry_widens_and_promotes_where_nothing_is_against_it() -> None:
    it = case(GOOD, Quality(good=0.92), seed=3)
    until_it_is_taken(it, Action.WIDEN, "few users")
    routing = roll_out.current_epoch(it.store, TASK)
    assert routing is not None and (it.now().step, routing.weight) == (1, 0.5)
    with pytest.raises(Refused, match="promote is refused"):
        order(it, Action.PROMOTE)
    until_it_is_taken(it, Action.PROMOTE, "as good, and half the cost")
    assert it.now().status == RolloutStatus.PROMOTED
    assert newest(it).reason == "ben (product_owner): as good, and half the cost"
    assert all(found.equal for found in replay(it.store, it.now()))


def test_an_order_without_a_reason_is_none() -> None:
    it = case(GOOD, BETTER)
    with pytest.raises(BadInput, match="say why"):
        order(it, Action.ROLLBACK, why="  ")
    assert it.actions() == [Action.START]


def test_who_comes_second_is_told_so() -> None:
    """The controller and a person in the same moment: one of them decides, never both."""
    it = case(GOOD, BETTER)
    it.run(3 * SECOND)
    before = it.now()
    order(it, Action.WIDEN)
    stale = it.store.get
    it.store.get = (  # type: ignore[method-assign]
        lambda kind, *key: before if kind is Rollout else stale(kind, *key)
    )
    scan = it.store.scan
    it.store.scan = (  # type: ignore[method-assign]
        lambda kind, *given, **named: [before] if kind is Rollout else scan(kind, *given, **named)
    )
    with pytest.raises(Conflict):
        order(it, Action.ROLLBACK)
