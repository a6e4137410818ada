"""Purge: what people wrote goes, and nothing else falls over (D11)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from greenlight import artifacts
from greenlight.adapters.blobs import FolderBlobs
from greenlight.adapters.stores.memory import MemoryStore
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core import ids, jsonl, ledger, retention
from greenlight.core.curation import Row
from greenlight.core.errors import NotFound, Refused, StoreError
from greenlight.core.labelling import pseudonym
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import (
    DAY,
    HOUR,
    SECOND,
    Dataset,
    Feedback,
    Inference,
    JournalEntry,
    LedgerEntry,
    Record,
    Replica,
    Rollout,
    Run,
    StageResult,
    Version,
)
from greenlight.core.retention import Order
from greenlight.core.states import RolloutStatus, RunStatus
from greenlight.lookup import PURGE, everything, folder_of
from greenlight.ports import Store
from greenlight.reporting.history import History, histories
from greenlight.serving.segments import encode
from greenlight.stages import purge as stage
from greenlight.stages import traces
from greenlight.stages.audit import audit
from greenlight.testing.world import Quality, World, WorldSimulator
from tests.contracts.making import EXAMPLES, entry, feedback, inference, shadow, version
from tests.reporting.conftest import TASK, Story

ANA = "ana.smith@example.com"
NOW = 1_000 * DAY
replace = msgspec.structs.replace


def quiet(*_: object) -> None:
    """No progress."""


class Archive:
    """Datasets on two shelves, with their records."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.raw, self.processed = (FolderBlobs(folder / "data" / n) for n in ("raw", "processed"))

    @property
    def shelves(self) -> list[FolderBlobs]:
        return [self.raw, self.processed]

    @property
    def there(self) -> list[str]:
        return sorted({digest for shelf in self.shelves for digest in shelf.digests()})

    def add(
        self,
        *units: str,
        at: int = NOW,
        asked: int | None = None,
        parent: str | None = None,
        production: bool = True,
    ) -> str:
        """A dataset with a row of each unit, on the ledger; `asked` is when, if not just then."""
        folder = self.folder / "making"
        folder.mkdir(parents=True)
        rows = [
            Row(
                f"row {number} of {at}",
                "card",
                pseudonym(TASK, unit) if unit else "",
                ids.uuid7(asked or at, bytes([number] * 10)) if production else "",
            )
            for number, unit in enumerate(units)
        ]
        (folder / "rows.jsonl").write_bytes(jsonl.encode(rows))
        body = {"name": "feedback", "task": TASK, "counts": {"rows": len(rows)}, "parent": parent}
        artifacts.seal(folder, {name: value for name, value in body.items() if value})
        digest = (self.processed if parent else self.raw).add(str(folder))
        manifest = artifacts.unseal(folder, digest)
        made = Dataset(digest=digest, task=TASK, name="feedback", manifest=manifest, at=at)
        said = {"dataset": digest, "parent": parent, "task": TASK, "name": "feedback"}
        newest = self.store.scan(LedgerEntry, newest_first=True, limit=1)
        links = ledger.chain(newest[0] if newest else None, [("dataset", said)], at=at)
        self.store.commit(append=[made, *links])
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        return digest


def order(unit: str | None = None, before: int = NOW) -> Order:
    return Order(task=TASK, unit=unit, before=before, initiator="ines")


def purge(archive: Archive, wanted: Order, store: Any = None, now: int = NOW) -> stage.Purged:
    return stage.purge(
        store or archive.store,
        archive.shelves,
        wanted,
        places=[archive.folder / "spool", archive.folder / "data"],
        drills=archive.folder / "drills",
        now=lambda: now,
        random=np.random.default_rng(3).bytes,
        progress=quiet,
    )


# A small world


