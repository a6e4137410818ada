"""How often the evaluation cache spares a prediction, and what a look into it costs.

    python -m benchmarks.cache

The pattern of reads is the documented one (docs/configuration.md, "Cache"). Versions of a task come
one after another, on one data set. Each is predicted once, by its evaluation. Then 19 readings
follow: gates, model card, report and the comparison with the live version read the new version, 15
comparisons read versions so far, drawn by a seeded generator. Labels and scores are drawn as well,
for what was predicted makes no difference to a cache. Writes benchmarks/results/cache.json.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.harness import provenance, save
from benchmarks.local_redis import local_redis
from greenlight.adapters.caches.memory import MemoryCache
from greenlight.adapters.caches.redis import RedisCache
from greenlight.adapters.clock import SystemClock
from greenlight.core import fingerprint
from greenlight.ports import Prediction
from greenlight.ports.cache import Cache
from greenlight.remembering import remembered_predictions

VERSIONS = 50
OF_THE_NEW_ONE = 4
"""Gates, model card, report, comparison with the live version."""
OF_ANY = 15
"""Comparisons of versions so far."""
ROWS = 3080
"""As in BANKING77's test set."""
LABELS = 77
MIB = 2**20


def pattern(cache: Cache, versions: int, rows: int, rng: random.Random) -> dict[str, list[float]]:
    """Read as documented; returns the milliseconds of each reading that hit, and that missed.

    Those that missed are without the time to predict.
    """
    taken: dict[str, list[float]] = {"hit": [], "miss": []}
    for newest in range(versions):
        later = [rng.randrange(newest + 1) for _ in range(OF_ANY)]
        for version in [newest] * (1 + OF_THE_NEW_ONE) + later:
            kind, milliseconds = _read(cache, version, rows)
            taken[kind].append(milliseconds)
    return taken


def _read(cache: Cache, version: int, rows: int) -> tuple[str, float]:
    predicting: list[float] = []

    def predict() -> list[Prediction]:
        started = time.perf_counter()
        rng = random.Random(version)
        found = [
            Prediction(label=f"label_{rng.randrange(LABELS)}", score=rng.random())
            for _ in range(rows)
        ]
        predicting.append(time.perf_counter() - started)
        return found

    parts = ("rows", "code", "packages")
    key = {name: fingerprint.digest(name) for name in parts} | {
        "bundle": fingerprint.digest(version)
    }
    started = time.perf_counter()
    remembered_predictions(cache, key, predict)
    seconds = time.perf_counter() - started - sum(predicting)
    return ("miss" if predicting else "hit"), 1000 * seconds


@contextmanager
def _caches() -> Iterator[dict[str, Cache]]:
    """What is compared; the bound of the second is too small on purpose."""
    with tempfile.TemporaryDirectory() as folder, local_redis(folder) as url:
        redis = RedisCache(url, clock=SystemClock())
        yield {
            "memory, 64 MiB": MemoryCache(64 * MIB),
            "memory, 1 MiB": MemoryCache(MIB),
            "Redis": redis,
        }
        redis.close()


def measured(name: str, cache: Cache, versions: int, rows: int) -> dict[str, Any]:
    """The reads of so many versions, as results have them."""
    taken = pattern(cache, versions, rows, random.Random(2025))
    stats = cache.stats()
    return {
        "cache": name,
        "reads": stats.hits + stats.misses,
        "hit_ratio": stats.hit_ratio,
        "entries": stats.entries,
        "bytes": stats.bytes,
        "hit_ms": round(statistics.median(taken["hit"]), 3),
        "miss_ms": round(statistics.median(taken["miss"]), 3),
    }


def main() -> None:
    """Measure each cache."""
    began = provenance()
    runs: list[dict[str, Any]] = []
    with _caches() as caches:
        for name, cache in caches.items():
            runs.append(measured(name, cache, VERSIONS, ROWS))
            print(f"{name:16} hit ratio {runs[-1]['hit_ratio']:.1%}", runs[-1])
    save("cache", began, {"versions": VERSIONS, "rows": ROWS, "runs": runs})


if __name__ == "__main__":
    main()
