"""The cache, where it is a Redis."""

from __future__ import annotations

from collections.abc import Iterator

from greenlight.config import CacheSettings
from greenlight.core.errors import ConfigError
from greenlight.wiring.caching import open_cache
from greenlight.wiring.doctor.finding import Finding, Subject, fault, ok, warning


def cache(subject: Subject) -> Iterator[Finding]:
    """A PING. Without its Redis everything works and is predicted again, so that is a warning."""
    wanted = subject.settings.cache
    if wanted.url == CacheSettings().url:
        yield ok("cache", f"{wanted.url}: in this process, at most {wanted.bound // 2**20} MiB")
        return
    try:
        with open_cache(subject.settings, subject.environ):
            pass
    except ConfigError as error:
        yield fault("cache", "; ".join(error.problems), "set it as the line before says")
        return
    import redis

    password = subject.environ.get((wanted.password or "").removeprefix("env:"))
    try:
        with redis.Redis.from_url(
            wanted.url,
            password=password,
            socket_timeout=subject.patience,
            socket_connect_timeout=subject.patience,
        ) as client:
            client.ping()
    except redis.AuthenticationError as error:
        yield fault(
            "cache",
            f"{wanted.url}: {error}",
            'put the right password into the variable of cache.password = "env:NAME"',
        )
    except (redis.RedisError, OSError) as error:
        yield warning(
            "cache",
            f"{wanted.url}: {error}; evaluations predict everything anew",
            "start the Redis, correct cache.url, or leave [cache] out",
        )
    else:
        yield ok("cache", f"{wanted.url}: answers PING")
