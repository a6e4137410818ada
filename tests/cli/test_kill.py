"""`greenlight kill`, and `rollout rollback` with the store away (O4)."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from greenlight import config, wiring
from greenlight.adapters.kill_file import KillFile
from greenlight.core.errors import Conflict
from greenlight.core.records import SECOND, Replica
from greenlight.entrypoints.cli import steering
from greenlight.wiring import killing
from tests.cli.project import Project

KILL = ["kill", "intent", "-m", "support is flooded"]


def file(project: Project) -> Path:
    return project.folder / ".greenlight" / "kill.json"


def store(project: Project) -> Path:
    return project.folder / ".greenlight" / "greenlight.db"


def looked(project: Project) -> Any:
    """What a controller decides that looks once, with what the file says now."""
    with wiring.open_app(config.load(project.file, {})) as app:
        return wiring.DeploymentManager(app).look("intent", "holder")


def test_a_kill_needs_no_store(project: Project) -> None:
    """Nobody can say how far gateways have counted: a generation from the clock beats any count."""
    said = project.ok(*KILL, by="ben")
    assert "intent: killed by ben (generation 1" in said and "support is flooded" in said
    assert f"every gateway that sees {file(project)}, within 0.25 s" in said
    assert "the store was not asked, or did not answer in time: it was not needed" in said
    assert not store(project).exists()
    entry = json.loads(file(project).read_text(encoding="utf-8"))["entries"]["intent"]
    assert entry["generation"] == entry["at"] // SECOND + 1
    settings = config.load(project.file, {})
    switch = KillFile(file(project), killing.judge_of(settings))
    assert (switch.look(), list(switch.entries())) == ((), ["intent"])
    again = project.json(*KILL, by="ana")
    assert again["generation"] == entry["generation"] + 1
    assert (again["since"], again["by"], again["replicas"]) == (entry["since"], "ana", None)
    assert "signature" not in again
    said = project.ok("kill", "intent", "--lift", "-m", "the cause is found", by="ana")
    assert f"lifted by ana (generation {entry['generation'] + 2}): the cause is found" in said
    assert "a new rollout may start; what was killed stays out of traffic" in said


@pytest.mark.parametrize("hangs", [False, True])
def test_nothing_waits_for_a_file_that_cannot_be_looked_at(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    hangs: bool,
) -> None:
    """Neither a broken file nor a disk without an answer keeps a process from starting."""
    monkeypatch.setattr(killing, "PATIENCE_S", 0.1)
    answer = threading.Event()
    if hangs:
        monkeypatch.setattr(KillFile, "look", lambda _: answer.wait() and ())
    else:
        project.folder.joinpath(".greenlight").mkdir(exist_ok=True)
        file(project).write_text("{", encoding="utf-8")
    switch = killing.open_kill_switch(config.load(project.file, {}))
    answer.set()
    assert list(switch.entries()) == []
    assert ("no answer" if hangs else "no kill file") in caplog.text


def test_refusals_say_why(project: Project) -> None:
    made = project.json("keys", "person", "kim", "--role", "operations")
    project.secrets["kim"] = made["secret"]
    with project.file.open("a", encoding="utf-8") as text:
        text.write(f'[people.kim]\nroles = ["operations"]\nkey = "{made["key"]}"\n')
    for by, words, says in (
        (None, ["intent", "-m", "x"], "GREENLIGHT_PERSON_KEY is not set"),
        ("ana", ["intent", "-m", "x", "--as", "ben"], "is ana's, not ben's"),
        ("ana", ["intent", "-m", " "], "say why"),
        ("ana", ["nothing", "-m", "x"], "there are: intent"),
        ("ana", ["intent", "--lift", "-m", "x"], "intent is not killed"),
        ("kim", ["intent", "--lift", "-m", "x"], "kim has no role of intent's quorum"),
    ):
        environ = {} if by else {"GREENLIGHT_PERSON_KEY": ""}
        assert says in project.refused(2, "kill", *words, by=by, **environ)
        assert not file(project).exists()
    project.ok("kill", "intent", "-m", "everybody in [people] may", by="kim")


def test_a_file_whose_folder_is_away_is_not_written_elsewhere(project: Project) -> None:
    with project.file.open("a", encoding="utf-8") as text:
        text.write('[kill]\nfile = "mounted/kill.json"\n')
    message = project.refused(1, *KILL, by="ben")
    assert "mounted/kill.json: its folder is not there; is it mounted? ([kill] file)" in message


def test_a_kill_from_the_command_to_the_end(
    rolling: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed, caught up, refused to start, lifted; `status` shows it all the while."""
    monkeypatch.setattr(killing, "_WAIT_S", 0.1)
    said = rolling.ok(*KILL, by="ben")
    assert "killed by ben (generation 1): support is flooded" in said
    assert "gateway-1: has not told that it obeys yet; does it see the file?" in said
    status = rolling.ok("status", "intent")
    assert "support is flooded; 0 of 1 gateways alive obey" in status
    with rolling.opened() as (_, office):
        [sign] = office.store.scan(Replica)
        office.store.heartbeat(type(sign)(**{**_fields(sign), "kills": {"intent": 1}}))
    assert "1 of 1 gateways alive obey" in rolling.ok("status", "intent")
    decision = looked(rolling)
    assert (decision.action, decision.code) == ("rollback", "kill")
    assert decision.reason == "the kill switch, ben: support is flooded"
    refused = rolling.refused(2, "rollout", "start", "intent", "intent@2", by="ana")
    assert "intent is killed by ben (generation 1): support is flooded" in refused
    file(rolling).unlink()  # what is on record is not forgotten with the file
    refused = rolling.refused(2, "rollout", "start", "intent", "intent@2", by="ana")
    assert "intent is killed by ben" in refused
    said = rolling.ok("kill", "intent", "--lift", "-m", "the cause is found", by="ana")
    assert "lifted by ana (generation 2): the cause is found" in said
    assert looked(rolling) is None
    assert "gateways alive obey" not in rolling.ok("status", "intent")
    refused = rolling.refused(2, "rollout", "start", "intent", "intent@2", by="ana")
    assert "is not approved" in refused, "it takes a fresh quorum"
    rolling.ok("audit", "verify", "--no-files")