class Neighbours(WorldSimulator):
    """Users who write something; one of them goes by her address."""

    def _request(self, at: int, unit: str) -> Inference:
        made = super()._request(at, ANA if unit == "user-7" else unit)
        return replace(made, input=f"{made.unit} waits for a card", output="card")


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    """A version that was rolled back, with Ana among those who met it."""
    store = SqlStore(f"sqlite:///{tmp_path}/state/greenlight.db")
    told = Story(seed=1, store=store)
    told.users = Neighbours(store, told.clock, TASK, told.qualities, World(units=400), told.rng)
    told.go_live(told.version("intent@1", Quality(good=0.9)))
    told.live(1)
    told.finish(told.start(told.version("intent@2", Quality(good=0.1, error=0.01))))
    told.live(1)
    yield told
    store.close()


def holding(folder: Path, text: str) -> list[str]:
    """Files below a folder in which a text stands, in any encoding that could matter here."""
    needles = [text.encode(), text.encode("utf-16-le")]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if any(n in path.read_bytes() for n in needles)]


def fold(told: History) -> History:
    """What follows from the journal; outcomes after the end are of events, which may be erased."""
    return replace(told, after=[], first_exposure=None)


def test_a_person_is_gone_and_the_evidence_is_not(story: Story, tmp_path: Path) -> None:
    """D11: her name is in no file, E is the same to the bit, and the ledger says what was done."""
    archive = Archive(story.store, tmp_path)
    raw = archive.add(ANA, "user-1")
    kept = archive.add("user-1")
    prepared = archive.add(ANA, parent=raw)
    learnt = replace(version("sha256:v9", label="intent@9"), lineage={"dataset": prepared})
    story.store.commit(append=[learnt])
    [first] = [i for i in everything(story.store, Inference) if i.unit == ANA][:1]
    word = feedback("f", first.id, comment=f"write to {ANA}", reviewer=ANA, at=story.clock.now())
    story.store.ingest([], [word])
    before = histories(story.store, TASK)
    assert {e.unit for e in everything(story.store, JournalEntry)} > {ANA}
    assert holding(tmp_path, ANA)

    done = purge(archive, order(ANA, story.clock.now()), now=story.clock.now())

    assert holding(tmp_path, ANA) == []
    assert {*holding(tmp_path, pseudonym(TASK, ANA))} == {"greenlight.db", "greenlight.db-wal"}
    after = histories(story.store, TASK)
    assert [fold(told) for told in after] == [fold(told) for told in before]
    assert all(told.agrees for told in after)
    assert archive.there == [kept]
    assert done.found.folders == sorted([raw, prepared])
    assert done.found.versions == ["intent@9"]
    assert story.store.get(Dataset, raw) is not None
    said = story.store.get(LedgerEntry, done.entry)
    assert said is not None and said.kind == PURGE
    assert said.body["unit"] == pseudonym(TASK, ANA) and said.body["initiator"] == "ines"
    assert said.body["rows"]["inferences"] == done.found.rows["inferences"] > 2
    assert said.body["rows"]["feedback"] > 0
    assert ANA not in str([e.body for e in everything(story.store, LedgerEntry)])
    with pytest.raises(NotFound, match=rf"erased by purge on .*, ledger entry {done.entry}"):
        folder_of(story.store, archive.raw, raw)
    assert folder_of(story.store, archive.raw, kept)
    problems = audit(story.store, bundles=archive.raw, datasets=archive.shelves).problems
    assert not [problem for problem in problems if raw in problem or prepared in problem]
    again = purge(archive, order(ANA, story.clock.now()), now=story.clock.now())
    assert again.found.rows == {} and again.found.folders == [] and again.continued == []


def test_by_age_everybody_goes_and_the_evidence_does_not(story: Story, tmp_path: Path) -> None:
    """D11: no name, no text and no bucket is left of an ended rollout; its E is."""
    archive = Archive(story.store, tmp_path)
    before = histories(story.store, TASK)
    now = story.clock.now()
    done = purge(archive, order(before=now), now=now)
    assert story.store.scan(Inference) == [] and story.store.scan(Feedback) == []
    after = histories(story.store, TASK)
    assert [told.last.log_e for told in after] == [told.last.log_e for told in before]
    assert [told.moments for told in after] == [told.moments for told in before]
    assert [told.arms for told in after] == [told.arms for told in before]
    assert all(told.agrees for told in after)
    units = {e.unit for e in everything(story.store, JournalEntry)}
    assert all(unit.startswith(retention.PREFIX) for unit in units)
    first = before[0].first_exposure
    assert first is not None and after[0].first_exposure is not None
    assert after[0].first_exposure <= first < after[0].first_exposure + 60 * SECOND
    assert holding(tmp_path, "waits for a card") == []
    assert done.found.rows["inferences"] > 200 and done.found.kept == 0


