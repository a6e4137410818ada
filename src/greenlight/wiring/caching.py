"""The cache of one installation."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from greenlight.adapters.caches.memory import MemoryCache
from greenlight.adapters.clock import SystemClock
from greenlight.config import CacheSettings, Settings
from greenlight.core.errors import ConfigError
from greenlight.ports import Clock
from greenlight.ports.cache import Cache


@contextmanager
def open_cache(settings: Settings, environ: Mapping[str, str] = os.environ) -> Iterator[Cache]:
    """The cache that the settings ask for; it is closed in the end.

    A Redis is first asked when something is looked up, and one that is away is no error.

    Raises:
        ConfigError: the library for Redis is not installed, or the password's variable is not set.
    """
    wanted = settings.cache
    if wanted.url == CacheSettings().url:
        cache: Cache = MemoryCache(wanted.bound)
    else:
        cache = _redis(wanted, environ, SystemClock())
    try:
        yield cache
    finally:
        cache.close()


def _redis(settings: CacheSettings, environ: Mapping[str, str], clock: Clock) -> Cache:
    password = None
    if settings.password is not None:
        name = settings.password.removeprefix("env:")
        password = environ.get(name)
        if not password:
            raise ConfigError([f"cache.password: the variable {name} is not set"])
    try:
        from greenlight.adapters.caches.redis import RedisCache
    except ModuleNotFoundError as error:
        if error.name != "redis":
            raise
        fix = "pip install 'greenlight-ml[redis]'"
        problem = f"cache.url: {settings.url} takes the package redis; run {fix}"
        raise ConfigError([problem]) from error
    return RedisCache(settings.url, clock=clock, password=password, timeout=settings.timeout)
