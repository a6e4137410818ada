"""A gateway's signs of life: what it routes by, and how far its events are in the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from greenlight.core.records import SECOND, Replica
from greenlight.ports import Events

log = logging.getLogger(__name__)


class Heartbeat:
    """Gives signs of life, one after the other."""

    def __init__(self, events: Events, sign: Callable[[], Replica], pause: int) -> None:
        """Prepare; nothing is said yet.

        Args:
            events: where the signs go.
            sign: what there is to say at the moment.
            pause: between two of them, in microseconds.
        """
        self._events = events
        self._sign = sign
        self._pause = pause
        self._heard = True
        self.beating: asyncio.Future[None] | None = None
        """The sign of life that was sent last."""

    async def run(self) -> None:
        """Give them for ever."""
        while True:
            await self.beat(self._sign())
            await asyncio.sleep(self._pause / SECOND)

    async def beat(self, sign: Replica) -> None:
        """Give one."""
        if self.beating is not None:
            # One that was cancelled is still on its way, and must not come after this one.
            await asyncio.wait((self.beating,))
        try:
            self.beating = asyncio.ensure_future(asyncio.to_thread(self._events.heartbeat, sign))
            self.beating.add_done_callback(_heeded)
            await asyncio.shield(self.beating)
            self._heard = True
        except Exception:
            # Silence is what the controller must see then; the next sign of life may get through.
            if self._heard:
                log.exception("heartbeat: the store does not hear this gateway")
            self._heard = False


def _heeded(beat: asyncio.Future[None]) -> None:
    """Nobody may be left to see what a cancelled one raises."""
    if not beat.cancelled():
        beat.exception()