# What is in use


def running(ended_at: int | None = None) -> Rollout:
    (example,) = (record for record in EXAMPLES if isinstance(record, Rollout))
    status = RolloutStatus.RUNNING if ended_at is None else RolloutStatus.PROMOTED
    policy = msgspec.to_builtins(DecisionPolicy())
    return replace(example, status=status, ended_at=ended_at, policy=policy, at=NOW - DAY)


def a_run(status: RunStatus = RunStatus.RUNNING) -> Run:
    (example,) = (record for record in EXAMPLES if isinstance(record, Run))
    return replace(example, status=status, ended_at=None, error=None)


def test_the_evidence_of_a_running_rollout_is_not_torn_out(tmp_path: Path) -> None:
    """D11: the message says which rollout and until when; who is not in it can be erased."""
    archive = Archive(MemoryStore(), tmp_path)
    archive.store.commit(append=[running()])
    archive.store.ingest([inference("i1"), inference("i2", unit="ben", rollout=None)], [])
    horizon = DecisionPolicy().rollout.horizon
    until = stage._day(NOW - DAY + horizon)
    with pytest.raises(Refused, match=rf"rollout r1 is running.*by {until} at the latest"):
        purge(archive, order("ana"))
    assert archive.store.scan(LedgerEntry) == []
    purge(archive, order("ben"))
    aged = purge(archive, order(before=NOW))
    assert aged.found.kept == 1
    assert [held.unit for held in archive.store.scan(Inference)] == ["ana"]
    archive.store.commit(swap=[(running(), running(ended_at=NOW - 1))])
    purge(archive, order("ana"))
    assert archive.store.scan(Inference) == []


def test_a_run_under_way_is_waited_for(tmp_path: Path) -> None:
    """D11: it may be about to seal rows of the unit."""
    archive = Archive(MemoryStore(), tmp_path)
    archive.store.commit(append=[a_run()])
    with pytest.raises(Refused, match=r"run intent#1 is under way.*runs abort 'intent#1'"):
        purge(archive, order("ana"))


def test_a_run_that_begins_meanwhile_is_noticed(tmp_path: Path) -> None:
    """D11: what it has sealed goes too, and while it is at it nothing is called complete."""
    archive = Archive(MemoryStore(), tmp_path)
    archive.store.ingest([inference("i1", rollout=None)], [])

    class Busy(Wrapped):
        def compact(self) -> None:
            self.store.commit(append=[a_run()])

    with pytest.raises(Refused, match="run intent#1 is under way"):
        purge(archive, order("ana"), Busy(archive.store))
    late = archive.add("ana")
    run = archive.store.get(Run, "intent#1")
    archive.store.commit(swap=[(run, replace(run, status=RunStatus.FINISHED))])
    done = purge(archive, order("ana"))
    assert done.found.folders == [late] and len(done.continued) == 1


def test_by_age_only_old_production_data_goes(tmp_path: Path) -> None:
    """D11: not what is young, published, or needed by a run under way; old rows go from where
    they are, whenever that was made."""
    archive = Archive(MemoryStore(), tmp_path)
    cut = NOW - 90 * DAY
    old = archive.add("ana", at=cut - 1)
    prepared = archive.add("ana", at=NOW, asked=cut - 1, parent=old)
    later = archive.add("ana", "ben", at=cut + 6 * DAY, asked=cut - 1)
    young = archive.add("ana", at=cut)
    public = archive.add("", at=1, production=False)
    needed = archive.add("ben", at=cut - 2)
    made = archive.add("ben", at=cut - 1, parent=needed)
    result = StageResult(
        run="intent#1",
        name="curate",
        task=TASK,
        inputs="sha256:i",
        output={"dataset": made},
        report={},
        started_at=1,
        at=1,
    )
    archive.store.commit(append=[a_run(), result])
    done = purge(archive, order(before=cut))
    assert done.found.folders == sorted([old, prepared, later])
    assert done.found.kept_folders == sorted([needed, made])
    assert archive.there == sorted([young, public, needed, made])


