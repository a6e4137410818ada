"""The audit: every kind of record and folder is held against the ledger."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from greenlight import artifacts, lookup
from greenlight.adapters import signing
from greenlight.adapters.blobs import FolderBlobs
from greenlight.core import ledger
from greenlight.core.covered import COVERED, MOVES
from greenlight.core.incidents import Incident, StagingRecord
from greenlight.core.policy import DecisionPolicy, RolloutPolicy, Step
from greenlight.core.records import (
    MILLISECOND,
    SECOND,
    ApiKey,
    Dataset,
    Decision,
    Epoch,
    Evaluation,
    LedgerEntry,
    Record,
    Rollout,
    Run,
    StageResult,
    Version,
)
from greenlight.core.staging import statement
from greenlight.core.states import VersionStatus
from greenlight.recording import finish_dataset, record
from greenlight.stages import aftermath, keys, roll_out, staging
from greenlight.stages import audit as stage
from greenlight.stages.audit import audit, audit_export
from greenlight.stages.loop import lead, reconcile
from greenlight.testing.world import Quality, World, WorldSimulator
from tests.stages.office import Office, step

POLICY = DecisionPolicy(
    rollout=RolloutPolicy(
        steps=(Step(weight=0.5, soak=SECOND), Step(weight=1.0)),
        feedback_window=2 * SECOND,
        fast_window=SECOND,
        grace=SECOND,
    )
)


@pytest.fixture
def office() -> Office:
    """One version has gone live, another one was rolled back by the evidence."""
    office = Office()
    live, bad = (office.gate(office.register(office.run(b)), 0.95)[0] for b in ("b1", "b2"))
    for version in (live, bad):
        office.say(version, "ana")
        office.say(version, "ben")
    live, bad = office.status(live), office.status(bad)
    common: dict[str, Any] = {"authorise": lambda _: None, "initiator": "eve"}
    now = office.clock.now
    roll_out.go_live(office.store, live, now=now(), random=office.random, **common)
    rollout = roll_out.start(
        office.store, bad, policy=POLICY, now=now(), random=office.random, **common
    )
    qualities = {live.digest: Quality(good=0.95), bad.digest: Quality(good=0.2)}
    users = np.random.default_rng(2)
    world = WorldSimulator(office.store, office.clock, "intent", qualities, World(), users)
    while roll_out.active(office.store, "intent") is not None:
        world.tick(500 * MILLISECOND)
        fence = lead(office.store, "one", now())
        reconcile(
            office.store,
            "intent",
            authorise=lambda _: None,
            fence=fence,
            now=now(),
            random=office.random,
        )
    assert office.status(bad).status == VersionStatus.ROLLED_BACK
    assert rollout.salt not in str(office.store.scan(LedgerEntry))
    said: dict[str, Any] = {"by": "ana", "now": now()}
    key, _ = keys.create(
        office.store, name="shop", scopes=["predict"], random=office.random, **said
    )
    keys.revoke(office.store, key, why="leaked", **said)
    staged(office, live)
    [incident] = office.store.scan(Incident)
    assert audit(office.store).ok, "what is open has no entry yet"
    aftermath.close(office.store, incident, now())
    return office


def staged(office: Office, version: Version) -> None:
    """A record of staging is accepted."""
    unsigned = StagingRecord(
        id="s-1",
        task="intent",
        bundle=version.bundle,
        label=version.label,
        document={
            "gates_passed": True,
            "load": {"p95_ms": 14.8, "error_rate": 0.0, "whole": True},
            "drill": {"passed": True},
        },
        person="ana",
        signature="",
        at=office.clock.now(),
    )
    signature = signing.sign(office.secrets["ana"], statement(unsigned))
    staging.accept(
        office.store,
        msgspec.json.encode(msgspec.structs.replace(unsigned, signature=signature)),
        people=office.people,
        roles=lambda task: ["ml_lead"],
        verify=signing.verify,
        now=office.clock.now(),
    )


def dataset(office: Office, blobs: FolderBlobs, folder: Path) -> Dataset:
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"text":"hello","label":"greeting"}\n')
    body = {"task": "intent", "name": "sample", "counts": {"train": 1}}
    made = finish_dataset(
        office.store,
        blobs,
        folder,
        body,
        step=step("collect", run="by hand"),
        report={},
        now=office.clock.now(),
    )
    found = office.store.get(Dataset, made.output["dataset"])
    assert found is not None
    return found


def held(office: Office, kind: type[Record]) -> dict[Any, Any]:
    """The store's own records of a kind, to be tampered with."""
    return office.store._records[kind]


