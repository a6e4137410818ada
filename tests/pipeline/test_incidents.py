"""What follows a rollback in a real installation, with a store in a file (O3).

A small shop lives through a rollback, and processes that are killed take turns at what follows it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight import artifacts, wiring
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core import ledger
from greenlight.core.aftermath import STEPS, is_done
from greenlight.core.errors import Refused
from greenlight.core.incidents import Incident
from greenlight.core.records import HOUR, SECOND, LedgerEntry, Rollout, Version
from greenlight.lookup import everything
from greenlight.reporting.incident.dossier import Dossier
from greenlight.stages.aftermath import LEASE, LEASE_TTL
from greenlight.stages.audit import audit
from greenlight.wiring import filing
from greenlight.wiring.pipeline import predictor
from scripts.shop import Shop, opened
from tests.dashboard.shops import BAD, GOOD


class Place:
    """A shop in which a rollout has just been rolled back; nothing has followed it yet."""

    def __init__(self, shop: Shop, rollout: Rollout) -> None:
        self.shop = shop
        self.rollout = rollout
        self.root = Path(shop.app.settings.root)

    @property
    def app(self) -> wiring.App:
        return self.shop.app

    @property
    def folder(self) -> Path:
        return self.root / "evidence" / self.rollout.id

    def incident(self) -> Incident:
        found = self.app.store.get(Incident, self.rollout.id)
        assert found is not None
        return found

    def done(self) -> list[str]:
        return [step for step in STEPS if is_done(self.incident(), step)]

    def halves(self) -> list[Path]:
        """Folders that are half made."""
        return sorted(self.folder.parent.glob(".*")) if self.folder.parent.exists() else []

    def remembered(self, version: str) -> bool:
        """Whether predictions of a version are remembered, so that it need not be asked."""
        found = self.app.store.get(Version, version)
        assert found is not None
        asker = predictor(self.app)
        asker.predict(found, ["a question that nobody has asked"], lambda *_: None)
        return asker.hits == 1

    def attend_in_fork(self, doom: Callable[[], None]) -> bool:
        """One pass in a process of its own, which may be killed; whether it lived."""
        pid = os.fork()
        if pid == 0:
            try:
                doom()
                with wiring.open_app(self.app.settings) as app:
                    wiring.attend(dataclasses.replace(app, clock=self.shop.clock))
            except BaseException:
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        return not os.WIFSIGNALED(status)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def place(root: Path) -> Iterator[Place]:
    with opened(root) as shop:
        shop.open(GOOD)
        ended = shop.finish(shop.start(shop.approved(BAD)))
        shop.users.tick(SECOND)  # the gateway takes it over
        yield Place(shop, ended)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One whose aftermath was killed three times; later tests read what came of it."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("PATH", "")  # no browser
        found = stack.enter_context(place(tmp_path_factory.mktemp("shop")))
        yield found


def before_commit_of(step: str) -> Callable[[], None]:
    """Killed just before a step is recorded."""

    def doom() -> None:
        commit = SqlStore.commit
        stores: Any = SqlStore

        def watched(store: SqlStore, **given: Any) -> None:
            news = [new for _, new in given.get("swap", ()) if isinstance(new, Incident)]
            if any(is_done(incident, step) for incident in news):
                die()
            commit(store, **given)

        stores.commit = watched

    return doom


def while_filing() -> None:
    """Killed with half a folder on the disk."""
    module: Any = filing
    module._put = lambda *_: die()


def test_killed_again_and_again_it_comes_to_its_end(lived: Place) -> None:
    """Real processes, SIGKILL, a real file: every step counts once, and the folder is whole."""
    assert lived.done() == [] and lived.incident().closed_at is None
    kept, left = [], []
    for doom in (before_commit_of("baseline"), while_filing, before_commit_of("evidence")):
        assert not lived.attend_in_fork(doom)
        kept.append(lived.done())
        left.append(lived.halves())
        wiring.attend(lived.app)
        assert lived.done() == kept[-1], "the dead one's lease still holds"
        lived.shop.clock.advance(LEASE_TTL + SECOND)
        lived.shop.users.tick(SECOND)
    assert kept == [["propagated", "caches"], list(STEPS[:3]), list(STEPS[:3])]
    assert [len(halves) for halves in left] == [0, 1, 0], (
        "what one left behind the next clears away"
    )
    wiring.attend(lived.app)
    incident = lived.incident()
    assert incident.closed_at is not None and lived.done() == list(STEPS)
    assert incident.steps["baseline"]["result"] == "confirmed"
    assert incident.steps["baseline"]["tries"] == 2 and incident.steps["evidence"]["tries"] == 3
    entries = list(everything(lived.app.store, LedgerEntry, {"kind": "incident"}))
    assert [entry.body for entry in entries] == [ledger.body_of(incident)]
    assert audit(lived.app.store).ok
    manifest = artifacts.unseal(lived.folder)
    assert (
        artifacts.file_digest(lived.folder / "manifest.json")
        == (incident.steps["evidence"]["manifest"])
    )
    assert (manifest["kind"], manifest["rollout"]) == ("evidence", lived.rollout.id)


@contextlib.contextmanager
def reopened(found: Place) -> Iterator[None]:
    """The incident as the decision left it; afterwards it is as it was."""
    before = found.incident()
    again = msgspec.structs.replace(before, closed_at=None, steps={})
    found.app.store.commit(swap=[(before, again)])
    try:
        yield
    finally:
        found.app.store.commit(swap=[(found.incident(), before)])


def test_what_was_remembered_of_it_is_gone_whoever_decided(lived: Place) -> None:
    """The decider may be killed right after its decision: what follows is in the store alone.
    Control's predictions stay, and do not answer for it when it is asked again."""
    candidate, control = lived.rollout.candidate, lived.rollout.control
    for version in (candidate, control):
        lived.remembered(version)
        assert lived.remembered(version)
    cache, reads = lived.app.cache(), []
    with reopened(lived), pytest.MonkeyPatch.context() as patch:
        get = cache.get
        patch.setattr(cache, "get", lambda key: reads.append(key) or get(key))
        wiring.attend(lived.app, stopping=lambda: is_done(lived.incident(), "baseline"))
        assert reads == [] and lived.incident().steps["baseline"]["result"] == "confirmed"
        assert lived.incident().steps["caches"]["dropped"] > 0
    assert lived.remembered(control) and not lived.remembered(candidate)