def test_status_shows_what_is_wrong_with_the_file(project: Project) -> None:
    """O4: whoever wonders why a kill is not obeyed looks there."""
    assert project.json("status")["kill_faults"] == []
    file(project).write_text("{}")
    [fault] = project.json("status")["kill_faults"]
    assert str(file(project)) in fault and 'it must have "entries"' in fault
    assert f"kill file: {fault}" in project.ok("status")
    project.ok(*KILL, by="ben")
    forged = file(project).read_text().replace("flooded", "fine")
    file(project).write_text(forged)
    [fault] = project.json("status")["kill_faults"]
    assert "the signature is not ben's, or the entry was changed" in fault


@pytest.mark.parametrize("away", ["gone", "locked"])
def test_a_rollback_with_the_store_away_uses_the_kill_switch(
    rolling: Project, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    """INTERFACES: `rollback` works with everything else down."""
    monkeypatch.setattr(steering, "PATIENCE_S", 0.2)
    monkeypatch.setattr(killing, "PATIENCE_S", 0.2)
    rollback = ["rollout", "rollback", "intent", "-m", "support is flooded"]
    if away == "gone":
        hidden = store(rolling).rename(rolling.folder / "elsewhere.db")
        said = rolling.ok(*rollback, by="ana")
        assert "is not there): the kill switch was used instead" in said
        hidden.rename(store(rolling))
    else:
        other = sqlite3.connect(store(rolling), isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        said = rolling.ok(*rollback, by="ana")
        assert "(no answer in 0.2 seconds): the kill switch was used instead" in said
        other.execute("ROLLBACK")
        other.close()
    assert "intent: killed by ana (generation" in said
    for _ in range(100):  # once unlocked, the rollback may go through as well, and win
        with contextlib.suppress(Conflict):
            looked(rolling)
            break
    [listed] = rolling.json("rollouts", "list")
    assert listed["status"] == "rolled_back"


def _fields(sign: Replica) -> dict[str, Any]:
    return {name: getattr(sign, name) for name in sign.__struct_fields__}
