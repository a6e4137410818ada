"""The demo's processes: each a real one, with its log beside it, and none left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from greenlight.core.errors import GreenlightError

READY_WITHIN_S = 60.0
STOPS_WITHIN_S = 20.0


class DidNotStart(GreenlightError):
    """A process of the demo ended or stayed silent; the message quotes the end of its log."""


class Processes:
    """Starts `python -m MODULE …` by name and stops everything in the end, the newest first."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

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
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        with self._log(name).open("wb") as log, self._output(name).open("wb") as out:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env=environment,
            )

    def check(self) -> None:
        """Raise `DidNotStart` if any process has ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise DidNotStart(self._complaint(name, f"ended with {process.returncode}"))

    def await_ready(self, name: str, url: str) -> None:
        """Wait until `url` answers 200.

        Raises:
            DidNotStart: the process ended or did not get ready in time.
        """
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            self.check()
            try:
                with urllib.request.urlopen(url, timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise DidNotStart(self._complaint(name, f"was not ready after {READY_WITHIN_S:.0f} s"))

    def stop(self, name: str) -> str:
        """Ask a process to end (then make it) and return what it wrote to standard output."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return self._output(name).read_text(encoding="utf-8", errors="replace")

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