def test_who_is_about_to_end_begins_nothing(lived: Place) -> None:
    with reopened(lived):
        wiring.attend(lived.app, stopping=lambda: True)
        assert lived.incident().steps == {}


def test_another_process_has_the_lease(lived: Place) -> None:
    store, now = lived.app.store, lived.app.clock.now
    assert store.lease(LEASE, "another", now(), LEASE_TTL) is not None
    with reopened(lived):
        wiring.attend(lived.app)
        assert lived.incident().steps == {}
    store.lease(LEASE, "another", now(), 0)


# The folder


def test_the_folder_is_whole_and_names_nobody(lived: Place) -> None:
    names = {p.relative_to(lived.folder).as_posix() for p in lived.folder.rglob("*") if p.is_file()}
    assert {"page.html", "log.txt", "index.html", "evidence.json", "manifest.json"} <= names
    assert "page.png" not in names
    dossier = msgspec.json.decode((lived.folder / "evidence.json").read_bytes(), type=Dossier)
    assert any("no browser was found" in line for line in dossier.unknown)
    assert any("The log of the process that decided is not here" in it for it in dossier.unknown)
    assert dossier.ledger.signed_head is None or dossier.ledger.signed_head.seq > 0
    for path in lived.folder.rglob("*"):
        text = path.read_bytes().decode("latin-1") if path.is_file() else ""
        assert not re.search(r"\b(user|reviewer)-\d", text), path
        assert lived.rollout.salt not in text, path


