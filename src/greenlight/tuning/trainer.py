"""The process that trains, seen from the server: started when it is needed, ended by force."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable, Sequence

import msgspec

from greenlight.tuning.orders import Learnt, Order, Said, Told
from greenlight.tuning.wire import JobError


class Trainer:
    """Carries out one order at a time; it is kept for the next, which then begins at once."""

    def __init__(self, command: Sequence[str]) -> None:
        """Name the program; `worker.main` is what it has to run."""
        self._command = list(command)
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def train(self, order: Order, tell: Callable[[Told], None]) -> Learnt | JobError:
        """Train, and wait for the end of it.

        Args:
            order: what to train.
            tell: called with what the training says meanwhile.

        Returns:
            What came of it, or why nothing did.
        """
        with self._turn:
            process = self._started()
            if process is None:
                return JobError(code="server_error", message="the server is ending")
            try:
                return _ask(process, order, tell)
            except BaseException:
                self.end()  # what it goes on to say must not be heard as of the next order
                raise

    def end(self) -> None:
        """End the process, whatever it does; the next order starts another."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process.wait()  # the next order must not be given to a process that dies

    def close(self) -> None:
        """End the process for good."""
        with self._lock:
            self._closed = True
        self.end()
        with self._turn:
            if self._process is not None:
                _let_go(self._process)

    def _started(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            process = self._process
            if process is not None and process.poll() is not None:
                _let_go(process)
                process = None
            if process is None and not self._closed:
                process = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            self._process = process
            return process


def _ask(
    process: subprocess.Popen[bytes], order: Order, tell: Callable[[Told], None]
) -> Learnt | JobError:
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # then there are no lines, either
        process.stdin.write(msgspec.json.encode(order) + b"\n")
        process.stdin.flush()
    for line in process.stdout:
        said = msgspec.json.decode(line, type=Said)
        if said.told is not None:
            tell(said.told)
        elif said.learnt is not None:
            return said.learnt
        elif said.error is not None:
            return said.error
    told = f"the process that trains ended with code {process.wait()}; the server's log may say why"
    return JobError(code="server_error", message=told)


def _let_go(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
    process.wait()
