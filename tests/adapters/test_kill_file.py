"""The kill switch as a file (O4): whoever reads it in whatever state, and whoever writes beside."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from greenlight.adapters import kill_file
from greenlight.adapters.kill_file import KillFile, write
from greenlight.core import fingerprint, killing
from greenlight.core.errors import StoreError
from greenlight.core.killing import KillEntry
from tests.core.test_killing import JUDGE, PEOPLE, word


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kill.json"


def put(path: Path, *entries: KillEntry) -> None:
    """As an editor or a mounted volume puts it there: by another file."""
    draft = path.with_suffix(".draft")
    draft.write_bytes(fingerprint.canonical({"entries": {one.task: one for one in entries}}))
    draft.replace(path)


def test_what_was_read_stays_in_force_whatever_becomes_of_the_file(path: Path) -> None:
    switch = KillFile(path, JUDGE)
    assert (switch.look(), switch.entries()) == ((), {}), "no file is no kill"
    first = word()
    put(path, first)
    assert (switch.look(), switch.entries()) == ((), {"intent": first})
    second = word("ana", first)
    put(path, second)
    assert (switch.look(), switch.entries()) == ((), {"intent": second})
    for data, says in (
        (b"", "no kill file"),
        (b'{"entries": {"intent": {"gener', "no kill file"),
        (b"\xff\xfe\x00", "no kill file"),
        (b'{"entries": {}, "more": {}}', 'must have "entries", and nothing else'),
        (b'{"entries": {"intent": {"generation": "9"}}}', "intent: this is no entry"),
        (b'{"entries": {}}', "its entry is gone"),
        (b" " * (2**20 + 1), "more than 1048576 bytes"),
    ):
        path.write_bytes(data)
        assert any(says in fault for fault in switch.look()), data[:40]
        assert switch.entries() == {"intent": second}, data[:40]
    put(path, first)
    assert ["is older than what is known" in fault for fault in switch.look()] == [True]
    path.unlink()
    path.mkdir()
    assert ["Is a directory" in fault for fault in switch.look()] == [True]
    path.rmdir()
    assert ["its entry is gone" in fault for fault in switch.look()] == [True]
    put(path, second)
    assert (switch.look(), switch.entries()) == ((), {"intent": second})


def test_a_file_that_did_not_change_is_not_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at four times a second, for years."""
    switch = KillFile(path, JUDGE)
    put(path, word(signer="ana"))
    [fault] = switch.look()
    monkeypatch.setattr(kill_file, "_read", None)
    assert switch.look() == (fault,), "what is wrong with it stays wrong"
    os.utime(path, ns=(5, 5))
    with pytest.raises(TypeError):
        switch.look()


def test_a_link_that_is_turned_to_another_file_is_noticed(path: Path) -> None:
    """How Kubernetes replaces what a volume holds: by the folder above it."""
    for name, entry in (("one", word()), ("two", word(known=word()))):
        path.with_name(name).mkdir()
        put(path.with_name(name) / "kill.json", entry)
    path.with_name("..data").symlink_to("one")
    path.symlink_to("..data/kill.json")
    switch = KillFile(path, JUDGE)
    switch.look()
    assert switch.entries()["intent"].generation == 1
    path.with_name("..next").symlink_to("two")
    path.with_name("..next").replace(path.with_name("..data"))
    assert switch.look() == ()
    assert switch.entries()["intent"].generation == 2


def again(there: Mapping[str, KillEntry], task: str) -> KillEntry:
    return killing.draft(
        task,
        lift=False,
        known=there.get(task),
        least=0,
        person=PEOPLE["kim"],
        why="flooded",
        now=5,
    )


def test_writers_at_once_lose_nothing(path: Path) -> None:
    """Each opens the lock by itself, as processes do."""
    writers, times = 4, 10

    def kill(number: int) -> None:
        for _ in range(times):
            write(path, lambda there: again(there, "shared"))
            write(path, lambda there: again(there, f"task-{number}"))

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(kill, range(writers)))
    found, faults = kill_file._read(path)
    assert not faults
    assert found.pop("shared").generation == writers * times
    assert {name: one.generation for name, one in found.items()} == {
        f"task-{number}": times for number in range(writers)
    }
    left = sorted(item.name for item in path.parent.iterdir())
    assert left == ["kill.json", "kill.json.lock"], "nothing half made is left"


def test_a_broken_file_is_kept_beside_the_new_one(path: Path) -> None:
    path.write_text("{", encoding="utf-8")
    write(path, lambda there: again(there, "intent"))
    assert path.with_name("kill.json.broken").read_text(encoding="utf-8") == "{"
    assert set(kill_file._read(path)[0]) == {"intent"}


def test_an_entry_that_cannot_be_read_is_kept_beside_the_new_file(path: Path) -> None:
    """A newer version may have written it: the next word on another task must not lose it."""
    write(path, lambda there: again(there, "intent"))
    entries = json.loads(path.read_text(encoding="utf-8"))["entries"]
    newer = {"entries": {**entries, "spam": {**entries["intent"], "more": 1}}}
    path.write_text(json.dumps(newer), encoding="utf-8")
    write(path, lambda there: again(there, "intent"))
    kept = path.with_name("kill.json.broken").read_text(encoding="utf-8")
    assert json.loads(kept) == newer
    assert set(kill_file._read(path)[0]) == {"intent"}


def test_who_waits_too_long_for_their_turn_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kill_file, "PATIENCE_S", 0.05)
    with path.with_name("kill.json.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match=r"kill\.json\.lock: another process has been writing"):
            write(path, lambda there: again(there, "intent"))
    write(path, lambda there: again(there, "intent"))


def test_a_folder_that_is_not_there_is_not_made(path: Path) -> None:
    """It may be another machine's that is not mounted: nobody would see what is written there."""
    with pytest.raises(FileNotFoundError):
        write(path.with_name("away") / "kill.json", lambda there: again(there, "intent"))
    assert not path.with_name("away").exists()
