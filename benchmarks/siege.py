"""Processes under siege: a seeded monkey kills them with SIGKILL, a supervisor begins them again.

The supervisor does what systemd or Kubernetes would: the same command, at once. Nothing that is
killed gets to know before.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np

from greenlight.entrypoints.processes import LOOK_S, READY_WITHIN_S, DidNotStart, Processes

LOOKS_EVERY_S = 0.02
USERS = "traffic"
"""The process that stands for users; kills while it runs are felt by somebody."""
REFUSED = 2
"""What a command ends with that finds its work in other hands, such as those of a process that was
killed a moment ago."""

Probe = Callable[[float], bool]


class Victim(msgspec.Struct, frozen=True, kw_only=True):
    """How a process is hunted: killed between `gap` seconds after it was begun or, with `working`,
    after it was up."""

    gap: tuple[float, float]
    working: bool = False
    most: int | None = None
    """How often at the most from when it is first started; None: for ever."""


class Life(msgspec.Struct, kw_only=True):
    """What became of a process. Times are of the monotonic clock, in seconds."""

    left: int | None
    due: float | None = None
    """When the monkey comes."""
    begun_at: float = 0.0
    down_since: float | None = None
    up: bool = False
    kills: int = 0
    felt: int = 0
    restarts: int = 0
    down: list[float] = []


class Siege(Processes):
    """Processes that are killed at random moments and begun again."""

    def __init__(
        self,
        logs: Path,
        victims: Mapping[str, Victim],
        seed: int,
        probes: Mapping[str, Probe] | None = None,
    ) -> None:
        """Set up; nothing is started or killed yet.

        Args:
            logs: folder for the logs.
            victims: whom the monkey hunts, by name.
            seed: of the moments.
            probes: by name, whether a process is up that was begun so many seconds ago; without
                one, `await_ready` says by its URL, else by its saying something on standard output.
        """
        super().__init__(logs)
        self._victims = victims
        self._probes = dict(probes or {})
        self._rng = {
            name: np.random.default_rng([seed, number]) for number, name in enumerate(victims)
        }
        self._lives: dict[str, Life] = {}
        self._said: dict[str, int] = {}
        self._over = threading.Event()
        self._failure: DidNotStart | None = None
        self._thread = threading.Thread(target=self._besiege, name="siege", daemon=True)

    def __enter__(self) -> Self:
        super().__enter__()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the siege, let what is down come up once more, and stop everything in peace."""
        try:
            if kind is None:
                self.relieve()
        finally:
            self._over.set()
            self._thread.join()
            super().__exit__(kind, error, trace)

    def relieve(self) -> None:
        """No more kills; returns when all that runs is up.

        Raises:
            DidNotStart: something does not come up.
        """
        with self._lock:
            self._victims = {}
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            self.check()
            with self._lock:
                if all(life.up for name, life in self._lives.items() if name in self._running):
                    return
            time.sleep(LOOK_S)
        raise DidNotStart("not everything came up after the siege")

    def kill(self, name: str) -> None:
        """SIGKILL, now."""
        with self._lock:
            life, now = self._lives[name], time.monotonic()
            os.kill(self._running[name].pid, signal.SIGKILL)
            self._running[name].wait()
            life.kills += 1
            life.felt += USERS in self._running
            life.left = None if life.left is None else life.left - 1
            life.up, life.due = False, None
            life.down_since = now if life.down_since is None else life.down_since

    def report(self) -> dict[str, dict[str, Any]]:
        """By process: kills, those while users were there, restarts (a job's also after it found
        its work in a killed one's hands), and the seconds from a kill until it was up again."""
        return {
            name: {
                "kills": life.kills,
                "with_users": life.felt,
                "restarts": life.restarts,
                "down_s": round(sum(life.down), 1),
                "longest_down_s": round(max(life.down, default=0.0), 1),
            }
            for name, life in self._lives.items()
            if life.kills
        }

    def start(self, name: str, module: str, *arguments: str) -> None:
        """See `Processes.start`."""
        with self._lock:
            life = self._lives.setdefault(name, Life(left=None))
            life.left = self._victims[name].most if name in self._victims else 0
            super().start(name, module, *arguments)

    def restart(self, name: str) -> None:
        """See `Processes.restart`."""
        with self._lock:
            super().restart(name)
            life = self._lives[name]
            life.begun_at, life.up, life.due = time.monotonic(), False, None
            self._said[name] = self._output(name).stat().st_size
            if name in self._victims and not self._victims[name].working:
                self._appoint(name, life)

    def await_ready(self, name: str, url: str, key: str | None = None) -> None:
        """See `Processes.await_ready`; nothing that is besieged asks for a key."""
        self._probes[name] = lambda _: _answers(url)
        super().await_ready(name, url, key)

    def check(self) -> None:
        """See `Processes.check`."""
        if self._failure is not None:
            raise self._failure
        super().check()

    def ended(self, name: str, code: int) -> None:
        """Begin again what was killed, and a job that found its work in a killed one's hands."""
        if code != -signal.SIGKILL and not (name in self._jobs and code == REFUSED):
            super().ended(name, code)
        self.restart(name)
        self._lives[name].restarts += 1

    def _besiege(self) -> None:
        while not self._over.wait(LOOKS_EVERY_S):
            try:
                self.check()
            except DidNotStart as failure:
                self._failure = failure
                return
            for name in list(self._lives):
                self._visit(name)

    def _visit(self, name: str) -> None:
        life = self._lives[name]
        if name in self._running and not life.up and self._is_up(name):
            with self._lock:
                self._came_up(name, life)
        with self._lock:
            hunted = name in self._victims and name in self._running and life.left != 0
            late = life.due is not None and time.monotonic() >= life.due
            if hunted and late and self._running[name].poll() is None:
                self.kill(name)

    def _came_up(self, name: str, life: Life) -> None:
        if name not in self._running or self._running[name].poll() is not None:
            return
        life.up = True
        if life.down_since is not None:
            life.down.append(time.monotonic() - life.down_since)
            life.down_since = None
        if name in self._victims and life.due is None:
            self._appoint(name, life)

    def _appoint(self, name: str, life: Life) -> None:
        life.due = time.monotonic() + self._rng[name].uniform(*self._victims[name].gap)

    def _is_up(self, name: str) -> bool:
        probe = self._probes.get(name)
        if probe is not None:
            return probe(time.monotonic() - self._lives[name].begun_at)
        return self._output(name).stat().st_size > self._said[name]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=0.5):
            return True
    except (urllib.error.URLError, OSError):
        return False
