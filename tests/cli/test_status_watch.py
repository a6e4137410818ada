"""`greenlight status --watch` (O1, O4): a screen, lines of JSON, or a text per change."""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from greenlight import wiring
from greenlight.core.errors import BadInput, StoreError
from greenlight.core.records import HOUR, SECOND, Rollout
from greenlight.core.states import RolloutStatus
from greenlight.entrypoints.cli import looking
from greenlight.entrypoints.cli.looking import Looks, Window, can_be_drawn_over, follow
from greenlight.stages.loop import LEASE
from tests.cli.looks import ENDED, FAULT, NOW, STATES, evidence, found, running
from tests.cli.project import Project

PATIENCE_S = 30.0

# How looks are shown


def scripted(*steps: Any) -> Callable[[], Any]:
    """Looks in a row; after the last one somebody presses Ctrl-C."""
    waiting = list(steps)

    def look() -> Any:
        if not waiting:
            raise KeyboardInterrupt
        step = waiting.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    return look


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other at once."""
    monkeypatch.setattr(looking, "PAUSE_S", 0.0)
    monkeypatch.setattr(looking, "_LEAST_PAUSE_S", 0.0)


AWAY = StoreError("the file is gone; see that it is a file")


@pytest.mark.usefixtures("hasty")
def test_where_there_is_no_terminal_a_text_per_change(capsys: pytest.CaptureFixture[str]) -> None:
    """Counts, E and time alone are no change; a store that is away is told, and that it is back."""
    busier = running(arms={}, evidence={"errors": evidence(1.0, 6.68, "harm")})
    later = running(waits_for=[{"code": "soaking", "says": "this split stays for 9 s more"}, *()])
    wider = running(phase="last_step", weight=0.5)
    assert follow(scripted(running(), busier, later, later, AWAY, AWAY, wider), lambda: NOW) is None
    said = capsys.readouterr().out
    assert said.count("acme (prod)") == 4
    first, soaking, away, back = said.split("acme (prod)")[1:]
    assert "37 of 100 outcomes" in first and "37 of 100" not in soaking
    assert "cannot look, trying again: the file is gone; see that it is a file" in away
    assert "cannot look" not in back and "50% of units on the candidate" in back
    assert "\x1b" not in said


@pytest.mark.usefixtures("hasty")
def test_a_kill_file_that_goes_wrong_is_worth_another_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """O4: who only reads along sees it, too."""
    follow(scripted(found(), STATES["kill file"], STATES["kill file"]), lambda: NOW)
    assert capsys.readouterr().out.count(f"kill file: {FAULT}") == 1


@pytest.mark.usefixtures("hasty")
def test_a_line_of_json_per_look(capsys: pytest.CaptureFixture[str]) -> None:
    follow(scripted(running(), running(), AWAY, found()), lambda: NOW + SECOND, as_json=True)
    looks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [sorted(look)[:2] for look in looks[:2]] == [["at", "environment"]] * 2
    assert looks[2] == {"at": NOW + SECOND, "error": str(AWAY)}
    assert looks[3]["tasks"]["intent"]["rollout"] is None


@pytest.mark.usefixtures("hasty")
def test_until_what_was_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    looks = scripted(running(), AWAY, found(ended=ENDED), running())
    last = follow(looks, lambda: NOW, until=lambda it: it["tasks"]["intent"]["ended"] is not None)
    assert last is not None and last["tasks"]["intent"]["ended"] == ENDED
    assert "was rolled back" in capsys.readouterr().out


@pytest.mark.usefixtures("hasty")
def test_nothing_seen_to_begin_with_is_an_error() -> None:
    with pytest.raises(BadInput, match="no task"):
        follow(scripted(BadInput("no task")), lambda: NOW)


def console(**environ: str) -> Console:
    return Console(
        file=StringIO(),
        force_terminal=True,
        width=80,
        height=12,
        _environ=environ,
        legacy_windows=False,
    )


def printed(terminal: Console, state: dict[str, Any]) -> str:
    looks = Looks(lambda: state, lambda: NOW)
    looks.again()
    terminal.print(Window(looks))
    file = terminal.file
    assert isinstance(file, StringIO)
    return file.getvalue()


def test_a_low_window_shows_the_beginning_and_says_so() -> None:
    lines = printed(console(TERM="xterm"), STATES["running"]).splitlines()
    assert len(lines) == 12 and "acme" in lines[0]
    assert "lines more: make the window taller" in lines[-1]


def test_colours_only_where_they_are_wanted() -> None:
    colour = re.compile(r"\x1b\[[\d;]*3[0-7]m")
    assert colour.search(printed(console(TERM="xterm-256color"), STATES["alarms"]))
    plain = printed(console(TERM="xterm-256color", NO_COLOR="1"), STATES["alarms"])
    assert not colour.search(plain) and "[canary 10%]" in plain
    assert can_be_drawn_over(console(TERM="xterm", NO_COLOR="1"))
    assert not can_be_drawn_over(console(TERM="dumb"))


# The command


def test_status_for_programs(rolling: Project) -> None:
    """O1, O4: the phase, what the next step waits for, and who has taken over the split."""
    task = rolling.json("status", "intent")["tasks"]["intent"]
    assert task["gateways_reached"] == 1
    rollout = task["rollout"]
    assert rollout["phase"] == "canary" and rollout["next_step"] == "50% of units"
    assert [(r["phase"], r["place"]) for r in rollout["way"]] == [
        ("canary", "here"),
        ("last_step", "ahead"),
        ("promoted", "ahead"),
    ]
    waits = {wait["code"]: wait["says"] for wait in rollout["waits_for"]}
    assert list(waits)[:2] == ["no_controller", "unapproved"]
    assert waits["collecting"].startswith("0 of 100 outcomes of control, 0 of 100 outcomes of cand")
    assert rollout["ends"][0]["code"] == "horizon"
    assert rollout["evidence"]["quality"]["purpose"] == "harm"
    said = rolling.ok("status")
    assert "way        [canary 10%] → last step 50% → promoted" in said
    assert "waits for  a controller: none is running" in said
    with rolling.opened() as (_, office):
        office.store.lease(LEASE, "controller", office.clock.now(), 2 * HOUR)
    assert "a controller" not in rolling.ok("status"), "there is one, until its lease runs out"


class Terminal:
    """A terminal of a size, in which a command runs; what it writes is kept."""

    def __init__(self, command: list[str], columns: int, lines: int) -> None:
        self._here, there = pty.openpty()
        self.resize(columns, lines)
        self.process = subprocess.Popen(
            command,
            stdin=there,
            stdout=there,
            stderr=there,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": "xterm-256color"} | {"COLUMNS": "", "LINES": ""},
        )
        os.close(there)
        self.written = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._here, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, key: bytes) -> None:
        os.write(self._here, key)

    @property
    def screen(self) -> str:
        """What was drawn last, without colours."""
        last = self.written.rpartition("\x1b[H")[2]
        return re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", last).replace("\r", "")

    def shows(self, *words: str, but: str = "\0") -> str:
        """Wait until all of these are on the screen at once, and one is not."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            screen = self.screen
            if all(word in screen for word in words) and but not in screen:
                return screen
            time.sleep(0.02)
        raise AssertionError(f"{words} not on:\n{self.screen}")

    def ends(self) -> int:
        """Wait for the end; the exit code."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        os.close(self._here)
        return code

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")()
        while True:
            try:
                self.written += decoder.decode(os.read(self._here, 65536))
            except OSError:  # the other end is closed
                return


@contextmanager
def terminal(folder: Path, *words: str, columns: int, lines: int) -> Iterator[Terminal]:
    command = [sys.executable, "-m", "greenlight.entrypoints.cli", "-C", str(folder), *words]
    opened = Terminal(command, columns, lines)
    try:
        yield opened
    finally:
        if opened.process.poll() is None:
            opened.process.kill()
            opened.process.wait()


def test_a_screen_that_follows_until_ctrl_c(rolling: Project) -> None:
    """It is drawn over in place, fits a window of another size, outlives a store that is away, and
    its last picture stays."""
    store = rolling.folder / ".greenlight" / "greenlight.db"
    assert store.is_file()
    with terminal(rolling.folder, "status", "--watch", columns=80, lines=70) as shown:
        shown.shows("acme (dev)", "[canary 10%]", "ARM        UNITS  REQUESTS", "superiority")
        assert "\x1b[?1049h" in shown.written, "on a screen of its own"
        shown.resize(40, 70)
        screen = shown.shows("UNITS      0        3")
        assert all(len(line) <= 40 for line in screen.splitlines())
        store.rename(store.with_suffix(".away"))
        shown.shows("cannot look, trying again", "[canary 10%]")
        store.with_suffix(".away").rename(store)
        shown.shows("[canary 10%]", "promotion needs", but="cannot look")
        shown.press(b"\x03")
        assert shown.ends() == 0
    assert "\x1b[2J" not in shown.written, "it is never wiped"
    left = shown.written.rpartition("\x1b[?1049l")[2]
    assert "acme (dev)" in left and "any of these holds everything:" in left
    assert "Aborted" not in left and "Traceback" not in left


@pytest.mark.parametrize(
    ("words", "sign", "code"),
    [(["--json"], signal.SIGINT, 0), ([], signal.SIGTERM, -signal.SIGTERM)],
)
def test_where_nobody_looks(
    rolling: Project, words: list[str], sign: signal.Signals, code: int
) -> None:
    """Piped: lines of JSON, or text; either ends when it is told to."""
    command = [sys.executable, "-m", "greenlight.entrypoints.cli", "-C", str(rolling.folder)]
    watching = subprocess.Popen(
        [*command, "status", "--watch", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background of a shell, children would ignore the signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert watching.stdout is not None
    first = watching.stdout.readline()
    if words:
        again = json.loads(watching.stdout.readline())
        assert json.loads(first)["at"] < again["at"]
    else:
        assert first.startswith("acme (dev)") and "\x1b" not in first
    watching.send_signal(sign)
    _, complaints = watching.communicate(timeout=PATIENCE_S)
    assert (watching.returncode, complaints) == (code, "")


# Waiting for the end of a rollout


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("status", "code"), [(RolloutStatus.PROMOTED, 0), (RolloutStatus.ROLLED_BACK, 1)]
)
def test_waiting_for_the_end_of_a_rollout(
    rolling: Project, monkeypatch: pytest.MonkeyPatch, status: RolloutStatus, code: int
) -> None:
    """O1: a script goes on only if the version is promoted."""
    with rolling.opened() as (_, office):
        [begun] = office.store.scan(Rollout)
    monkeypatch.setattr(wiring.DeploymentManager, "start", lambda *_, **__: begun)
    waited: list[bool] = []

    def pause(_event: threading.Event, _seconds: float) -> bool:
        """The rollout ends between two looks."""
        waited.append(True)
        with rolling.opened() as (_, office):
            ended = msgspec.structs.replace(begun, status=status, ended_at=begun.at + SECOND)
            office.store.commit(swap=[(begun, ended)])
        return False

    command = ["rollout", "start", "intent", "intent@2", "--wait"]
    with monkeypatch.context() as patched:
        patched.setattr(threading.Event, "wait", pause)
        told = rolling.call(*command)
    assert told.exit_code == code, told.output
    first, last = told.stdout.split("\n\nacme (dev)")
    assert "[canary 10%]" in first and waited == [True]
    assert f"intent@2 was {status.replace('_', ' ')} at " in last
    quietly = rolling.call(*command, "--json")
    assert quietly.exit_code == code
    assert json.loads(quietly.stdout)["status"] == status, "nothing else is printed"


def test_a_first_version_is_live_at_once(evaluated: Project) -> None:
    for name in ("ana", "ben"):
        evaluated.ok("approve", "intent@1", "-m", "read it", by=name)
    assert "takes all traffic" in evaluated.ok("rollout", "start", "intent", "intent@1", "--wait")
