"""Observe: what enters the journal, in which order, with which π, and how far a look can see."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest

from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core.alarms import AlarmRule
from greenlight.core.policy import DecisionPolicy, RolloutPolicy, Step
from greenlight.core.record import Record
from greenlight.core.records import (
    SECOND,
    Epoch,
    EvidenceState,
    Inference,
    JournalEntry,
    Replica,
    Rollout,
)
from greenlight.core.states import RolloutStatus, Status, Variant
from greenlight.stages import observe as stage
from greenlight.stages.observe import Observation, observe
from tests.contracts.making import inference, shadow
from tests.scenarios.worlds import BRIGHT, QUICK, TICK, quick

START = 1_000 * SECOND
NOW = START + 100 * SECOND
RULES = RolloutPolicy(
    steps=(Step(weight=0.1), Step(weight=0.5), Step(weight=1.0)),
    feedback_window=20 * SECOND,
    fast_window=10 * SECOND,
    grace=SECOND,
    stale_after=5 * SECOND,
)
POLICY = DecisionPolicy(rollout=RULES)
ROLLOUT = Rollout(
    id="r1",
    task="intent",
    control="sha256:v1",
    candidate="sha256:v2",
    salt="5a" * 16,
    policy=msgspec.to_builtins(POLICY),
    policy_digest="sha256:p",
    aa=False,
    initiator="ana",
    status=RolloutStatus.RUNNING,
    step=0,
    at=START,
)
EPOCH = Epoch(
    task="intent",
    number=1,
    follows=0,
    rollout="r1",
    control="sha256:v1",
    candidate="sha256:v2",
    weight=0.1,
    salt=ROLLOUT.salt,
    decision="d1",
    at=START,
)


def request(unit: str, second: float, **fields: Any) -> Inference:
    """A request of a unit, some seconds after the start."""
    at = START + int(second * SECOND)
    return inference(f"{unit}-{at}-{fields.get('epoch', 1)}", unit=unit, at=at, **fields)


def replica(name: str, *, heard: float = 0, flushed: float = 0) -> Replica:
    """A gateway, heard and flushed so many seconds ago."""
    return Replica(
        id=name,
        epochs={"intent": 1},
        applied_at={"intent": START},
        flushed_through=NOW - int(flushed * SECOND),
        at=NOW - int(heard * SECOND),
    )


def look(*inferences: Inference, replicas: tuple[Replica, ...] = (replica("one"),)) -> Observation:
    """A look at these requests."""
    store = MemoryStore()
    store.ingest(inferences, [])
    for each in replicas:
        store.heartbeat(each)
    return observe(store, ROLLOUT, EPOCH, POLICY, NOW)


def entered(seen: Observation, *tests: str) -> list[tuple[str, str]]:
    """(test, unit) of the entries of some tests, in order."""
    return [(entry.test, entry.unit) for entry in seen.entries if entry.test in tests]


def test_pi_follows_time_while_gateways_change_over() -> None:
    """A unit that met epoch 2 at one gateway and then epoch 1 at another, which was behind."""
    seen = look(
        request("ana", 1, epoch=2, weight=0.5, variant=Variant.CONTROL),
        request("ana", 1.2, epoch=1, weight=0.1, variant=Variant.CONTROL),
    )
    pi = {(entry.test, entry.epoch): entry.pi for entry in seen.entries}
    assert pi["exposure", 2] == pi["fast", 2] == pi["presence", 2] == 0.5
    assert pi["exposure", 1] == pi["fast", 1] == pi["presence", 1] == 0.0


def test_a_silent_gateway_does_not_keep_evidence_from_the_others() -> None:
    """O1: it forbids widening and promotion (the moment up to which all is known stands still);
    harm that the others have seen still counts."""
    requests = [request("ana", 50, status=Status.ERROR), request("ben", 51)]
    quiet = replica("two", heard=6, flushed=90)
    seen = look(*requests, replicas=(replica("one"), quiet))
    assert entered(seen, "exposure", "error", "fast") == [
        ("exposure", "ana"),
        ("error", "ana"),
        ("exposure", "ben"),
        ("fast", "ana"),
        ("fast", "ben"),
    ]
    assert seen.complete_until == quiet.flushed_through


def test_a_gateway_that_lives_is_waited_for() -> None:
    slow = replica("two", heard=4, flushed=60)
    seen = look(request("ana", 39), request("ben", 41), replicas=(replica("one"), slow))
    assert entered(seen, "exposure") == [("exposure", "ana")]
    assert seen.complete_until == slow.flushed_through


@pytest.mark.parametrize("heard", [51, 60])
def test_a_gateway_that_is_gone_is_not_waited_for(heard: float) -> None:
    gone = replica("two", heard=heard, flushed=90)
    assert look(request("ana", 50), replicas=(replica("one"), gone)).complete_until == NOW


def test_without_gateways_nothing_is_known() -> None:
    seen = look(request("ana", 1), replicas=())
    assert (seen.entries, seen.complete_until, seen.soaking_since) == ([], None, None)


class TestBacklog:
    """More than one look takes."""

    @pytest.fixture(autouse=True)
    def _small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stage, "_PAGE", 3)

    def test_what_is_left_makes_the_evidence_incomplete(self) -> None:
        """O5: nothing is widened on the first part of what is known."""
        seen = look(*(request(f"u{second}", second) for second in range(10)))
        assert entered(seen, "presence") == [("presence", f"u{second}") for second in range(3)]
        assert seen.complete_until == START + 2 * SECOND

    @pytest.mark.parametrize(
        ("first", "behind"), [(50, 12), (75, 23)], ids=["the fast test", "the maturing cohorts"]
    )
    def test_each_test_that_lags_counts(self, first: int, behind: int) -> None:
        """Exposures are all in; others wait for their windows, and each is as old as its oldest."""
        store = MemoryStore()
        store.ingest([request(f"u{i}", first + i) for i in range(4)], [])
        store.heartbeat(replica("one"))
        written = observe(store, ROLLOUT, EPOCH, POLICY, NOW, page=100)
        kept = ("exposure",) if behind == 12 else ("exposure", "fast")
        store.commit(append=[entry for entry in written.entries if entry.test in kept])
        seen = observe(store, ROLLOUT, EPOCH, POLICY, NOW)
        assert seen.complete_until == START + (first + behind) * SECOND

    def test_failures_find_the_units_that_were_at_risk(self) -> None:
        """A full page of exposures holds back the failures that may precede the next exposure."""
        failed = {"status": Status.ERROR}
        seen = look(
            request("a", 1), request("b", 2), request("c", 3), request("d", 3, **failed),
            request("c", 4, **failed),
        )  # fmt: skip
        assert entered(seen, "exposure", "error") == [("exposure", unit) for unit in "abc"]

    def test_exposures_wait_for_failures(self) -> None:
        """A full page of failures holds back the exposures after it."""
        failed = {"status": Status.ERROR}
        store = MemoryStore()
        store.ingest([request(unit, i) for i, unit in enumerate("abcd")], [])
        store.heartbeat(replica("one"))
        for _ in range(2):
            _write(store)
        store.ingest([request(unit, 5 + i, **failed) for i, unit in enumerate("abcd")], [])
        store.ingest([request("e", 6.5), request("f", 7.5)], [])
        assert [_write(store) for _ in range(2)] == [
            [("error", "a"), ("error", "b"), ("exposure", "e"), ("error", "c")],
            [("exposure", "f"), ("error", "d")],
        ]


def _write(store: MemoryStore) -> list[tuple[str, str]]:
    """Look, write the first events into the journal, and say which."""
    seen = observe(store, ROLLOUT, EPOCH, POLICY, NOW)
    entries = [entry for entry in seen.entries if entry.test in ("exposure", "error")]
    written = len(store.scan(JournalEntry))
    store.commit(
        append=[
            msgspec.structs.replace(entry, seq=written + number)
            for number, entry in enumerate(entries, start=1)
        ]
    )
    return [(entry.test, entry.unit) for entry in entries]


def test_copies_that_one_arm_failed_alone_enter_as_bets_at_even_odds() -> None:
    """S6: first of each unit, in the order of the requests, and only once `grace` has passed."""
    rules = msgspec.structs.replace(RULES, shadow=10 * SECOND)
    policy = msgspec.structs.replace(POLICY, rollout=rules)
    epoch = msgspec.structs.replace(EPOCH, weight=0.0)
    store = MemoryStore()
    asked = [request(unit, at, weight=0.0) for unit, at in (("ana", 1), ("ben", 2), ("eve", 99.5))]
    failed = (Variant.CANDIDATE, Variant.CONTROL, Variant.CANDIDATE)
    store.ingest(
        asked,
        [],
        [
            shadow(one.id, unit=one.unit, at=one.at, alone=arm)
            for one, arm in zip(asked, failed, strict=True)
        ],
    )
    store.heartbeat(replica("one"))
    seen = observe(store, ROLLOUT, epoch, policy, NOW)
    found = [entry for entry in seen.entries if entry.test == "shadow"]
    assert [(entry.unit, entry.arm, entry.pi) for entry in found] == [
        ("ana", Variant.CANDIDATE, 0.5),
        ("ben", Variant.CONTROL, 0.5),
    ]
    assert [entry.excluded for entry in found] == [None, None]
    assert seen.closed["shadow"] == seen.closed["events"] - SECOND
    assert "shadow" not in observe(store, ROLLOUT, epoch, POLICY, NOW).closed


class Asked(MemoryStore):
    """Counts what is read of each kind of record."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[type[Record]] = Counter()

    def get(self, kind: Any, *key: Any) -> Any:
        """As any store."""
        self.asked[kind] += 1
        return super().get(kind, *key)

    def scan(self, kind: Any, *given: Any, **named: Any) -> Any:
        """As any store."""
        self.asked[kind] += 1
        return super().scan(kind, *given, **named)


def test_a_pass_of_the_controller_asks_for_nothing_twice() -> None:
    """Gateways once, alarms or not; what is stored of the evidence to number the entries, and once
    more to replace it."""
    store = Asked()
    alarmed = {"server_error_rate": AlarmRule(name="server_error_rate", over=0.9)}
    it = quick(BRIGHT, policy=msgspec.structs.replace(QUICK, alarms=alarmed), store=store)
    it.run(SECOND)
    it.world.tick(TICK)
    store.asked.clear()
    it.look()
    assert "server_error_rate" in it.newest().evidence["situation"]["alarms"]
    assert (store.asked[Replica], store.asked[EvidenceState]) == (1, 2)
    splits_and_alarms, newest = 2, 1
    assert store.asked[Epoch] == splits_and_alarms + newest
