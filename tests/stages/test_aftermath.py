"""Aftermath: what follows a rollback, though whoever does it is killed anywhere (O3)."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core import aftermath, ledger
from greenlight.core.aftermath import PATIENCE, SILENT, STEPS, TRIES
from greenlight.core.answers import Lease
from greenlight.core.errors import Aborted, LostLease, ModelFailed
from greenlight.core.incidents import Incident
from greenlight.core.records import MILLISECOND, SECOND, Epoch, LedgerEntry, Replica
from greenlight.stages.aftermath import (
    LEASE,
    LEASE_TTL,
    advance,
    attend,
    open_incidents,
    propagation,
)
from greenlight.testing import FakeClock

TASK = "intent"


class Killed(BaseException):
    """The process is gone: nothing after this runs."""


class Mortal(MemoryStore):
    """A store whose process is killed at an event: before a commit, after it, or in a step."""

    def __init__(self) -> None:
        super().__init__()
        self.events = 0
        self.fatal: int | None = None

    def pass_by(self) -> None:
        self.events += 1
        if self.events == self.fatal:
            raise Killed

    def commit(self, **what: Any) -> None:
        self.pass_by()
        super().commit(**what)
        self.pass_by()


class Desk:
    """A rollback at work, and processes that may take turns at what follows it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Mortal()
        self.took: list[str] = []
        """Steps as they were carried out, however often."""
        at = self.clock.now()
        epochs = [self.epoch(7, 6, "old", at - SECOND), self.epoch(9, 7, "d", at)]
        self.store.commit(append=[*epochs, self.incident("r")])
        self.heard("gateway-1", 9, at + 300 * MILLISECOND)

    def epoch(self, number: int, follows: int, decision: str, at: int) -> Epoch:
        return Epoch(
            task=TASK,
            number=number,
            follows=follows,
            rollout=None,
            control="sha256:a",
            candidate=None,
            weight=0.0,
            salt="",
            decision=decision,
            at=at,
        )

    def incident(self, rollout: str) -> Incident:
        return Incident(
            rollout=rollout,
            task=TASK,
            control="sha256:a",
            candidate="sha256:b",
            decision="d",
            code="quality",
            reason="its answers are worse",
            drill=None,
            at=self.clock.now(),
        )

    def heard(self, id: str, epoch: int, applied: int, at: int | None = None) -> None:
        """A gateway's sign of life."""
        moment = self.clock.now() if at is None else at
        self.store.heartbeat(
            Replica(
                id=id,
                epochs={TASK: epoch},
                applied_at={TASK: applied},
                flushed_through=moment,
                at=moment,
            )
        )

    def now(self) -> Incident:
        found = self.store.get(Incident, "r")
        assert found is not None
        return found

    def lead(self, holder: str) -> Lease | None:
        return self.store.lease(LEASE, holder, self.clock.now(), LEASE_TTL)

    def carry(self, **works: Callable[[Incident], Any]) -> Any:
        """Every step, each of which may be killed before and after it is done."""

        def do(step: str) -> Callable[[Incident], Any]:
            def work(incident: Incident) -> Any:
                self.store.pass_by()
                self.took.append(step)
                if step in works:
                    return works[step](incident)
                found: Any = {"result": "done", "says": f"{step} done"}
                if step == "propagated":
                    found = propagation(self.store, incident, self.clock.now())
                self.store.pass_by()
                return found

            return work

        return {step: do(step) for step in STEPS}

    def attend(self, holder: str = "one", **works: Callable[[Incident], Any]) -> None:
        fence = self.lead(holder)
        if fence is not None:
            attend(self.store, self.carry(**works), fence=fence, now=self.clock.now)

    def entries(self) -> list[LedgerEntry]:
        return self.store.scan(LedgerEntry)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_one_pass_does_everything_and_the_ledger_says_so(desk: Desk) -> None:
    desk.clock.advance(SECOND)
    desk.attend()
    found = desk.now()
    assert desk.took == list(STEPS)
    assert found.closed_at == desk.clock.now() and open_incidents(desk.store) == []
    assert all(aftermath.is_done(found, step) for step in STEPS)
    [entry] = desk.entries()
    assert (entry.kind, entry.body) == ("incident", ledger.body_of(found))
    desk.attend()
    assert desk.took == list(STEPS) and len(desk.entries()) == 1


def events_of_a_pass() -> int:
    desk = Desk()
    desk.store.events = 0
    desk.attend()
    return desk.store.events


