"""Walks through a page as a reader would: pastes its blocks into one shell, in their order.

A block of `sh` is pasted; a block of `text` is what the page says that the last one answers.
"""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

WATCH = re.compile(r"^greenlight status \w* ?--watch$", re.MULTILINE)
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE_S, ENDS_WITHIN_S = 120.0, 30.0


class Block(msgspec.Struct, frozen=True):
    """What is pasted, and what the page says that it answers."""

    commands: str
    answers: str


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page, in order."""
    found = BLOCK.findall(page)
    for place, (kind, body) in enumerate(found):
        if kind == "sh":
            after = found[place + 1] if place + 1 < len(found) else ("", "")
            yield Block(commands=body, answers=after[1] if after[0] == "text" else "")


def unanswered(expected: str, answered: str) -> list[str]:
    """The lines that a page shows and that do not come, in their order; `…` is anything."""
    rest, missing = answered.splitlines(), []
    for line in expected.splitlines():
        form = ".*".join(map(re.escape, line.split("…")))
        place = next((n for n, said in enumerate(rest) if re.fullmatch(form, said.rstrip())), None)
        if place is None:
            missing.append(line)
        elif line != "…":
            rest = rest[place + 1 :]
    return missing


class Shell:
    """One bash in a folder. Where the page says to watch until a rollout is over, this watches."""

    def __init__(self, folder: Path, aside: Path, environ: Mapping[str, str]) -> None:
        """Start it.

        Args:
            folder: where the reader stands.
            aside: for what the reader knows nothing of.
            environ: variables on top of this process's own.
        """
        self._aside = aside
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        keep = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GREENLIGHT_", "PYTHON", "OPENAI_"))
        }
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env={**keep, "PATH": path, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self._type("trap 'echo \"FAILED: $BASH_COMMAND\"' ERR\n")

    def paste(self, commands: str) -> str:
        """Paste a block and wait for what it answers.

        Raises:
            AssertionError: a command failed, or did not end in time.
        """
        watched = self._aside / "watched"
        block = self._aside / "block"
        watches = WATCH.search(commands)
        if watches:
            watched.write_text("")
            call = watches[0]
            commands = WATCH.sub(f"{call} >{watched} 2>&1 & watching=$!", commands)
        block.write_text(commands)
        said = self._run(f". {block} </dev/null")
        if watches:
            self._await_the_end(watched)
            self._run("kill $watching; wait $watching || true")
            said += watched.read_text()
        assert "FAILED: " not in said, said
        return said

    def close(self) -> None:
        """End the shell and all that it started."""
        try:
            self._type("kill $(jobs -p) 2>/dev/null; wait; exit\n")
            self._bash.wait(ENDS_WITHIN_S)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            os.killpg(self._bash.pid, 9)
            self._bash.wait()
        assert self._bash.stdin is not None and self._bash.stdout is not None
        self._bash.stdin.close()
        self._bash.stdout.close()

    def _await_the_end(self, watched: Path) -> None:
        """Wait until no rollout is on the page any more."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            last = re.split(r"^\S+ \(dev\) ", watched.read_text(), flags=re.MULTILINE)[-1]
            if ": live " in last and "\nrollout " not in last:
                return
            time.sleep(0.2)
        raise AssertionError(f"no end of the rollout in {PATIENCE_S} s:\n{watched.read_text()}")

    def _run(self, command: str) -> str:
        self._type(f"{command}\nprintf '\\n%s\\n' END-OF-BLOCK\n")
        deadline, said = time.monotonic() + PATIENCE_S, []
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(
                    f"{command}: no end in {PATIENCE_S} s:\n{''.join(said)}"
                ) from None
            assert line is not None, f"the shell has ended:\n{''.join(said)}"
            if line == "END-OF-BLOCK\n":
                return "".join(said)
            said.append(line)

    def _type(self, text: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(text)
        self._bash.stdin.flush()

    def _read(self) -> None:
        assert self._bash.stdout is not None
        for line in self._bash.stdout:
            self._lines.put(line)
        self._lines.put(None)
