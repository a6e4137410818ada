"""What every store promises of records, commits and leases."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from greenlight.core.errors import Conflict, LostLease
from greenlight.core.records import (
    RECORDS,
    Epoch,
    Evaluation,
    EvidenceState,
    Feedback,
    Inference,
    JournalEntry,
    LedgerEntry,
    Record,
    Rollout,
    Shadow,
    Version,
)
from greenlight.core.states import VersionStatus
from greenlight.ports import Store
from tests.contracts.making import EXAMPLES, entry, epoch, feedback, inference, link, version

replace = msgspec.structs.replace


def test_examples_cover_every_kind() -> None:
    kinds = {type(example) for example in EXAMPLES} | {Inference, Feedback, Shadow}
    assert kinds == set(RECORDS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_what_is_appended_is_there(store: Store, example: Record) -> None:
    assert store.get(type(example), *example.key) is None
    store.commit(append=[example])
    held = store.get(type(example), *example.key)
    assert held == example
    assert type(held) is type(example)
    assert store.scan(type(example)) == [example]
    for name in example.__struct_fields__:
        assert type(getattr(held, name)) is type(getattr(example, name)), name


@pytest.mark.parametrize("oos", [None, True, False])
def test_events_come_back_as_they_were(store: Store, oos: bool | None) -> None:
    event = inference("i1", oos=oos, score=None, rollout=None, fallback_from="sha256:v2")
    word = feedback("f1", "i1", 0.25, reason_code="wrong_label", comment="", correction=None)
    store.ingest([event], [word])
    assert store.get(Inference, "i1") == event
    assert store.get(Inference, "i1").oos is oos  # type: ignore[union-attr]  # it is there
    assert store.get(Feedback, "f1") == word


def test_documents_are_nobody_elses(store: Store) -> None:
    given: dict[str, Any] = {"steps": [1]}
    store.commit(append=[Evaluation(digest="e", version="v", document=given, at=1)])
    given["steps"].append(2)
    held = store.get(Evaluation, "e")
    assert held is not None
    held.document["steps"].append(3)
    store.scan(Evaluation)[0].document["steps"].append(4)
    again = store.get(Evaluation, "e")
    assert again is not None and again.document == {"steps": [1]}


@pytest.mark.parametrize("key", [(), ("intent",), ("intent", 1, 2)])
def test_a_key_has_all_its_parts(store: Store, key: tuple[str | int, ...]) -> None:
    with pytest.raises(ValueError, match="key of Epoch"):
        store.get(Epoch, *key)
    with pytest.raises(ValueError, match="key of Epoch"):
        store.scan(Epoch, after=key)


# Commit: all or nothing


def test_a_taken_key_is_a_conflict_and_nothing_is_written(store: Store) -> None:
    store.commit(append=[epoch(1)])
    with pytest.raises(Conflict, match="Epoch intent/1 is there already"):
        store.commit(append=[link(1), epoch(2), epoch(1, weight=0.5)])
    assert store.scan(Epoch) == [epoch(1)]
    assert store.scan(LedgerEntry) == []


def test_one_commit_cannot_take_a_key_twice(store: Store) -> None:
    with pytest.raises(Conflict, match="LedgerEntry 2 is there already"):
        store.commit(append=[link(1), link(2), link(2)])
    assert store.scan(LedgerEntry) == []


def test_the_same_evidence_counts_once(store: Store) -> None:
    """Unique by (rollout, test, unit, epoch)."""
    store.commit(append=[entry(1)])
    others = [
        entry(2, test="fast"),
        entry(3, unit="ben"),
        entry(4, epoch=2),
        entry(1, rollout="r2"),
    ]
    store.commit(append=others)
    with pytest.raises(Conflict, match="'exposure' of unit 'ana' in epoch 1 of r1"):
        store.commit(append=[entry(5, unit="new"), entry(6)])
    with pytest.raises(Conflict, match="'quality' of unit 'eve' in epoch 9 of r1"):
        store.commit(
            append=[
                entry(5, test="quality", unit="eve", epoch=9),
                entry(6, test="quality", unit="eve", epoch=9),
            ]
        )
    assert len(store.scan(JournalEntry)) == 5


def test_a_swap_needs_exactly_what_was_read(store: Store) -> None:
    read = version("v1")
    store.commit(append=[read])
    changed = replace(read, status=VersionStatus.EVALUATED, lineage={"run": "other"})
    store.commit(swap=[(read, changed)])
    assert store.get(Version, "v1") == changed
    with pytest.raises(Conflict, match=r"Version v1 has changed since it was read \(lineage, stat"):
        store.commit(append=[link(1)], swap=[(read, replace(read, status=VersionStatus.LIVE))])
    with pytest.raises(Conflict, match="Version v2 is gone"):
        store.commit(append=[link(1)], swap=[(version("v2"), version("v2", at=6))])
    assert store.get(Version, "v1") == changed
    assert store.scan(LedgerEntry) == []


def test_a_failed_swap_undoes_the_swaps_before_it(store: Store) -> None:
    one, two = version("v1"), version("v2")
    store.commit(append=[one, two])
    with pytest.raises(Conflict):
        store.commit(
            swap=[
                (one, replace(one, status=VersionStatus.LIVE)),
                (replace(two, at=99), replace(two, status=VersionStatus.RETIRED)),
            ]
        )
    assert store.scan(Version) == [one, two]


def test_documents_are_compared_by_content(store: Store) -> None:
    state = EvidenceState(rollout="r1", last_seq=1, state={"a": (1, 2), "b": 1.0})
    store.commit(append=[state])
    same = replace(state, state={"b": 1.0, "a": [1, 2]})
    after = replace(state, last_seq=2)
    store.commit(swap=[(same, after)])
    held = store.get(EvidenceState, "r1")
    assert held is not None and held.last_seq == 2


def test_a_commit_can_swap_what_it_appends(store: Store) -> None:
    first = version("v1")
    second = replace(first, status=VersionStatus.EVALUATED)
    third = replace(first, status=VersionStatus.APPROVED)
    store.commit(append=[first], swap=[(first, second), (second, third)])
    assert store.get(Version, "v1") == third


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"append": [inference("i1")]}, r"Inference enters by ingest\(\)"),
        ({"append": [feedback("f1", "i1")]}, r"Feedback enters by ingest\(\)"),
        ({"swap": [(link(1), replace(link(1), kind="forged"))]}, "written once"),
        ({"swap": [(entry(1), replace(entry(1), y=1.0))]}, "written once"),
        ({"swap": [(version("v1"), version("v2"))]}, "keeps kind and key"),
        ({"append": [entry(2, y=float("nan"))]}, "JournalEntry.y is nan"),
        ({"append": [version("v2", lineage={"x": [float("inf")]})]}, "inf"),
        ({"swap": [(epoch(1), epoch(1, weight=float("inf")))]}, "Epoch.weight is inf"),
    ],
)
def test_what_could_never_be_right_is_refused(
    store: Store, arguments: dict[str, Any], message: str
) -> None:
    before: list[Record] = [link(1), entry(1), version("v1"), epoch(1)]
    store.commit(append=before)
    with pytest.raises(ValueError, match=message):
        store.commit(**{"append": [link(2)], **arguments})
    assert [store.get(type(record), *record.key) for record in before] == before
    assert store.get(LedgerEntry, 2) is None


def test_only_one_of_several_threads_gets_a_key(store: Store) -> None:
    """Epoch n + 1 goes to one decision only."""
    ready = threading.Barrier(4)
    outcomes: list[str] = []

    def race(name: str) -> None:
        ready.wait()
        for number in range(1, 21):
            try:
                store.commit(append=[epoch(number, decision=name)])
                outcomes.append("won")
            except Conflict:
                outcomes.append("lost")

    threads = [threading.Thread(target=race, args=(f"d-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcomes.count("won"), outcomes.count("lost")) == (20, 60)
    assert [held.number for held in store.scan(Epoch)] == list(range(1, 21))


# Leases


def test_a_lease_is_renewed_by_its_holder_and_refused_to_others(store: Store) -> None:
    first = store.lease("leader", "a", now=1000, ttl=300)
    assert first is not None and (first.token, first.expires_at) == (1, 1300)
    assert store.lease("leader", "b", now=1299, ttl=300) is None
    renewed = store.lease("leader", "a", now=1200, ttl=300)
    assert renewed is not None and (renewed.token, renewed.expires_at) == (1, 1500)
    other = store.lease("elsewhere", "b", now=1299, ttl=300)
    assert other is not None and other.token == 1


def test_taking_an_expired_lease_adds_one_to_the_token(store: Store) -> None:
    store.lease("leader", "a", now=1000, ttl=300)
    taken = store.lease("leader", "b", now=1300, ttl=300)
    assert taken is not None and (taken.holder, taken.token, taken.expires_at) == ("b", 2, 1600)
    late = store.lease("leader", "b", now=1600, ttl=300)
    assert late is not None and late.token == 3


def test_who_only_asks_who_leads_changes_nothing(store: Store) -> None:
    assert store.leased("leader") is None
    first = store.lease("leader", "a", now=1000, ttl=300)
    assert store.leased("leader") == first and store.leased("elsewhere") is None
    taken = store.lease("leader", "b", now=5000, ttl=300)
    assert store.leased("leader") == taken, "run out or not"
    assert store.lease("leader", "b", now=5100, ttl=300) == store.leased("leader")


def test_a_fence_lets_only_the_leader_write(store: Store) -> None:
    old = store.lease("leader", "a", now=1000, ttl=300)
    assert old is not None
    store.commit(append=[link(1)], fence=old, now=1299)
    with pytest.raises(LostLease, match="expired 0 µs ago"):
        store.commit(append=[link(2)], fence=old, now=1300)
    new = store.lease("leader", "b", now=1300, ttl=300)
    assert new is not None
    with pytest.raises(LostLease, match=r"held by 'b' \(token 2\), no longer by 'a' \(token 1\)"):
        store.commit(append=[link(2)], fence=old, now=1301)
    with pytest.raises(LostLease, match="token 2"):
        store.commit(append=[link(2)], fence=replace(new, token=1), now=1301)
    with pytest.raises(LostLease, match="nobody holds"):
        store.commit(append=[link(2)], fence=replace(new, name="other"), now=1301)
    assert [held.seq for held in store.scan(LedgerEntry)] == [1]
    store.commit(append=[link(2)], fence=new, now=1301)


def test_a_clock_set_back_does_not_make_a_lease_last(store: Store) -> None:
    """Its holder renews it all the same; who takes it over gets a token that fences."""
    store.lease("leader", "a", now=1_000_000, ttl=300)
    renewed = store.lease("leader", "a", now=1000, ttl=300)
    assert renewed is not None and (renewed.token, renewed.expires_at) == (1, 1300)
    held = store.lease("leader", "a", now=1_000_000, ttl=300)
    assert held is not None
    assert store.lease("leader", "b", now=999_400, ttl=300) is None
    taken = store.lease("leader", "b", now=1000, ttl=300)
    assert taken is not None and (taken.token, taken.expires_at) == (held.token + 1, 1300)
    with pytest.raises(LostLease):
        store.commit(append=[epoch(1)], fence=held, now=1100)


def test_a_renewed_lease_still_fences(store: Store) -> None:
    held = store.lease("leader", "a", now=1000, ttl=300)
    store.lease("leader", "a", now=1250, ttl=300)
    store.commit(append=[link(1)], fence=held, now=1400)
    assert store.get(LedgerEntry, 1) == link(1)


def test_a_fence_needs_the_time(store: Store) -> None:
    held = store.lease("leader", "a", now=1000, ttl=300)
    with pytest.raises(ValueError, match="needs `now`"):
        store.commit(append=[link(1)], fence=held)


# Scan


def test_a_scan_goes_page_by_page_in_order_of_the_key(store: Store) -> None:
    numbers = [10, 2, 33, 1]
    made = [epoch(n, task=task) for n in numbers for task in ("b", "a")]
    store.commit(append=made)
    in_order = sorted(made, key=lambda record: record.key)
    for backwards in (False, True):
        expected = in_order[::-1] if backwards else in_order
        pages: list[Epoch] = []
        after: tuple[str | int, ...] | None = None
        while page := store.scan(Epoch, after=after, newest_first=backwards, limit=3):
            assert len(page) <= 3
            pages += page
            after = page[-1].key
        assert pages == expected
    newest = store.scan(Epoch, {"task": "a"}, newest_first=True, limit=1)
    assert [held.number for held in newest] == [33]
    assert store.scan(Epoch, {"task": "a"}, after=("a", 33)) == []
    assert store.scan(Epoch, limit=0) == []


def test_a_scan_compares_fields(store: Store) -> None:
    store.ingest(
        [
            inference("i1", rollout=None, oos=True),
            inference("i2", oos=False, unit="ben"),
            inference("i3", unit="ben"),
        ],
        [],
    )

    def ids(**where: str | int | None) -> list[str]:
        return [held.id for held in store.scan(Inference, where)]

    assert ids(rollout=None) == ["i1"]
    assert ids(rollout="r1") == ["i2", "i3"]
    assert ids(rollout="r1", unit="ben", oos=None) == ["i3"]
    assert ids(oos=True) == ["i1"]
    assert ids(oos=False) == ["i2"]
    assert ids(status="ok", epoch=1) == ["i1", "i2", "i3"]
    assert ids(epoch=2) == []


def test_a_scan_compares_states_by_name(store: Store) -> None:
    store.commit(append=[version("v1"), version("v2", status=VersionStatus.LIVE)])
    assert store.scan(Version, {"status": VersionStatus.LIVE}) == store.scan(
        Version, {"status": "live"}
    )
    assert [held.digest for held in store.scan(Version, {"status": "live"})] == ["v2"]


def test_a_scan_names_what_it_does_not_know(store: Store) -> None:
    with pytest.raises(ValueError, match="Rollout has no field 'colour'"):
        store.scan(Rollout, {"colour": "green"})
    with pytest.raises(ValueError, match=r"Rollout\.policy is a document"):
        store.scan(Rollout, {"policy": "{}"})
