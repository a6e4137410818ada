"""Servers as processes: started on one core, paused, ended; what they use, from /proc."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from greenlight.core.errors import GreenlightError

STOPS_WITHIN_S = 15.0
LOOK_S = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")
_QUIET_S, _QUIET = 0.5, 0.1
"""A server is quiet that uses less than this share of a core for so long."""
_PATIENCE_S = 15.0
_TAIL = 1500


class NotMeasured(GreenlightError):
    """A server that cannot be installed, started or asked; the message says why."""


def cores() -> tuple[int, int]:
    """One core for users and provider, one for the server under test; where there is one, both."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """What is started inside may run on this core only."""
    thread = threading.get_native_id()
    before = os.sched_getaffinity(thread)
    os.sched_setaffinity(thread, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(thread, before)


def tree(pid: int) -> list[int]:
    """A process and its descendants, as far as they still run."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found, at = [pid], 0
    while at < len(found):
        found += children.get(found[at], [])
        at += 1
    return found


def cpu_seconds(pid: int) -> float:
    """CPU of a process, of its descendants, and of those that have ended."""
    ticks = 0
    for one in tree(pid):
        with suppress(OSError):
            # utime, stime, and both of the children that were waited for (proc_pid_stat(5)).
            ticks += sum(int(field) for field in _stat(one)[11:15])
    return ticks / _TICKS


def resident_mb(pid: int) -> float:
    """Resident memory of a process and its descendants; what they share counts for each."""
    pages = 0
    for one in tree(pid):
        with suppress(OSError):
            pages += int(Path(f"/proc/{one}/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def settled(pid: int) -> float:
    """CPU of a process once it is quiet: what it put off while it was asked counts, too."""
    deadline, spent = time.monotonic() + _PATIENCE_S, cpu_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(_QUIET_S)
        before, spent = spent, cpu_seconds(pid)
        if spent - before < _QUIET * _QUIET_S:
            break
    return spent


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on: a name before them may hold anything."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()


class Process:
    """A server in a process group of its own, on one core; its output goes to a file."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        core: int,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start it.

        Args:
            command: what to run.
            core: the core that it may use.
            log: where its output goes.
            env: set on top of the environment.
            cwd: where it runs.

        Raises:
            NotMeasured: there is no such program.
        """
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        # A proxy for the world outside has no business between processes of one machine.
        around = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        with log.open("wb") as out, pinned(core):
            self.began = time.perf_counter()
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env={**around, "PYTHONUNBUFFERED": "1", **(env or {})},
                    cwd=cwd,
                    start_new_session=True,
                )
            except OSError as error:
                raise NotMeasured(f"{command[0]}: {error.strerror}") from error
        self.pid = self._process.pid

    def check(self) -> None:
        """See that it runs.

        Raises:
            NotMeasured: it has ended; the message has the end of its log.
        """
        if self._process.poll() is not None:
            raise NotMeasured(f"it ended with {self._process.returncode}: {self.tail()}")

    def said(self, mark: str, within: float) -> str:
        """The first word of its output that begins so.

        Raises:
            NotMeasured: it has ended, or said nothing of the kind in time.
        """
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines(True):
                for word in line.split() if line.endswith("\n") else []:
                    if word.startswith(mark):
                        return word
            self.check()
            time.sleep(LOOK_S)
        raise NotMeasured(f"it said no {mark}… within {within:.0f} s: {self.tail()}")

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip()

    def pause(self) -> None:
        """It and its children stand still."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """They run again."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """Ask it to end, then make it; nothing of its group is left."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOPS_WITHIN_S)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)