def test_a_folder_that_nobody_recorded_goes_too(tmp_path: Path) -> None:
    """D11: as a process leaves it that is killed between folder and record."""
    archive = Archive(MemoryStore(), tmp_path)
    digest = archive.add("ana")
    other = Archive(MemoryStore(), tmp_path)
    assert purge(other, order("ana")).found.folders == [digest]


def test_who_was_made_up_for_one_request_is_found(tmp_path: Path) -> None:
    """D11: such rows carry no unit, but the answer's id is the unit."""
    archive = Archive(MemoryStore(), tmp_path)
    digest = archive.add("")
    row = jsonl.decode(Path(archive.raw.path(digest), "rows.jsonl").read_bytes(), Row, "rows")[0]
    assert purge(archive, order(row.inference)).found.folders == [digest]


def test_a_drill_that_begins_meanwhile_keeps_it_from_being_complete(tmp_path: Path) -> None:
    """D11: its copy came into being after the purge had looked for such."""
    copy = tmp_path / "drills" / "d-1" / "test.jsonl"

    class Drilled(MemoryStore):
        def compact(self) -> None:
            copy.parent.mkdir(parents=True)
            copy.write_bytes(jsonl.encode([Row("a", "b", pseudonym(TASK, "ana"))]))

    archive = Archive(Drilled(), tmp_path)
    with pytest.raises(Refused, match=r"not complete; left are: .*drills/d-1, which a drill"):
        purge(archive, order("ana"))


def test_what_is_left_is_named(tmp_path: Path) -> None:
    """D11: nothing is called complete that is not; once it is seen to, the purge is."""
    archive = Archive(MemoryStore(), tmp_path)
    archive.store.ingest([inference("i1", rollout=None)], [])
    left = tmp_path / "data" / "notes" / "copy.jsonl"
    left.parent.mkdir(parents=True)
    left.write_bytes(jsonl.encode([Row("a", "b", pseudonym(TASK, "ana"))]) * 90_000)
    with pytest.raises(Refused, match=r"not complete; left are: .*notes/copy\.jsonl"):
        purge(archive, order("ana"))
    [begun] = archive.store.scan(LedgerEntry)
    assert begun.body["state"] == "begun"
    left.unlink()
    done = purge(archive, order("ana"))
    assert done.continued == [begun.body["id"]]
    assert purge(archive, order("ana")).continued == []


# What has not reached the store


def test_what_would_come_back_is_waited_for(tmp_path: Path) -> None:
    """D11: gateways that live, files in the spool, lines that nobody can read."""
    store, spool = MemoryStore(), tmp_path / "spool"

    def reasons(unit: str | None = "ana") -> list[str]:
        return traces.waiting(store, order(unit), spool, NOW)

    def beat(id: str, flushed: int, at: int) -> None:
        store.heartbeat(Replica(id=id, epochs={}, applied_at={}, flushed_through=flushed, at=at))

    assert reasons() == []
    beat("done", NOW - 1, NOW)
    beat("signed off", 5, 0)
    beat("dead", NOW - HOUR, NOW - HOUR)
    assert reasons() == [] and traces.silent(store, order("ana"), NOW) == ["dead"]
    beat("busy", NOW - 2, NOW - SECOND)
    assert [line.split()[1] for line in reasons()] == ["busy"]
    beat("busy", NOW - 1, NOW)
    spool.mkdir()
    lines = {
        "hers": encode(inference("i1")),
        "later": encode(inference("i2", at=NOW)),
        "his": encode(inference("i3", unit="ben")),
        "elsewhere": encode(inference("i4", task="other")),
        "copy": encode(shadow("i1")),
        "his copy": encode(shadow("i3", unit="ben")),
        "word": encode(feedback("f1", "i1", comment="ana")),
        "torn": b'{"old":"ana"}\n',
    }
    held = {}
    for name, line in lines.items():
        (spool / "w-1.jsonl").write_bytes(b'{"no":"event"}\n' + line)
        held[name] = (bool(reasons()), bool(reasons(None)))
    assert [name for name, (unit, _) in held.items() if unit] == ["hers", "copy", "torn"]
    assert [name for name, (_, age) in held.items() if age] == ["hers", "his", "copy", "his copy"]