@pytest.mark.parametrize("fatal", range(1, events_of_a_pass() + 1))
def test_whoever_is_killed_anywhere_leaves_the_rest_to_another(fatal: int) -> None:
    """Between every two steps, and within each: nothing is lost, and the end is written once."""
    desk = Desk()
    desk.store.events, desk.store.fatal = 0, fatal
    with pytest.raises(Killed):
        desk.attend("one")
    desk.store.fatal = None
    kept = [step for step in STEPS if aftermath.is_done(desk.now(), step)]
    desk.attend("another")
    assert desk.now().closed_at is None or fatal > events_of_a_pass() - 1, "the lease still holds"
    desk.clock.advance(LEASE_TTL)
    desk.heard("gateway-1", 9, desk.now().at + 300 * MILLISECOND)
    desk.attend("another")
    found = desk.now()
    assert found.closed_at is not None
    assert all(found.steps[step]["result"] in ("done", "everywhere") for step in STEPS)
    assert [entry.kind for entry in desk.entries()] == ["incident"]
    assert ledger.problems(desk.entries()) == []
    again = [step for step in desk.took if desk.took.count(step) > 1]
    assert set(again).isdisjoint(kept), "what is recorded is not done again"


def test_who_has_lost_the_lease_can_record_nothing(desk: Desk) -> None:
    """Two processes: the slow one finds its step done by the other, and does not overwrite it."""

    def slow(incident: Incident) -> Any:
        desk.clock.advance(LEASE_TTL + SECOND)  # long enough that another takes over
        desk.attend("another")
        return {"result": "done", "says": "too late"}

    with pytest.raises(LostLease):
        desk.attend("one", caches=slow)
    found = desk.now()
    assert found.closed_at is not None and found.steps["caches"]["says"] == "caches done"
    assert [entry.kind for entry in desk.entries()] == ["incident"]


def test_who_has_no_lease_leaves_it_alone(desk: Desk) -> None:
    assert desk.lead("one") is not None
    desk.attend("another")
    assert desk.took == []