def test_the_page_of_the_dashboard_stands_alone(lived: Place) -> None:
    text = (lived.folder / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"<(script|link|img|iframe|a)\b", text)
    assert not re.search(r"(src|href)=|url\(|@import|http", text)
    assert "--paper" in text or "body {" in text, "its style is in it"
    assert "It was rolled back" in text and "After the rollback" in text
    assert "Propagated" in text and f"greenlight incidents show {lived.rollout.id}" in text


def test_it_is_written_again_at_any_time(lived: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    before = artifacts.unseal(lived.folder)["files"]
    assert wiring.write_evidence(lived.app, lived.rollout) == lived.folder
    after = artifacts.unseal(lived.folder)["files"]
    same = {name for name in before if before[name] == after[name]}
    assert {"figures/evidence.png", "figures/rates.png", "decisions.jsonl", "log.txt"} <= same
    assert after["ledger.jsonl"] != before["ledger.jsonl"], "the incident's end is in it now"
    wiring.write_evidence(lived.app, lived.rollout, drill={"passed": True})
    assert lived.halves() == []
    dossier = msgspec.json.decode((lived.folder / "evidence.json").read_bytes(), type=Dossier)
    assert dossier.drill == {"passed": True}


def test_nothing_else_is_written_over(lived: Place, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("keep me")
    with pytest.raises(Refused, match="holds something else"):
        wiring.write_evidence(lived.app, lived.rollout, mine)
    assert (mine / "notes.txt").read_text() == "keep me"
    (lived.folder / "notes.txt").write_text("keep me too")
    try:
        with pytest.raises(Refused, match="or that was changed"):
            wiring.write_evidence(lived.app, lived.rollout)
    finally:
        (lived.folder / "notes.txt").unlink()
    running = msgspec.structs.replace(lived.rollout, id="x", ended_at=None)
    with pytest.raises(Refused, match="has not ended"):
        wiring.write_evidence(lived.app, running, tmp_path / "new")


# The log


def test_the_log_of_who_decided_is_kept(lived: Place, tmp_path: Path) -> None:
    """From memory, around the rollout; another process carries over what is there."""
    import logging

    patch = pytest.MonkeyPatch()
    patch.setenv("PATH", "")
    real = dataclasses.replace(lived.app, clock=_Later(lived.app))
    try:
        with wiring.held_log() as tail:
            log = logging.getLogger("greenlight.entrypoints.controller")
            log.warning("intent: rollback (%s)", lived.incident().reason)
            logging.getLogger("greenlight.serving.app").error("POST user-7 failed")
            lines = tail.between(0, 2**62)
            assert len(lines) == 1 and "user-7" not in lines[0][1]
            tail._lines[0] = (lived.rollout.at, lines[0][1])
            folder = wiring.write_evidence(real, lived.rollout, tmp_path / "case")
        said = (folder / "log.txt").read_text(encoding="utf-8")
        assert said.startswith("# the log of ") and lived.incident().reason in said
        wiring.write_evidence(real, lived.rollout, folder)
        assert (folder / "log.txt").read_text(encoding="utf-8") == said
    finally:
        patch.undo()


class _Later:
    """A clock that is ahead."""

    def __init__(self, app: wiring.App) -> None:
        self._clock = app.clock

    def now(self) -> int:
        return self._clock.now() + HOUR


def test_held_lines_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    import logging

    from greenlight.wiring import logs

    monkeypatch.setattr(logs, "MOST", 50)
    log = logging.getLogger("greenlight.stages.test")
    log.setLevel(logging.INFO)
    with wiring.held_log() as tail:
        for number in range(80):
            log.info("line %d", number)
        try:
            raise ValueError("4111 1111 1111 1111")
        except ValueError:
            log.exception("it failed")
        found = [line for _, line in tail.between(0, 2**62)]
        assert len(found) == 50 and found[0].endswith("line 31")
        assert found[-1] == "ERROR greenlight.stages.test: it failed (ValueError)"
        monkeypatch.setattr(logs, "BYTES", 200)
        log.info("x" * 5000)
        assert [line for _, line in tail.between(0, 2**62)] == []
        assert logs.newest() is tail
    assert logs.newest() is None and tail not in logging.getLogger("greenlight").handlers
    log.setLevel(logging.NOTSET)
