"""Processes of a demo or a drill: each a real one, its log beside it, and none left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from greenlight import config
from greenlight.core.errors import GreenlightError

READY_WITHIN_S = 60.0
STOPS_WITHIN_S = 20.0
LOOK_S = 0.1
_OTHERS = frozenset(
    {
        "PYTHONDONTWRITEBYTECODE",
        "GREENLIGHT_API_KEY",
        "GREENLIGHT_CONFIG",
        "GREENLIGHT_PERSON_KEY",
        *config.overrides(),
    }
)
"""Variables meant for another installation than the one that a process is started for: they would
make it write there, or speak for somebody whom it does not know."""


class DidNotStart(GreenlightError):
    """A process ended or stayed silent; the message quotes the end of its log."""


class Processes:
    """Starts `python -m MODULE …` by name and stops everything in the end, the newest first.

    What ends by itself is a failure here; a subclass may begin it again instead (`ended`), also
    from a thread of its own.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._commands: dict[str, list[str]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._jobs: dict[str, Callable[[], bool]] = {}
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)

    def start(self, name: str, module: str, *arguments: str) -> None:
        """Start a process; its output goes to logs/NAME.log (standard output to NAME.out)."""
        with self._lock:
            self._commands[name] = [sys.executable, "-m", module, *arguments]
            self._log(name).unlink(missing_ok=True)
            self._output(name).unlink(missing_ok=True)
            self.restart(name)

    def restart(self, name: str) -> None:
        """Begin a process that has ended again, as it was started; its log goes on."""
        environment = {k: v for k, v in os.environ.items() if k not in _OTHERS}
        with (
            self._lock,
            self._log(name).open("ab") as log,
            self._output(name).open("ab") as out,
        ):
            self._running[name] = subprocess.Popen(
                self._commands[name],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env=environment,
            )

    def see_through(
        self, name: str, module: str, *arguments: str, done: Callable[[], bool]
    ) -> None:
        """Run a process until its work is done.

        Args:
            name: what to call it.
            module: what to run.
            arguments: what to run it with.
            done: whether its work is done; asked when it has ended.

        Raises:
            DidNotStart: it ended before its work was done.
        """
        with self._lock:
            self._jobs[name] = done
            self.start(name, module, *arguments)
        while not self._is_over(name):
            time.sleep(LOOK_S)
        with self._lock:
            del self._running[name], self._jobs[name]

    def check(self) -> None:
        """See to what has ended by itself; see `ended`."""
        with self._lock:
            for name, process in list(self._running.items()):
                over = process.poll() is not None
                if over and not (name in self._jobs and self._jobs[name]()):
                    self.ended(name, process.returncode)

    def ended(self, name: str, code: int) -> None:
        """A process has ended that should not have, with this exit code (−9: SIGKILL).

        Raises:
            DidNotStart: always, here.
        """
        raise DidNotStart(self._complaint(name, f"ended with {code}"))

    def await_ready(self, name: str, url: str, key: str | None = None) -> None:
        """Wait until `url` answers 200; `key` is shown to it.

        Raises:
            DidNotStart: the process ended or did not get ready in time.
        """
        asked = urllib.request.Request(url)
        if key is not None:
            asked.add_unredirected_header("Authorization", f"Bearer {key}")
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            self.check()
            try:
                with urllib.request.urlopen(asked, timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(LOOK_S)
        raise DidNotStart(self._complaint(name, f"was not ready after {READY_WITHIN_S:.0f} s"))

    def stop(self, name: str) -> str:
        """Ask a process to end (then make it) and return what it wrote to standard output."""
        with self._lock:
            process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return self._output(name).read_text(encoding="utf-8", errors="replace")

    def _is_over(self, name: str) -> bool:
        """Whether a process has ended with its work done."""
        self.check()
        with self._lock:
            return self._running[name].poll() is not None and self._jobs[name]()

    def _complaint(self, name: str, what: str) -> str:
        tail = self._log(name).read_text(encoding="utf-8", errors="replace")[-2000:]
        return f"{name} {what}; the end of {self._log(name)}:\n{tail}"

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _output(self, name: str) -> Path:
        return self._logs / f"{name}.out"


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
