"""`greenlight doctor`, with what it examines really broken: on this machine."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from greenlight import config, wiring
from greenlight.adapters.clock import SystemClock
from greenlight.adapters.stores import migrations
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.records import HOUR, Replica
from greenlight.datasets import banking77
from greenlight.testing import FakeClock
from greenlight.wiring import doctor
from greenlight.wiring.doctor import machine
from greenlight.wiring.doctor.finding import Finding, Subject
from tests.cli.examining import bare, edit, examined, only
from tests.cli.project import Project, flip

pytestmark = pytest.mark.usefixtures(bare.__name__)

STRANGER = """
import json, os, pathlib, sys
from greenlight import config
from greenlight.adapters.clock import SystemClock
from greenlight.adapters.stores import migrations
from greenlight.wiring.doctor import store
from greenlight.wiring.doctor.finding import Subject
subject = Subject(
    settings=config.load(pathlib.Path(sys.argv[1]), {}), environ={}, clock=SystemClock()
)
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
found = [one for one in store.store(subject) if one.outcome == "fault"]
print(json.dumps([{"check": one.check, "what": one.what} for one in found]))
"""
HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def store_of(project: Project) -> Path:
    """The project's store, made by a command."""
    project.ok("status")
    return project.folder / ".greenlight" / "greenlight.db"


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


class TestCommand:
    def test_all_is_well_and_nothing_was_touched(self, project: Project) -> None:
        before = sorted(project.folder.rglob("*"))
        said = project.ok("doctor", "--fail-on-warn")
        assert said.startswith("greenlight ")
        assert said.splitlines()[-1].endswith(" ok, 0 warning, 0 fault")
        assert sorted(project.folder.rglob("*")) == before
        found = project.json("doctor")
        assert found["ok"] and found["counts"]["fault"] == 0 and found["build"]["version"]
        checks = {one["check"] for one in found["findings"]}
        assert {"software", "onnxruntime", "disk", "store", "cache", "clock"} <= checks
        assert {"people", "ledger", "encoder", "data of intent", "gateway"} <= checks

    def test_a_fault_ends_with_one_and_a_warning_with_three_if_asked(
        self, project: Project
    ) -> None:
        edit(project, "product_owner", "intern")
        assert project.call("doctor").exit_code == 0
        result = project.call("doctor", "--fail-on-warn")
        assert result.exit_code == 3
        assert "\n         fix: " in result.stdout
        edit(project, 'source = "sample"', 'source = "file"\npath = "none.csv"')
        assert project.call("doctor", "--fail-on-warn").exit_code == 1
        assert json.loads(project.call("doctor", "--json").stdout)["ok"] is False

    def test_every_fault_of_the_configuration(self, project: Project) -> None:
        edit(project, "sample", "sampel")
        edit(project, "min = 0.9", "mim = 0.9")
        found = [one for one in examined(project, "configuration") if one.outcome == "fault"]
        places = [one.what.partition(": ")[0] for one in found]
        assert places[:2] == ["greenlight.toml:15", "greenlight.toml:19"]
        assert project.call("doctor").exit_code == 1

    def test_a_check_that_breaks_is_a_finding_and_ends_no_other(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def breaks(_subject: Subject) -> list[Finding]:
            raise ZeroDivisionError("nobody thought of this")

        monkeypatch.setattr(doctor, "CHECKS", (("cache", breaks), *doctor.CHECKS))
        found = examined(project, "cache")
        assert only(found).what == "could not be tried: ZeroDivisionError: nobody thought of this"
        assert len(found) == 2


class TestStore:
    def test_sound(self, project: Project) -> None:
        path = store_of(project)
        before = path.read_bytes()
        said = [one.what for one in examined(project, "store")]
        assert said == [
            f"{path}: opened, schema {migrations.HEAD}",
            f"{path}: a row was written and rolled back",
        ]
        assert path.read_bytes() == before

    def test_locked_by_another_process(self, project: Project) -> None:
        path = store_of(project)
        command = [sys.executable, "-c", HOLDER, str(path)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holder:
            assert holder.stdout is not None and holder.stdout.readline() == "held\n"
            found = [one for one in examined(project, "store") if one.outcome == "fault"]
            holder.communicate("")
        assert [one.what for one in found] == [f"{path}: database is locked"]
        assert "fuser -v" in (found[0].fix or "")
        assert all(one.outcome == "ok" for one in examined(project, "store"))

    def test_of_a_newer_greenlight(self, project: Project) -> None:
        path = store_of(project)
        execute(path, "UPDATE alembic_version SET version_num = '9999'")
        [newer] = [one for one in examined(project, "store") if one.outcome == "fault"]
        assert (
            f"schema 9999 is of a newer Greenlight; this one knows {migrations.HEAD}" in newer.what
        )
        assert "upgrade Greenlight" in (newer.fix or "")

    def test_of_an_older_one_and_it_stays_so(self, project: Project) -> None:
        path = store_of(project)
        execute(path, "UPDATE alembic_version SET version_num = '0001'")
        found = examined(project, "store")
        assert [one.outcome for one in found] == ["warning", "ok", "warning"]
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (
                "0001",
            )

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"no database" * 500, "file is not a database"),
            (None, "no store of Greenlight's"),
        ],
    )
    def test_of_something_else(self, project: Project, content: bytes | None, says: str) -> None:
        path = project.folder / "other.db"
        if content is None:
            execute(path, "CREATE TABLE theirs (id INTEGER)")
        else:
            path.write_bytes(content)
        found = examined(project, "store", GREENLIGHT_STORE_URL="sqlite:///other.db")
        assert says in next(one.what for one in found if one.outcome == "fault")

    def test_a_folder_that_takes_nothing(self, project: Project) -> None:
        """/proc takes no files, whoever asks."""
        found = examined(project, "folder", GREENLIGHT_STORE_URL="sqlite:////proc/gl/gl.db")
        assert only(found).outcome == "fault"
        assert only(found).what.startswith("/proc: cannot be written: ")

    def test_a_store_that_may_only_be_read(self) -> None:
        """As somebody else than its owner."""
        with tempfile.TemporaryDirectory(dir="/var/tmp") as shared:
            folder = Path(shared, "desk")
            folder.mkdir()
            project = Project(folder)
            path = store_of(project)
            Path(shared).chmod(0o755)
            path.chmod(0o444)
            path.parent.chmod(0o555)
            done = subprocess.run(
                [sys.executable, "-c", STRANGER, str(project.file)],
                capture_output=True,
                text=True,
                check=True,
            )
            path.parent.chmod(0o755)
        said = {one["check"]: one["what"] for one in json.loads(done.stdout)}
        assert "cannot be written: Permission denied" in said["folder"]
        assert "readonly database" in said["store"] or "unable to open" in said["store"]


