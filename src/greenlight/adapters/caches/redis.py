"""A cache in a Redis that several processes share.

Each value lies behind the SHA-256 of its key and itself, so that a damaged or misplaced entry is a
miss. That finds accidents, not forgeries: whoever can write to the Redis is trusted.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from greenlight.core.breaker import CircuitBreaker
from greenlight.core.records import DAY, MILLISECOND, SECOND
from greenlight.ports import Clock
from greenlight.ports.cache import CacheStats

log = logging.getLogger(__name__)

T = TypeVar("T")

NAMESPACE = "greenlight:"
"""What every key begins with, for the Redis may serve others as well."""
KEPT = 30 * DAY
"""How long an entry lives; reading it does not prolong that."""
PAGE = 500
DIGEST = hashlib.sha256().digest_size


class RedisCache:
    """Implements `ports.Cache`. A Redis that is away has nothing: one warning, no failure.

    A call is not repeated. `failures` of them in a row open a breaker for `reset`, so that an
    evaluation does not wait for every entry of a Redis that does not answer.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        password: str | None = None,
        timeout: int = 250 * MILLISECOND,
        failures: int = 3,
        reset: int = 10 * SECOND,
    ) -> None:
        """Prepare; the first call connects.

        Args:
            url: `redis://host:port/database`, `rediss://…` with TLS, `unix://path`. It stands in
                warnings, so the password does not stand in it.
            clock: tells the breaker the time.
            password: of the Redis.
            timeout: of connecting and of one call, in microseconds.
            failures: consecutive failures that open the breaker.
            reset: how long it stays open before one call tries again, in microseconds.
        """
        self._url = url
        self._clock = clock
        self._client = redis.Redis.from_url(
            url,
            password=password,
            socket_timeout=timeout / SECOND,
            socket_connect_timeout=timeout / SECOND,
            retry=Retry(NoBackoff(), 0),
        )
        self._lock = threading.Lock()
        self._breaker = CircuitBreaker(failures, reset)
        self._away = False
        self._hits = 0
        self._misses = 0

    def get(self, key: str) -> bytes | None:
        """See `ports.Cache.get`."""
        kept: Any = self._ask(lambda client: client.get(NAMESPACE + key))
        value = None if kept is None else _unpack(key, kept)
        if kept is not None and value is None:
            log.warning("cache %s: the entry %s is damaged; it is not used", self._url, key)
        with self._lock:
            if value is None:
                self._misses += 1
            else:
                self._hits += 1
        return value

    def put(self, key: str, value: bytes) -> None:
        """See `ports.Cache.put`."""
        packed = _digest(key, value) + value
        self._ask(lambda client: client.set(NAMESPACE + key, packed, px=KEPT // MILLISECOND))

    def drop(self, prefix: str) -> int | None:
        """See `ports.Cache.drop`; it walks over all keys, so it is for rare occasions."""
        return self._ask(lambda client: _drop(client, prefix))

    def stats(self) -> CacheStats:
        """See `ports.Cache.stats`; counts what every process has put there."""
        measured = self._ask(_measure)
        entries, size = (None, None) if measured is None else measured
        with self._lock:
            return CacheStats(hits=self._hits, misses=self._misses, entries=entries, bytes=size)

    def close(self) -> None:
        """See `ports.Cache.close`."""
        self._client.close()

    def _ask(self, question: Callable[[redis.Redis], T]) -> T | None:
        """The answer, or None if there is none in time or the breaker is open."""
        with self._lock:
            ticket = self._breaker.admit(self._clock.now())
        if ticket is None:
            return None
        try:
            answer = question(self._client)
        except (redis.RedisError, OSError) as error:
            with self._lock:
                self._breaker.failed(ticket, self._clock.now())
                first, self._away = not self._away, True
            if first:
                log.warning("cache %s: %s; going on without it", self._url, error)
            return None
        with self._lock:
            self._breaker.succeeded(ticket, self._clock.now())
            self._away = False
        return answer


def _drop(client: redis.Redis, prefix: str) -> int:
    dropped = 0
    for page in _pages(client, prefix):
        dropped += int(client.unlink(*page))
    return dropped


def _measure(client: redis.Redis) -> tuple[int, int]:
    """Entries, and bytes of their values."""
    keys = {key for page in _pages(client, "") for key in page}
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.strlen(key)
    lengths = [length for length in pipeline.execute() if length]
    return len(lengths), sum(length - DIGEST for length in lengths)


def _pages(client: redis.Redis, prefix: str) -> Iterator[list[bytes]]:
    """Keys that begin so, page by page; one may come twice."""
    pattern = re.sub(r"([\\*?\[\]^-])", r"\\\1", NAMESPACE + prefix) + "*"
    cursor = 0
    while True:
        answer: Any = client.scan(cursor, match=pattern, count=PAGE)
        cursor, page = answer
        if page:
            yield page
        if cursor == 0:
            return


def _digest(key: str, value: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\0" + value).digest()


def _unpack(key: str, kept: bytes) -> bytes | None:
    digest, value = kept[:DIGEST], kept[DIGEST:]
    return value if digest == _digest(key, value) else None
