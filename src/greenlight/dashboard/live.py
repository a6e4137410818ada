"""News for browsers: a stream for each of them, and one look at the store for all.

What a page shows is known by a digest. A stream tells the digest at once and again whenever it has
become another one, at most once a pause; a page that shows another one fetches itself anew. Nobody
looks at the store while nobody listens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection

from greenlight.core.errors import NotFound
from greenlight.serving.http import NotReady

log = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two looks."""
MOST = 64
"""Streams at the same time."""
_QUIET = 15
"""Pauses without news after which a stream says that it is there, so that a dead one shows."""
_AGAIN = b"retry: 3000\n\n"
"""After so many milliseconds a browser that has lost its stream asks for another one."""


class News:
    """Tells listeners of a topic when it has changed. For one thread, the event loop's."""

    def __init__(
        self,
        topics: Callable[[], Collection[str]],
        look: Callable[[str], str],
        *,
        pause: float = PAUSE,
        most: int = MOST,
    ) -> None:
        """Prepare; the first listener starts the looking.

        Args:
            topics: what can be followed; looks at no store.
            look: the digest of a topic (one line); called in a thread.
            pause: seconds between two looks.
            most: streams at the same time.
        """
        self._topics = topics
        self._look = look
        self._pause = pause
        self._most = most
        self._listeners: dict[asyncio.Event, str] = {}
        self._seen: dict[str, str] = {}
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    async def listen(self, topic: str) -> tuple[bytes, AsyncGenerator[bytes, None]]:
        """A stream of server-sent events, whose data is the topic's digest: its first bytes, and
        what follows, which ends its listening when it is closed.

        Raises:
            NotFound: no such topic.
            NotReady: there are as many streams as there may be, or the process is about to end.
        """
        if topic not in self._topics():
            raise NotFound(f"topic {topic[:80]!r}: there are: {', '.join(self._topics())}")
        if self._closed:
            raise NotReady("this gateway is about to end")
        if len(self._listeners) >= self._most:
            raise NotReady(f"{self._most} pages are followed already; close one of them")
        woken = asyncio.Event()
        self._listeners[woken] = topic
        if self._looking is None:
            self._looking = asyncio.create_task(self._run(), name="news")
        stream = self._told(woken, topic)
        return await anext(stream), stream

    def close(self) -> None:
        """End every stream now, and let no other begin."""
        self._closed = True
        for woken in self._listeners:
            woken.set()
        if self._looking is not None:
            self._looking.cancel()

    async def _told(self, woken: asyncio.Event, topic: str) -> AsyncGenerator[bytes, None]:
        told, quiet = "", 0
        try:
            yield _AGAIN
            while not self._closed:
                woken.clear()
                digest = self._seen.get(topic, told)
                if digest != told:
                    told, quiet = digest, 0
                    yield b"data: %s\n\n" % digest.encode()
                elif quiet >= _QUIET:
                    quiet = 0
                    yield b": still here\n\n"
                await woken.wait()
                quiet += 1
        finally:
            del self._listeners[woken]

    async def _run(self) -> None:
        try:
            while self._listeners and not self._closed:
                topics = set(self._listeners.values())
                await self._see(topics)
                for woken in self._listeners:
                    woken.set()
                await asyncio.sleep(self._pause)
        finally:
            self._looking = None
            self._seen.clear()

    async def _see(self, topics: set[str]) -> None:
        """Look at every topic; a store that is down is no news."""
        try:
            self._seen.update(
                await asyncio.to_thread(lambda: {topic: self._look(topic) for topic in topics})
            )
        except Exception:
            log.exception("news: the store could not be read")