def test_a_step_that_fails_is_tried_again_and_given_up(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, kept, and holds nothing up for longer than its tries."""

    def fail(incident: Incident) -> Any:
        raise ModelFailed("http://models: no answer")

    moments = []
    for _ in range(1000):
        before = desk.took.count("baseline")
        desk.attend(baseline=fail)
        if desk.took.count("baseline") > before:
            moments.append(desk.clock.now())
        if desk.now().closed_at is not None:
            break
        desk.clock.advance(SECOND // 2)
    pauses = [(b - a) // SECOND for a, b in itertools.pairwise(moments)]
    assert len(moments) == TRIES and pauses == [1, 2, 4, 8, 16]
    step = desk.now().steps["baseline"]
    assert step["result"] == "given_up"
    assert step["says"] == "given up after 6 tries: http://models: no answer"
    assert desk.now().steps["evidence"]["result"] == "done"
    assert aftermath.standing(desk.now()) == "closed, not as it should be: baseline given up"
    said = [r for r in caplog.records if "baseline has failed" in r.getMessage()]
    assert len(said) == TRIES


def test_what_an_unexpected_error_says_is_logged_and_not_kept(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(incident: Incident) -> Any:
        raise KeyError("my card 4111 is lost")

    desk.attend(evidence=fail)
    kept = str(desk.now().steps["evidence"])
    assert "KeyError" in kept and "4111" not in kept
    assert "my card 4111 is lost" in caplog.text


def test_a_step_that_ends_its_process_is_given_up_too(desk: Desk) -> None:
    """Out of memory, say: a controller must not be ended for ever by the same step."""

    def die(incident: Incident) -> Any:
        raise Killed

    deaths = 0
    for _ in range(200):
        try:
            desk.attend(baseline=die)
        except Killed:
            deaths += 1
        desk.clock.advance(LEASE_TTL)
        if desk.now().closed_at is not None:
            break
    assert deaths == TRIES and desk.now().steps["baseline"]["result"] == "given_up"


def test_a_process_that_is_about_to_end_breaks_off(desk: Desk) -> None:
    def leave(incident: Incident) -> Any:
        raise Aborted("about to end")

    with pytest.raises(Aborted):
        desk.attend(baseline=leave)
    desk.clock.advance(SECOND)
    desk.attend()
    assert desk.now().steps["baseline"]["result"] == "done"
    fence = desk.lead("one")
    desk.store.commit(append=[desk.incident("r2")])
    attend(desk.store, desk.carry(), fence=fence, now=desk.clock.now, stopping=lambda: True)
    assert desk.store.get(Incident, "r2") == desk.incident("r2")


def test_breaking_off_is_no_try(desk: Desk) -> None:
    """Nothing was wrong with the step: however often processes end, it is not given up over that,
    and what was kept of a try that did fail stays."""

    def leave(incident: Incident) -> Any:
        raise Aborted("about to end")

    def fail(incident: Incident) -> Any:
        raise ModelFailed("no answer")

    for works in ({"caches": leave}, {"baseline": leave}):
        for _ in range(TRIES + 1):
            with pytest.raises(Aborted):
                desk.attend(**works)
            assert not desk.now().steps.keys() & works.keys()
    desk.attend(baseline=fail)
    before = desk.now().steps["baseline"]
    desk.clock.advance(SECOND)
    with pytest.raises(Aborted):
        desk.attend(baseline=leave)
    assert desk.now().steps["baseline"] == before and before["tries"] == 1
    desk.attend()
    assert desk.now().steps["baseline"]["result"] == "done"


def test_who_breaks_off_for_its_lease_is_lost_takes_nothing_back(desk: Desk) -> None:
    def slow(incident: Incident) -> Any:
        desk.clock.advance(LEASE_TTL + SECOND)
        desk.attend("another")
        raise Aborted("another process goes on")

    with pytest.raises(Aborted):
        desk.attend("one", baseline=slow)
    assert desk.now().steps["baseline"]["says"] == "baseline done"


def test_a_broken_incident_holds_up_no_other(desk: Desk) -> None:
    desk.store.commit(append=[msgspec.structs.replace(desk.incident("q"), task="other")])

    def fail(incident: Incident) -> Any:
        if incident.rollout == "q":
            raise RuntimeError("no epoch")
        return {"result": "done", "says": "done"}

    desk.attend(propagated=fail)
    assert desk.now().closed_at is not None
    other = desk.store.get(Incident, "q")
    assert other is not None and other.steps["propagated"]["tries"] == 1


# The gateways


def test_every_gateway_is_timed(desk: Desk) -> None:
    at = desk.now().at
    desk.heard("gateway-2", 9, at + 900 * MILLISECOND)
    found = propagation(desk.store, desk.now(), desk.clock.now())
    assert found is not None
    assert (found["result"], found["epoch"], found["worst_ms"]) == ("everywhere", 9, 900.0)
    assert found["says"] == "2 gateways within 900 ms"
    assert [(r["replica"], r["ms"], r["exact"]) for r in found["replicas"]] == [
        ("gateway-1", 300.0, True),
        ("gateway-2", 900.0, True),
    ]


def test_a_gateway_with_a_later_routing_was_no_later(desk: Desk) -> None:
    desk.heard("gateway-1", 11, desk.now().at + 5 * SECOND)
    found = propagation(desk.store, desk.now(), desk.clock.now())
    assert found is not None and found["result"] == "everywhere"
    assert [(r["ms"], r["exact"]) for r in found["replicas"]] == [(5000.0, False)]


def test_one_that_was_started_long_after_is_said_so(desk: Desk) -> None:
    desk.heard("gateway-1", 9, desk.now().at + PATIENCE + SECOND)
    found = propagation(desk.store, desk.now(), desk.clock.now())
    assert found is not None and "(started since, or away until then)" in found["says"]


def test_one_that_lives_is_waited_for_and_the_later_steps_with_it(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    at = desk.now().at
    while desk.clock.now() < at + PATIENCE:
        desk.heard("gateway-2", 7, at - SECOND)
        desk.heard("gateway-1", 9, at)
        desk.attend()
        assert not desk.now().steps, "waiting is no try, and nothing is written"
        desk.clock.advance(5 * SECOND)
    desk.heard("gateway-2", 7, at - SECOND)
    with caplog.at_level(logging.ERROR):
        desk.attend()
    step = desk.now().steps["propagated"]
    assert (step["result"], step["missing"]) == ("missing", ["gateway-2"])
    assert "gateway-2 does not" in caplog.text
    assert desk.now().closed_at is not None


def test_one_that_fell_silent_is_not_waited_for(desk: Desk) -> None:
    at = desk.now().at
    desk.heard("gateway-2", 7, at - SECOND, at=at)
    assert propagation(desk.store, desk.now(), at + SILENT) is None
    found = propagation(desk.store, desk.now(), at + SILENT + 1)
    assert found is not None and (found["result"], found["silent"]) == ("missing", ["gateway-2"])


def test_one_that_was_gone_before_does_not_count(desk: Desk) -> None:
    at = desk.now().at
    desk.heard("gateway-0", 3, at - 10 * SECOND, at=at - SILENT - 1)
    found = propagation(desk.store, desk.now(), at)
    assert found is not None and [r["replica"] for r in found["replicas"]] == ["gateway-1"]


def test_no_gateway_and_no_epoch_are_said_so(desk: Desk) -> None:
    desk.clock.advance(60 * SECOND)
    late = msgspec.structs.replace(desk.incident("r3"))
    found = propagation(desk.store, late, desk.clock.now())
    assert found is not None and found["result"] == "nobody" and "alive" in found["says"]
    foreign = msgspec.structs.replace(late, decision="unknown")
    found = propagation(desk.store, foreign, desk.clock.now())
    assert found is not None and "not on record" in found["says"]


# What others add


def test_what_others_add_stays_and_is_on_the_ledger_once_closed(desk: Desk) -> None:
    """A drill puts what it measured there, whenever it comes."""
    seen = desk.now()
    desk.attend()
    found = advance(desk.store, seen, "drill", {"result": "passed", "s": 3}, desk.clock.now())
    assert found.steps["drill"] == {"at": desk.clock.now(), "result": "passed", "s": 3}
    assert set(found.steps) == {*STEPS, "drill"} and found.closed_at is not None
    assert [entry.body["steps"].get("drill") for entry in desk.entries()] == [
        None,
        found.steps["drill"],
    ]
