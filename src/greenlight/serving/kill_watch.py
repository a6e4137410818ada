"""The kill switch at a gateway: looked at on a thread of its own, obeyed in the event loop.

Neither a store that hangs, nor who waits for it, nor a disk that does not answer keeps it from
being obeyed as soon as it has been read.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from greenlight.core.records import SECOND
from greenlight.ports.kill_switch import KillSwitch
from greenlight.serving.meters import Meters
from greenlight.serving.routing import RoutingTable

log = logging.getLogger(__name__)

_LOOK = 0.01


class KillWatch:
    """Keeps a routing table to what the kill switch says. Start and stop it in the event loop."""

    def __init__(
        self, switch: KillSwitch | None, table: RoutingTable, meters: Meters, poll: int
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            switch: where the words are read; None: there is no kill switch.
            table: obeys them.
            meters: where to count.
            poll: the pause between two looks, in microseconds.
        """
        self._switch = switch
        self._table = table
        self._meters = meters
        self._poll = poll / SECOND
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._faults: frozenset[str] = frozenset()

    async def start(self, within: float) -> None:
        """Look for the first time, for so many seconds at most, and go on in the background."""
        if self._switch is None:
            return
        loop, looked = asyncio.get_running_loop(), asyncio.Event()
        # Not one of asyncio's threads: they may all wait for the store.
        self._thread = threading.Thread(
            target=self._run, args=(self._switch, loop, looked), name="kill switch", daemon=True
        )
        self._thread.start()
        try:
            await asyncio.wait_for(looked.wait(), within)
        except TimeoutError:
            log.error("kill switch: it could not be read in %g s; going on without it", within)

    async def stop(self, within: float) -> None:
        """Look no more, and wait so many seconds at most for a look under way."""
        self._ending.set()
        until = time.monotonic() + within
        # Not by asyncio's threads: they may all wait for the store.
        while self._thread is not None and self._thread.is_alive() and time.monotonic() < until:
            await asyncio.sleep(_LOOK)

    def _run(
        self, switch: KillSwitch, loop: asyncio.AbstractEventLoop, looked: asyncio.Event
    ) -> None:
        while not self._ending.is_set():
            try:
                faults = switch.look()
            except Exception:
                log.exception("kill switch: it could not be read; what is known stays in force")
                faults = ()
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._obey, switch, faults, looked)
            self._ending.wait(self._poll)

    def _obey(self, switch: KillSwitch, faults: Sequence[str], looked: asyncio.Event) -> None:
        for task, entry in switch.entries().items():
            if self._table.standing(task) != entry.standing:
                self._table.obey(task, entry.standing)
                self._meters.killed(task, entry.standing)
                log.warning("kill switch: %s is %s", task, entry)
        for fault in sorted(set(faults) - self._faults):
            self._meters.kills_refused.inc()
            log.error("kill switch: %s", fault)
        self._faults = frozenset(faults)
        looked.set()
