"""The ledger's head is published wherever it moves, and nothing else fails where it cannot be."""

from __future__ import annotations

import json
import logging
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight import config, wiring
from greenlight.adapters import ledger_files, signing
from greenlight.core import ledger
from greenlight.core.ledger import SignedHead
from greenlight.core.records import LedgerEntry
from greenlight.entrypoints import controller
from greenlight.recording import head
from greenlight.wiring import ledger as publishing
from tests.cli.project import Project

VARIABLE = "ACME_LEDGER_KEY"


def state(project: Project) -> Path:
    return project.folder / ".greenlight"


def published(project: Project) -> list[SignedHead]:
    """Every head in the installation's file."""
    path = state(project) / "heads.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [msgspec.json.decode(line, type=SignedHead) for line in lines]


def newest(project: Project) -> LedgerEntry:
    with project.opened() as (_, office):
        found = head(office.store)
    assert found is not None
    return found


def sign(project: Project, **environ: str) -> Any:
    return project.call("approve", "intent@1", "-m", "looked at it", by="ana", **environ)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [it.getMessage() for it in caplog.records if it.levelno >= logging.WARNING]


class TestPublishing:
    def test_a_command_that_wrote_publishes_at_its_end(self, evaluated: Project) -> None:
        """G5: the head is signed and exported to a file."""
        before = len(published(evaluated))
        assert sign(evaluated).exit_code == 0
        heads = published(evaluated)
        assert len(heads) == before + 1
        last = newest(evaluated)
        assert (heads[-1].seq, heads[-1].digest) == (last.seq, last.digest)
        key = (state(evaluated) / "ledger.pub").read_text().strip()
        assert ledger.fault(heads[-1], {key}, signing.verify) is None

    def test_a_command_that_only_reads_publishes_nothing(self, evaluated: Project) -> None:
        before = published(evaluated)
        evaluated.ok("status")
        assert published(evaluated) == before
        (state(evaluated) / "heads.jsonl").unlink()
        evaluated.ok("versions", "list")
        assert published(evaluated) == []

    def test_a_command_that_fails_after_it_wrote_publishes_too(self, evaluated: Project) -> None:
        with pytest.raises(RuntimeError), evaluated.opened() as (_, office):
            office.say(office.evaluated(), "ana")
            raise RuntimeError("killed")
        assert published(evaluated)[-1].seq == newest(evaluated).seq

    def test_it_goes_where_the_configuration_says(self, evaluated: Project) -> None:
        """G5: elsewhere than beside the store."""
        place = evaluated.folder / "mnt"
        place.mkdir()
        text = evaluated.file.read_text()
        evaluated.file.write_text(f'[ledger]\nheads = "mnt/acme.jsonl"\n{text}')
        assert sign(evaluated).exit_code == 0
        text = evaluated.ok("audit", "verify", "--no-files")
        assert len((place / "acme.jsonl").read_text().splitlines()) == 1
        assert "heads: 1 signed" in text and "beside the store" not in text

    @pytest.mark.parametrize("harm", ["no folder", "a folder in its place", "key gone", "no key"])
    def test_what_cannot_be_published_is_a_warning(
        self, evaluated: Project, caplog: pytest.LogCaptureFixture, harm: str
    ) -> None:
        """The command has done its work and says so; the head is published the next time."""
        folder = state(evaluated)
        text = evaluated.file.read_text()
        if harm == "no folder":
            evaluated.file.write_text(f'[ledger]\nheads = "gone/heads.jsonl"\n{text}')
        elif harm == "a folder in its place":
            (folder / "heads.jsonl").unlink()
            (folder / "heads.jsonl").mkdir()
        elif harm == "key gone":
            (folder / "ledger.key").unlink()
        else:
            evaluated.file.write_text(f'[ledger]\nkey = "env:{VARIABLE}"\n{text}')
        result = sign(evaluated)
        assert result.exit_code == 0 and "ana (ml_lead): approve intent@1" in result.stdout
        said = warnings(caplog)
        assert len(said) == 1
        assert said[0].startswith("warning: the ledger's head was not published: ")
        for hint in {
            "no folder": ["gone/heads.jsonl"],
            "a folder in its place": ["heads.jsonl"],
            "key gone": ["ledger.key is gone", "ledger.pub"],
            "no key": [f"{VARIABLE} is not set"],
        }[harm]:
            assert hint in said[0]

    def test_a_ledger_that_was_cut_gets_no_signature(
        self, evaluated: Project, caplog: pytest.LogCaptureFixture
    ) -> None:
        """G5: whoever cut it and goes on writing does not get the new head signed."""
        last = published(evaluated)[-1]
        ahead = msgspec.structs.replace(last, seq=last.seq + 100)
        ledger_files.append_head(state(evaluated) / "heads.jsonl", ahead)
        assert sign(evaluated).exit_code == 0
        assert published(evaluated)[-1] == ahead
        assert "does not continue the head" in warnings(caplog)[0]


