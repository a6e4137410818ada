"""What goes wrong with the machine under a newcomer: the store, the disk, the port (X5)."""

from __future__ import annotations

import os
import resource
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.cli.messages import check, told
from tests.cli.project import Project

HOLD = """
import sqlite3, sys
store = sqlite3.connect(sys.argv[1], isolation_level=None)
store.execute(f"PRAGMA locking_mode = {sys.argv[2]}")
store.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""
WRITERS = (["run", "intent"], ["keys", "create", "shop", "--scope", "predict"])
SERVERS = (["gateway"], ["up"], ["controller"], ["worker"])
ROOM = 300_000
"""Bytes that a store takes at first, and rows of one's own do not fit into."""

ROOM_TO_RUN = 750_000
"""Bytes that the store and its log stay below in a run, however slow the machine is, and that the
weights of a model do not fit into."""


@pytest.fixture
def stored(project: Project) -> Project:
    """A project that has been used: there is a store."""
    project.ok("status")
    return project


def store_of(project: Project) -> Path:
    return project.folder / ".greenlight" / "greenlight.db"


@contextmanager
def holding(store: Path, mode: str) -> Iterator[None]:
    """Another process that is in the middle of a transaction and does not end it."""
    command = [sys.executable, "-c", HOLD, str(store), mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            other.communicate(b"")


def alone(
    project: Project, *words: str, limit: int | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, which may write no file larger than a limit."""

    def bounded() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    return subprocess.run(
        [sys.executable, "-m", "greenlight.entrypoints.cli", "-C", str(project.folder), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environ},
        preexec_fn=bounded,
    )


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


class TestStore:
    def test_another_process_writes_for_too_long(
        self, stored: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who only looks is not held up; who writes is told, and does not wait for ever."""
        monkeypatch.setattr("greenlight.adapters.stores.sqlite.BUSY_MS", 50)
        with holding(store_of(stored), "NORMAL"):
            stored.ok("status")
            for words in WRITERS:
                result = stored.call(*words)
                told("store locked", result)
        stored.ok(*WRITERS[1])

    def test_another_process_has_it_for_itself(
        self, stored: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("greenlight.adapters.stores.sqlite.BUSY_MS", 50)
        with holding(store_of(stored), "EXCLUSIVE"):
            for words in (["status"], *WRITERS, *SERVERS):
                result = stored.call(*words)
                told("store locked", result)
                assert str(store_of(stored)) in result.stderr

    def test_a_newer_release_wrote_it(self, stored: Project) -> None:
        with closing(sqlite3.connect(store_of(stored))) as store, store:
            store.execute("UPDATE alembic_version SET version_num = '9999'")
        for words in (["status"], *WRITERS, *SERVERS):
            result = stored.call(*words)
            told("store newer", result)
            assert "schema 9999, this one knows 0" in result.stderr

    def test_it_is_damaged(self, stored: Project) -> None:
        with closing(sqlite3.connect(store_of(stored))) as store:
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        whole = store_of(stored).read_bytes()
        store_of(stored).write_bytes(whole[:5000])
        result = stored.call("status")
        told("store broken", result)

    @pytest.mark.parametrize(
        ("case", "place"),
        [
            ("no store", "greenlight.toml"),
            ("store that cannot be opened", "."),
            ("no folder for the store", "greenlight.toml/folder/store.db"),
        ],
    )
    def test_the_address_names_something_else(
        self, project: Project, case: str, place: str
    ) -> None:
        url = f"sqlite:///{project.folder / place}"
        result = project.call("status", GREENLIGHT_STORE_URL=url)
        told(case, result)
        assert str(project.folder) in result.stderr

    def test_it_is_another_programs(self, project: Project) -> None:
        path = project.folder / "other.db"
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("CREATE TABLE notes (note TEXT)")
        result = project.call("status", GREENLIGHT_STORE_URL=f"sqlite:///{path}")
        told("another program's", result)

    def test_a_password_is_not_repeated(self, project: Project) -> None:
        url = "postgresql://reader:hunter2@db/sales"
        message = project.refused(2, "status", GREENLIGHT_STORE_URL=url)
        assert "write sqlite:///folder/name.db" in message and "hunter2" not in message


class TestSpace:
    """By a limit on the size of files everywhere, on a small disk where one may be mounted."""

    def test_the_store_cannot_grow(self, stored: Project) -> None:
        for words in (["status"], *WRITERS, ["gateway"], ["up"]):
            done = alone(stored, *words, limit=0, GREENLIGHT_GATEWAY_PORT=free_port())
            check("store cannot grow", done.returncode, done.stderr)

    def test_a_run_cannot_write_its_bundle(self, stored: Project) -> None:
        """What was finished stays: the run is on record, and the next one takes it over."""
        done = alone(stored, "run", "intent", limit=ROOM_TO_RUN)
        check("file too large", done.returncode, done.stderr)
        assert str(stored.folder) in done.stderr
        [run] = stored.json("runs", "list")
        assert run["status"] == "failed" and "File too large" in run["error"]

    def test_an_import_cannot_be_copied(self, stored: Project) -> None:
        rows = "".join(f"a text number {n},{n % 2}\n" for n in range(30_000))
        (stored.folder / "rows.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
        words = ["import", str(stored.folder / "rows.csv"), "--task", "intent"]
        done = alone(stored, *words, limit=ROOM)
        check("file too large", done.returncode, done.stderr)
        assert f"{stored.folder}/data/imported: " in done.stderr
        assert list((stored.folder / "data" / "imported").iterdir()) == []

    def test_a_full_disk(self, project: Project, small_disk: Callable[[str, str], Path]) -> None:
        disk = small_disk("state", "size=2m")
        store = f"sqlite:///{disk}/store.db"
        ballast = disk / "ballast"
        fill(ballast)
        result = project.call("status", GREENLIGHT_STORE_URL=store)
        told("store has no space", result)
        ballast.unlink()
        project.ok("status", GREENLIGHT_STORE_URL=store)

    def test_an_import_onto_a_full_disk(
        self, project: Project, small_disk: Callable[[str, str], Path]
    ) -> None:
        disk = small_disk("data", "size=16k")
        fill(disk / "ballast")
        rows = "".join(f"a text number {n},{n % 2}\n" for n in range(1000))
        (project.folder / "rows.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
        words = ["import", str(project.folder / "rows.csv"), "--task", "intent"]
        result = project.call(*words)
        told("no space", result)
        assert list((disk / "imported").glob("*.csv")) == []

    def test_a_gateway_without_a_place_for_its_spool(
        self, stored: Project, small_disk: Callable[[str, str], Path]
    ) -> None:
        """A disk that takes no more files: the gateway does not start, and says why, once."""
        small_disk(".greenlight/spool", "size=64k,nr_inodes=1")
        for words in (["gateway"], ["up"]):
            done = alone(stored, *words, GREENLIGHT_GATEWAY_PORT=free_port())
            check("no place for the spool", done.returncode, done.stderr)

    def test_a_file_where_the_spool_goes(self, stored: Project) -> None:
        (stored.folder / ".greenlight" / "spool").write_text("mine", encoding="utf-8")
        message = stored.refused(1, "gateway", GREENLIGHT_GATEWAY_PORT=free_port())
        assert "spool: File exists; a file is in the place of the folder; move it" in message


def fill(ballast: Path) -> None:
    """Leave no room on a disk."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


@pytest.fixture
def small_disk(project: Project) -> Iterator[Callable[[str, str], Path]]:
    """Mounts a file system in memory at a folder of the project."""
    mounted: list[Path] = []

    def mount(folder: str, options: str) -> Path:
        place = project.folder / folder
        place.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a small file system: run as root")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


class TestPort:
    @pytest.mark.parametrize("words", [["gateway"], ["up"], ["gateway", "--workers", "2"]])
    def test_another_process_listens_there(self, stored: Project, words: list[str]) -> None:
        listen = (
            "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); "
            "print(s.getsockname()[1], flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", listen]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            port = other.stdout.readline().decode().strip()
            result = stored.call(*words, GREENLIGHT_GATEWAY_PORT=port)
            other.communicate(b"")
        told("port taken", result)
        assert f"127.0.0.1:{port}" in result.stderr

    def test_an_address_of_another_machine(self, stored: Project) -> None:
        words = ["gateway", "--no-keys"]
        result = stored.call(*words, GREENLIGHT_GATEWAY_HOST="192.0.2.1")
        told("not an address of this machine", result)
        assert "192.0.2.1:8400" in result.stderr
