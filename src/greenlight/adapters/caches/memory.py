"""A cache in this process, bounded by bytes: what was used least recently goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict

from greenlight.ports.cache import CacheStats


class MemoryCache:
    """Implements `ports.Cache`."""

    def __init__(self, bound: int) -> None:
        """Start empty.

        Args:
            bound: the most that keys and values may take together, in bytes.
        """
        self._bound = bound
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._hits = 0
        self._misses = 0

    def get(self, key: str) -> bytes | None:
        """See `ports.Cache.get`."""
        with self._lock:
            value = self._entries.get(key)
            if value is None:
                self._misses += 1
                return None
            self._hits += 1
            self._entries.move_to_end(key)
            return value

    def put(self, key: str, value: bytes) -> None:
        """See `ports.Cache.put`; a value that alone is beyond the bound is not kept."""
        with self._lock:
            self._remove(key)
            if _cost(key, value) > self._bound:
                return
            self._entries[key] = value
            self._bytes += _cost(key, value)
            while self._bytes > self._bound:
                self._remove(next(iter(self._entries)))

    def drop(self, prefix: str) -> int:
        """See `ports.Cache.drop`."""
        with self._lock:
            found = [key for key in self._entries if key.startswith(prefix)]
            for key in found:
                self._remove(key)
            return len(found)

    def stats(self) -> CacheStats:
        """See `ports.Cache.stats`."""
        with self._lock:
            return CacheStats(
                hits=self._hits,
                misses=self._misses,
                entries=len(self._entries),
                bytes=self._bytes,
            )

    def close(self) -> None:
        """Nothing to release."""

    def _remove(self, key: str) -> None:
        value = self._entries.pop(key, None)
        if value is not None:
            self._bytes -= _cost(key, value)


def _cost(key: str, value: bytes) -> int:
    return len(key.encode()) + len(value)