# Killed in the middle


class Wrapped:
    """A store behind something."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class Dying(Wrapped):
    """A store that dies at its n-th write."""

    def __init__(self, store: Any, after: int) -> None:
        super().__init__(store)
        self.left = after

    def write(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise StoreError("killed")

    def commit(self, **given: Any) -> None:
        self.write()
        self.store.commit(**given)

    def erase(self, *given: Any) -> Iterator[Mapping[str, int]]:
        for counts in self.store.erase(*given, batch=2):
            self.write()
            yield counts

    def compact(self) -> None:
        self.write()


def village(folder: Path) -> Archive:
    """Ana, and others, before and after."""
    archive = Archive(MemoryStore(), folder)
    made = [
        inference(f"i{n}", at=n, unit=("ana", "ben")[n % 2], epoch=1 + n // 4, rollout=rollout)
        for n, rollout in enumerate(["r1"] * 6 + [None] * 2)
    ]
    archive.store.ingest(made, [feedback(f"f{n}", f"i{n}") for n in range(8)])
    journal = [
        entry(n + 1, unit=made[n].unit, epoch=made[n].epoch, test=("exposure", "fast")[n % 4 // 2])
        for n in range(6)
    ]
    archive.store.commit(append=[*journal, running(ended_at=NOW - 1)])
    raw = archive.add("ana", "ben")
    archive.add("ana", parent=raw)
    archive.add("ben", at=NOW - 1)
    return archive


def state(archive: Archive) -> tuple[Any, ...]:
    """What is there, whatever the erased are called, and what the last entry says."""
    store = archive.store
    names: dict[str, str] = {}
    journal = [
        replace(e, unit=names.setdefault(e.unit, f"nobody {len(names)}"))
        if e.unit.startswith(retention.PREFIX)
        else e
        for e in store.scan(JournalEntry)
    ]
    kinds: list[type[Record]] = [Inference, Feedback, Dataset, Version]
    last = store.scan(LedgerEntry, newest_first=True, limit=1)[0].body
    return (
        [store.scan(kind) for kind in kinds],
        journal,
        store.past("r1", ["ana", "ben"]),
        store.summarise("r1"),
        archive.there,
        (last["state"], last["unit"], last["folders"]),
    )


@pytest.mark.parametrize("unit", ["ana", None])
def test_killed_at_any_write_it_ends_the_same(tmp_path: Path, unit: str | None) -> None:
    """D11, D8: also where it dies between two folders; the ledger names every folder that went."""
    whole = village(tmp_path / "whole")
    purge(whole, order(unit, NOW + 1))
    expected = state(whole)
    died = 0
    for after in range(99):
        archive = village(tmp_path / str(after))
        dying: Any = Dying(archive.store, after)
        broken = copy.copy(archive)
        for shelf in ("raw", "processed"):
            setattr(broken, shelf, Fragile(getattr(archive, shelf), dying))
        try:
            purge(broken, order(unit, NOW + 1), dying)
        except StoreError:
            died += 1
        else:
            break
        entries = [e for e in archive.store.scan(LedgerEntry) if e.kind == PURGE]
        assert [e.body["state"] for e in entries] == ["begun"] * min(after, 1)
        done = purge(archive, order(unit, NOW + 2), now=NOW + 1)
        assert done.continued == [e.body["id"] for e in entries]
        assert state(archive) == expected
    assert died >= 6


class Fragile:
    """A shelf that dies with its store, before or after it has erased a folder."""

    def __init__(self, shelf: FolderBlobs, dying: Dying) -> None:
        self.shelf = shelf
        self.dying = dying

    def __getattr__(self, name: str) -> Any:
        return getattr(self.shelf, name)

    def remove(self, digest: str) -> None:
        self.dying.write()
        self.shelf.remove(digest)
        self.dying.write()
