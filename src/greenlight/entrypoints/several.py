"""Several gateway processes on one socket: what `greenlight gateway --workers N` runs.

The parent listens and answers nothing. Every child accepts from the same socket, is a replica of
its own with its own spool, and shares its metrics through a folder, so that whichever of them is
scraped tells of all. A child that dies is replaced; one that cannot start ends them all.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from types import FrameType

log = logging.getLogger(__name__)

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client knows that metrics are shared, and where."""
_PAUSE_SECONDS = 1.0
"""Before a child that died is replaced."""


class Several:
    """Runs so many children until it is told to stop."""

    def __init__(self, command: Sequence[str], count: int, listener: socket.socket) -> None:
        """Prepare; nothing is started yet.

        Args:
            command: of a child; `--child NUMBER --socket FD --tell FD` are added.
            count: how many children.
            listener: the socket that they accept from.
        """
        self._command = list(command)
        self._count = count
        self._listener = listener
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._stopping = False

    def run(self, ready: Callable[[], None]) -> int:
        """Run until SIGTERM or SIGINT; returns the exit status.

        Args:
            ready: called once all of them listen.
        """
        folder = tempfile.mkdtemp(prefix="greenlight-metrics-")
        told, tell = os.pipe()
        before = {n: signal.signal(n, self._stop) for n in (signal.SIGTERM, signal.SIGINT)}
        try:
            for number in range(1, self._count + 1):
                self._start(number, folder, tell)
            return self._watch(folder, told, tell, ready)
        finally:
            self._stop(signal.SIGTERM, None)
            for child in self._children.values():
                child.wait()
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(told)
            os.close(tell)
            shutil.rmtree(folder, ignore_errors=True)

    def _start(self, number: int, folder: str, tell: int) -> None:
        fd = self._listener.fileno()
        extra = ["--child", str(number), "--socket", str(fd), "--tell", str(tell)]
        self._children[number] = subprocess.Popen(
            [*self._command, *extra],
            pass_fds=(fd, tell),
            stdin=subprocess.PIPE,
            env={**os.environ, METRICS_FOLDER: folder},
        )

    def _watch(self, folder: str, told: int, tell: int, ready: Callable[[], None]) -> int:
        """Wait for children to end; those that had begun to listen are replaced."""
        os.set_blocking(told, False)
        listening = 0
        while True:
            listening += len(_read(told))
            if listening == self._count:
                ready()
                listening += 1
            dead = {n: child for n, child in self._children.items() if child.poll() is not None}
            for number, child in dead.items():
                del self._children[number]
                if self._stopping:
                    continue
                if listening < self._count:
                    return child.returncode or 1
                status = child.returncode
                log.error("gateway %d ended with status %s: starting it again", number, status)
                _forget(folder, child.pid)
                time.sleep(_PAUSE_SECONDS)
                if not self._stopping:
                    self._start(number, folder, tell)
            if not self._children:
                return 0
            time.sleep(0.05)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        for child in self._children.values():
            if child.poll() is None:
                child.terminate()


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 1024)
    except BlockingIOError:
        return b""


def _forget(folder: str, pid: int) -> None:
    """Take the gauges of a dead process out of what is shown; its counters stay."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
