"""A cache, as the stages see it."""

from __future__ import annotations

from typing import Protocol

import msgspec


class CacheStats(msgspec.Struct, frozen=True, kw_only=True):
    """How a cache fares: `hits` and `misses` of this process, what is in it now."""

    hits: int
    misses: int
    entries: int | None
    """None while nobody can tell, as of a Redis that is away."""
    bytes: int | None
    """Of the values and, where it counts them against its bound, the keys."""

    @property
    def hit_ratio(self) -> float | None:
        """The share of reads that found something; None before the first."""
        reads = self.hits + self.misses
        return self.hits / reads if reads else None


class Cache(Protocol):
    """Bytes that may be forgotten at any time; used from several threads at once.

    It never fails: what it cannot answer it does not have.
    """

    def get(self, key: str) -> bytes | None:
        """What was put under this key, exactly, or None."""
        ...

    def put(self, key: str, value: bytes) -> None:
        """Keep it, in place of what is there, or not."""
        ...

    def drop(self, prefix: str) -> int | None:
        """Forget everything whose key begins so; returns how many, None if that is not known."""
        ...

    def stats(self) -> CacheStats:
        """How it fares."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...