def overwrite(path: Path) -> None:
    """What is kept is read-only, which stops accidents and nobody else."""
    path.chmod(0o644)
    path.write_text("{}")


class TestRecords:
    """G5: every decision, approval, promotion and rollback, and what they rest on."""

    def test_a_whole_story_is_intact(self, office: Office, tmp_path: Path) -> None:
        dataset(office, FolderBlobs(tmp_path / "blobs"), tmp_path / "rows")
        report = audit(office.store)
        assert report.problems == [] and report.ok
        assert report.entries == len(office.store.scan(LedgerEntry))
        kinds = {entry.kind for entry in office.store.scan(LedgerEntry)}
        assert set(COVERED) <= kinds
        assert set(MOVES) <= kinds

    @pytest.mark.parametrize(
        ("kind", "change", "says"),
        [
            (Run, {"plan": {}}, "run intent#1 was changed"),
            (Run, {"error": "none of mine"}, "run intent#1 was changed: its error"),
            (Run, {"ended_at": 1}, "run intent#1 was changed: its ended_at"),
            (StageResult, {"output": {}}, "stage .* was changed: it is not as"),
            (Version, {"status": VersionStatus.CANARY}, "its status is canary, by the ledger"),
            (Evaluation, {"version": "sha256:other"}, "evaluation .* not as the ledger has it"),
            (Rollout, {"ended_at": None}, "rollout .* its ended_at is None"),
            (Rollout, {"salt": "00" * 16}, "rollout .* was changed"),
            (Rollout, {"policy_digest": "sha256:x"}, "rollout .* was changed"),
            (Epoch, {"weight": 0.99}, "epoch intent/1 was changed"),
            (Epoch, {"salt": "00" * 16}, "epoch intent/1 was changed"),
            (Decision, {"reason": "because"}, "decision .* was changed"),
            (ApiKey, {"digest": "sha256:mine"}, "key .* was changed: it is not as"),
            (ApiKey, {"scopes": "predict admin"}, "key .* was changed: it is not as"),
            (ApiKey, {"revoked_at": None}, "key .* was changed: its revoked_at is None"),
            (Rollout, {"paused": "ben: why not"}, "rollout .* its paused is ben"),
            (StagingRecord, {"document": {}}, "staging s-1 was changed"),
            (Incident, {"reason": "none"}, "incident .* was changed: it is not as"),
            (Incident, {"closed_at": None}, "incident .* was changed: its closed_at is None"),
            (Incident, {"steps": {"caches": {}}}, "incident .* was changed: its steps are not"),
        ],
    )
    def test_a_change_is_found(
        self, office: Office, kind: type[Record], change: dict[str, Any], says: str
    ) -> None:
        records = held(office, kind)
        key = min(records)
        records[key] = msgspec.structs.replace(records[key], **change)
        assert [line for line in audit(office.store).problems if re.search(says, line)]

    @pytest.mark.parametrize("kind", [covered.record for covered in COVERED.values()])
    def test_what_was_taken_out_or_put_in_is_found(
        self, office: Office, tmp_path: Path, kind: type[Record]
    ) -> None:
        dataset(office, FolderBlobs(tmp_path / "blobs"), tmp_path / "rows")
        records = held(office, kind)
        key = min(records)
        taken = records.pop(key)
        problems = audit(office.store).problems
        assert [line for line in problems if "was taken out of the store" in line]
        records[key] = taken
        forged = msgspec.structs.replace(taken, **{kind.KEY[0]: "forged"})
        records[forged.key] = forged
        problems = audit(office.store).problems
        assert [line for line in problems if re.search("forged.* was put in from outside", line)]

    def test_the_newest_entry_of_an_incident_counts(self, office: Office) -> None:
        """O3: what a drill measured is added after it was closed."""
        [incident] = office.store.scan(Incident)
        added = {"result": "measured"}
        aftermath.advance(office.store, incident, "drill", added, office.clock.now())
        assert audit(office.store).problems == []
        held(office, Incident)[incident.key] = incident
        [problem] = audit(office.store).problems
        assert "its steps are not as the ledger has them" in problem

    def test_nothing_is_kept_of_what_agrees(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Records whose keys grow with time meet their entries at once, page by page."""
        waiting: list[int] = []
        state = stage._Side.state

        def counted(side: Any, entry: LedgerEntry) -> Any:
            yield from state(side, entry)
            if entry.kind in ("decision", "approval", "epoch"):
                waiting.append(len(side._stated) + len(side._held))

        monkeypatch.setattr(stage._Side, "state", counted)
        monkeypatch.setattr(stage, "PAGE", 3)
        monkeypatch.setattr(lookup, "PAGE", 3)
        assert audit(office.store).ok
        assert len(waiting) > 6 and max(waiting) == 0

    @pytest.mark.parametrize("moment", [1, 6, 11, 16, 20])
    def test_what_is_written_meanwhile_is_no_fault(
        self, office: Office, monkeypatch: pytest.MonkeyPatch, moment: int
    ) -> None:
        """An audit runs beside the controller."""
        monkeypatch.setattr(stage, "PAGE", 5)
        monkeypatch.setattr(lookup, "PAGE", 5)
        scans = 0
        scan = office.store.scan

        def busy(*args: Any, **options: Any) -> Any:
            nonlocal scans
            scans += 1
            if scans == moment:
                office.store.scan = scan
                office.say(scan(Version, {"label": "intent@2"})[0], "cai", "reject")
                office.store.scan = busy
            return scan(*args, **options)

        office.store.scan = busy
        assert audit(office.store).problems == []
        assert scans > moment


class TestFolders:
    """G5: what a digest names is still what it names."""

    @pytest.fixture
    def blobs(self, tmp_path: Path) -> FolderBlobs:
        return FolderBlobs(tmp_path / "blobs")

    @pytest.fixture
    def shop(self, blobs: FolderBlobs, tmp_path: Path) -> Office:
        """A version with a real bundle, and a dataset with its folder."""
        office = Office()
        bundle = tmp_path / "bundle"
        bundle.mkdir()
        (bundle / "weights").write_bytes(b"1234")
        artifacts.seal(bundle, {"kind": "test"})
        office.register(office.run(blobs.add(str(bundle))))
        dataset(office, blobs, tmp_path / "rows")
        return office

    def test_intact(self, shop: Office, blobs: FolderBlobs) -> None:
        report = audit(shop.store, bundles=blobs, datasets=[blobs])
        assert report.ok and report.folders == 2

    @pytest.mark.parametrize("kind", [Version, Dataset])
    @pytest.mark.parametrize(
        ("harm", "says"),
        [
            (lambda folder: shutil.rmtree(folder), "is gone; restore it from a backup"),
            (lambda folder: overwrite(next(folder.glob("[tw]*"))), "not as sealed"),
            (lambda folder: (folder / "more").write_text("x"), "not as sealed: more"),
            (lambda folder: overwrite(folder / "manifest.json"), "manifest is"),
        ],
        ids=["gone", "changed", "added", "manifest"],
    )
    def test_harm_is_found(
        self,
        shop: Office,
        blobs: FolderBlobs,
        kind: type[Record],
        harm: Callable[[Path], Any],
        says: str,
    ) -> None:
        record = next(iter(held(shop, kind).values()))
        harm(Path(blobs.path(record.bundle if isinstance(record, Version) else record.digest)))
        problems = audit(shop.store, bundles=blobs, datasets=[blobs]).problems
        assert len(problems) == 1 and says in problems[0]
        assert ("bundle of intent@1" if kind is Version else "dataset sample") in problems[0]
        assert audit(shop.store).ok

    def test_what_a_purge_erased_may_be_gone(self, shop: Office, blobs: FolderBlobs) -> None:
        """D11: but not changed, and not without a word on the ledger."""
        digest = next(iter(held(shop, Dataset)))[0]
        folder = Path(blobs.path(digest))
        body = {"task": "intent", "folders": [digest]}
        record(shop.store, [("purge", body)], now=shop.clock.now())
        overwrite(folder / "train.jsonl")
        assert not audit(shop.store, bundles=blobs, datasets=[blobs]).ok
        shutil.rmtree(folder)
        assert audit(shop.store, bundles=blobs, datasets=[blobs]).ok


def test_progress_is_told_and_never_goes_back(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes long shows how far it is."""
    monkeypatch.setattr(stage, "PAGE", 4)
    told: list[float] = []
    audit(office.store, progress=lambda share, _: told.append(share))
    assert len(told) > 3 and told == sorted(told) and 0 < told[0] < told[-1] <= 1
    said: list[str] = []
    audit_export(office.store.scan(LedgerEntry), progress=lambda _, words: said.append(words))
    assert said[0] == "entry 4"


def test_an_entry_on_what_never_changes_is_refused(office: Office) -> None:
    decision = office.store.scan(Decision)[0]
    with pytest.raises(TypeError, match="Decision that changes"):
        ledger.moved(decision, decision, "why")