class TestKey:
    def test_it_is_made_once_for_its_owner_alone(self, project: Project) -> None:
        """G5: however many ask at once."""
        settings = config.load(project.file, {})
        with wiring.open_app(settings) as app, ThreadPoolExecutor(8) as pool:
            heads = list(pool.map(lambda _: wiring.signed_head(app), range(8)))
        assert len({head.key for head in heads}) == 1
        path = state(project) / "ledger.key"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert heads[0].key == signing.public_key(path.read_text().strip())
        assert (state(project) / "ledger.pub").read_text() == f"{heads[0].key}\n"
        assert {it.name for it in state(project).glob("*ledger*")} == {"ledger.key", "ledger.pub"}

    def test_it_may_come_from_the_environment(self, evaluated: Project) -> None:
        """INTERFACES: secrets by the environment only."""
        made = evaluated.json("keys", "ledger")
        (state(evaluated) / "ledger.key").unlink()
        text = evaluated.file.read_text()
        evaluated.file.write_text(f'[ledger]\nkey = "env:{VARIABLE}"\n{text}')
        old = (state(evaluated) / "ledger.pub").read_text().strip()
        assert sign(evaluated, **{VARIABLE: made["secret"]}).exit_code == 0
        assert published(evaluated)[-1].key == made["key"]
        assert not (state(evaluated) / "ledger.key").exists()
        both = ("--key", made["key"], "--key", old)
        assert "the keys given" in evaluated.ok("audit", "verify", "--no-files", *both)
        assert evaluated.call("audit", "verify", "--no-files").exit_code == 1
        text = evaluated.ok("keys", "ledger")
        assert "export ACME_LEDGER_KEY=gll_" in text and 'key = "env:ACME_LEDGER_KEY"' in text

    def test_a_persons_key_is_not_taken_for_it(self, evaluated: Project) -> None:
        text = evaluated.file.read_text()
        evaluated.file.write_text(f'[ledger]\nkey = "env:{VARIABLE}"\n{text}')
        secret = evaluated.secrets["ana"]
        message = evaluated.refused(2, "audit", "head", **{VARIABLE: secret})
        assert f"{VARIABLE} holds no ledger's key" in message and secret not in message


class TestController:
    def test_it_publishes_what_a_killed_process_did_not(
        self, evaluated: Project, caplog: pytest.LogCaptureFixture
    ) -> None:
        """G5: exported to file and log."""
        (state(evaluated) / "heads.jsonl").unlink()
        caplog.set_level(logging.INFO)
        stop = threading.Event()
        stop.set()
        with wiring.open_app(config.load(evaluated.file, {})) as app:
            controller.control(app, "one", stop)
        (last,) = published(evaluated)
        assert last.seq == newest(evaluated).seq
        logged = [it.getMessage() for it in caplog.records if "ledger head" in it.getMessage()]
        said = json.loads(logged[0].partition("ledger head ")[2])
        assert msgspec.convert(said, SignedHead) == last

    def test_each_head_once(self, evaluated: Project) -> None:
        (state(evaluated) / "heads.jsonl").unlink()
        with wiring.open_app(config.load(evaluated.file, {})) as app:
            for _ in range(3):
                app.publisher.publish(missed=True)
            app.store.commit(append=ledger.chain(head(app.store), [("note", {})], at=1))
            for _ in range(3):
                app.publisher.publish()
        assert len(published(evaluated)) == 2

    def test_a_place_that_does_not_answer_keeps_nobody_from_deciding(
        self,
        evaluated: Project,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """G5: traffic can be withdrawn while another machine's mount hangs."""
        answers, stop, looked = threading.Event(), threading.Event(), []
        hangs = threading.Event()

        def look(manager: wiring.DeploymentManager, task: str, holder: str) -> None:
            looked.append(task)
            stop.set()

        def hang(path: Path, head: SignedHead) -> None:
            hangs.set()
            answers.wait()

        (state(evaluated) / "heads.jsonl").unlink()
        monkeypatch.setattr(wiring.DeploymentManager, "look", look)
        monkeypatch.setattr(ledger_files, "append_head", hang)
        monkeypatch.setattr(controller, "_PATIENCE", 0.01)
        monkeypatch.setattr(publishing, "_PATIENCE", 0.01)
        with wiring.open_app(config.load(evaluated.file, {})) as app:
            controller.control(app, "one", stop)
            assert looked == ["intent"]
            assert hangs.wait(10)
            app.publisher.publish()
            assert "still does not answer" in warnings(caplog)[0]
            answers.set()

    def test_what_goes_wrong_is_said_once_until_it_goes_well(
        self, evaluated: Project, caplog: pytest.LogCaptureFixture
    ) -> None:
        heads = state(evaluated) / "heads.jsonl"
        heads.unlink()
        heads.mkdir()
        with wiring.open_app(config.load(evaluated.file, {})) as app:
            app.publisher.publish(missed=True)
            for _ in range(3):
                app.publisher.publish()
            assert len(warnings(caplog)) == 1
            heads.rmdir()
            app.publisher.publish()
        assert len(published(evaluated)) == 1