class TestMachine:
    def test_a_disk_that_is_full(self, tmp_path: Path) -> None:
        plenty, endless = (0, 0), (2**62, 0)
        assert machine.disk(tmp_path, plenty, plenty).outcome == "ok"
        assert machine.disk(tmp_path, plenty, endless).outcome == "warning"
        full = machine.disk(tmp_path, endless, endless)
        assert full.outcome == "fault" and "GiB free" in full.what and "room" in (full.fix or "")

    def test_a_disk_without_inodes(self, tmp_path: Path) -> None:
        if os.statvfs(tmp_path).f_files == 0:
            pytest.skip("this file system makes inodes as it needs them")
        assert machine.disk(tmp_path, (0, 2**62), (0, 2**62)).outcome == "fault"

    def test_a_clock_that_is_behind_the_records(self, project: Project) -> None:
        path = store_of(project)
        with closing(SqlStore(f"sqlite:///{path}")) as store:
            now = SystemClock().now()
            store.heartbeat(
                Replica(id="far:1", epochs={}, applied_at={}, flushed_through=0, at=now + 9 * HOUR)
            )
        late = only(examined(project, "clock"))
        assert late.outcome == "fault" and "ahead of this clock" in late.what

    def test_a_clock_that_is_set_meanwhile(self, project: Project) -> None:
        class Jumping(FakeClock):
            def now(self) -> int:
                self.advance(HOUR)
                return super().now()

        settings = config.load(project.file, {})
        [found] = machine.clock(Subject(settings=settings, environ={}, clock=Jumping()))
        assert found.outcome == "warning" and "no time server was asked" in found.what

    def test_a_runtime_of_models_that_does_not_load(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        found = {one.check: one for one in machine.software()}
        assert found["software"].outcome == "ok"
        assert found["onnxruntime"].outcome == "fault"


class TestKeys:
    def test_of_people(self, project: Project) -> None:
        (project.folder / "keys").mkdir()
        own = project.folder / "keys" / "ana"
        own.write_text(project.secrets["ana"] + "\n", encoding="utf-8")
        own.chmod(0o644)
        assert only(examined(project, "people")).fix == f"chmod 600 {own}"
        own.chmod(0o600)
        assert all(one.outcome == "ok" for one in examined(project, "people"))
        own.write_text(project.secrets["ben"], encoding="utf-8")
        assert "not the key that greenlight.toml names" in only(examined(project, "people")).what
        own.write_text("glp_nonsense", encoding="utf-8")
        assert "that is no key" in only(examined(project, "people")).what

    def test_at_hand(self, project: Project) -> None:
        name = "GREENLIGHT_PERSON_KEY"
        said = examined(project, "people", **{name: project.secrets["ana"]})
        assert said[0].what == f"{name} is ana's (ml_lead)"
        stranger, _ = wiring.new_person(os.urandom)
        found = only(examined(project, "people", **{name: stranger}))
        assert found.outcome == "fault" and stranger not in found.what

    def test_of_the_ledger(self, project: Project) -> None:
        project.ok("audit", "head")
        key = project.folder / ".greenlight" / "ledger.key"
        assert all(one.outcome == "ok" for one in examined(project, "ledger"))
        key.chmod(0o640)
        assert only(examined(project, "ledger")).fix == f"chmod 600 {key}"
        key.rename(key.with_name("away"))
        gone = only(examined(project, "ledger"))
        assert gone.outcome == "fault" and "is gone, and" in gone.what

    def test_of_the_ledger_in_a_variable(self, project: Project) -> None:
        named = {"GREENLIGHT_LEDGER_KEY": "env:ACME"}
        assert "ACME is not set" in only(examined(project, "ledger", **named)).what
        secret, public = wiring.new_ledger_key(os.urandom)
        [first, *_] = examined(project, "ledger", **named, ACME=secret)
        assert first.what == f"ACME: signs as {public}"
        wrong = only(examined(project, "ledger", **named, ACME=project.secrets["ana"]))
        assert "a person's key" in wrong.what
        missing = {"GREENLIGHT_LEDGER_HEADS": "not/mounted/heads.jsonl"}
        assert "no head can be published" in only(examined(project, "ledger", **missing)).what


class TestData:
    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (None, "no such file"),
            ("", "empty"),
            ("question,label\nhello,a\n", "no column 'text'"),
            ('text,label\n"hello,a\n', "a double quote is opened and never closed"),
        ],
    )
    def test_a_file_that_cannot_be_learnt_from(
        self, project: Project, content: str | None, says: str
    ) -> None:
        edit(project, 'source = "sample"', 'source = "file"\npath = "own.csv"')
        if content is not None:
            (project.folder / "own.csv").write_text(content, encoding="utf-8")
        found = only(examined(project, "data of intent"))
        assert found.outcome == "fault" and says in found.what

    def test_a_file_and_a_query(self, project: Project) -> None:
        edit(project, 'source = "sample"', 'source = "file"\npath = "own.csv"')
        (project.folder / "own.csv").write_text("text,label\na,b\nc,d\n", encoding="utf-8")
        [found] = examined(project, "data of intent")
        assert found.what == "own.csv: its first 2 rows can be read, with 2 labels"
        execute(project.folder / "their.db", "CREATE TABLE rows AS SELECT 'a' text, 'b' label")
        query = 'source = "sql"\nurl = "sqlite:///their.db"\nquery = "SELECT * FROM rows"'
        edit(project, 'source = "file"\npath = "own.csv"', query)
        [found] = examined(project, "data of intent")
        assert found.outcome == "ok" and "first 1 rows" in found.what
        edit(project, "FROM rows", "FROM raws")
        assert "raws" in only(examined(project, "data of intent")).what

    @pytest.mark.needs("data")
    def test_a_public_data_set(self, project: Project, tmp_path: Path) -> None:
        edit(project, '"sample"', '"banking77"')
        [here] = examined(project, "data of intent")
        assert "10,003 + 3,080 rows" in here.what and "SHA-256 as published" in here.what
        copy = tmp_path / "copy"
        shutil.copytree(Path(os.environ["GREENLIGHT_DATASETS"], "banking77"), copy / "banking77")
        flip(copy / "banking77" / "train.csv")
        damaged = only(examined(project, "data of intent", GREENLIGHT_DATASETS=str(copy)))
        assert damaged.outcome == "fault" and banking77.DIGESTS["train"] in damaged.what

    def test_a_public_data_set_that_is_not_here_is_not_fetched(
        self, project: Project, tmp_path: Path
    ) -> None:
        edit(project, '"sample"', '"banking77"')
        places = {"GREENLIGHT_DATASETS": str(tmp_path), "GREENLIGHT_CACHE": str(tmp_path / "c")}
        found = only(examined(project, "data of intent", **places))
        assert found.outcome == "warning" and "the first run fetches it" in found.what
        assert not (tmp_path / "c").exists()

    @pytest.mark.needs("data")
    def test_a_public_data_set_of_tagged_words(self, project: Project, tmp_path: Path) -> None:
        edit(project, '"classify"', '"tag"')
        edit(project, '"tfidf-linear"', '"token-tagger"')
        edit(project, '"sample"', '"sample-entities"')
        [found] = examined(project, "data of intent")
        assert found.what == "sample-entities: 60 + 12 + 14 rows; it comes with Greenlight"
        edit(project, '"sample-entities"', '"wnut17"')
        [found] = examined(project, "data of intent")
        assert "3,394 + 1,009 + 1,287 rows" in found.what and "as published" in found.what
        places = {"GREENLIGHT_DATASETS": str(tmp_path), "GREENLIGHT_CACHE": str(tmp_path / "c")}
        found = only(examined(project, "data of intent", **places))
        assert found.outcome == "warning" and "wnut17/wnut17train.conll and" in (found.fix or "")

    def test_a_file_of_tagged_words(self, project: Project) -> None:
        edit(project, '"classify"', '"tag"')
        edit(project, '"tfidf-linear"', '"token-tagger"')
        edit(project, 'source = "sample"', 'source = "file"\npath = "own.conll"')
        path = project.folder / "own.conll"
        path.write_text("in\tO\nRome\tB-place\n\nAna\tB-person\n", encoding="utf-8")
        [found] = examined(project, "data of intent")
        assert found.outcome == "ok"
        assert found.what == ("own.conll: its first 2 rows can be read, with entities of 2 types")
        path.write_text("Ana\tperson\n", encoding="utf-8")
        found = only(examined(project, "data of intent"))
        assert found.outcome == "warning" and "1 are not tagged; row 1: tag 'person'" in found.what

    def test_feedback_before_anybody_was_asked(self, project: Project) -> None:
        edit(project, 'source = "sample"', 'source = "feedback"\nbase = "sample"')
        store_of(project)
        found = examined(project, "data of intent")
        assert [one.outcome for one in found] == ["warning", "ok"]
        assert "nothing was ever asked" in found[0].what

    def test_what_trains_with_torch_says_whether_it_is_there(self, project: Project) -> None:
        """A warning: what is trained elsewhere is served without."""
        text = project.file.read_text()
        backend = text.replace('"tfidf-linear"', '"encoder-finetune"')
        assert examined(project, "torch") == [] and backend != text
        project.file.write_text(backend)
        [found] = examined(project, "torch")
        if importlib.util.find_spec("torch") is None:
            assert (found.outcome, found.fix[:21]) == ("warning", "pip install torch==2.")
        else:
            assert found.outcome == "ok"

    @pytest.mark.needs("encoder")
    def test_the_encoder_embeds(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()
        [found] = examined(project, "encoder")
        assert "384 numbers, length 1.000 (no task needs it)" in found.what

    def test_an_encoder_that_is_not_here_or_not_the_one(
        self, project: Project, tmp_path: Path
    ) -> None:
        def outcome(environ: Mapping[str, str]) -> str:
            [found] = examined(project, "encoder", **environ)
            return found.outcome

        nowhere = {"GREENLIGHT_CACHE": str(tmp_path / "cache")}
        empty = {"GREENLIGHT_ENCODER": str(tmp_path)}
        assert (outcome(nowhere), outcome(empty)) == ("ok", "warning")
        edit(project, "tfidf-linear", "encoder-head")
        assert (outcome(nowhere), outcome(empty)) == ("warning", "fault")
        assert not (tmp_path / "cache").exists()
