"""All of it in one run, part by part; the numbers as they are saved."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks import cache, collecting
from benchmarks.pages import Found
from benchmarks.pipeline import guarding, rows
from benchmarks.pipeline.asking import Latency, evaluations
from benchmarks.pipeline.goals import goals
from benchmarks.pipeline.uploading import uploads
from greenlight.adapters.caches.memory import MemoryCache


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """How much is done."""

    answers: int = collecting.ANSWERS
    """In the store when queries are counted."""
    one_by_one: int = collecting.ONE_BY_ONE
    """Of them, those that are asked for one at a time."""
    texts: int = 200
    """Of an evaluation at a provider."""
    latency: Latency = Latency()
    jobs: int = 10
    """Whose files are uploaded."""
    job_rows: int = 1_000
    sizes: tuple[int, ...] = (100_000, 1_000_000)
    """Rows that stages and exports take."""
    versions: int = cache.VERSIONS
    test_rows: int = cache.ROWS
    calls: int = 5_000
    """Of each kind, with a breaker and without."""


QUICK = Effort(
    answers=4_000,
    one_by_one=200,
    texts=40,
    latency=Latency(median_s=0.05),
    jobs=2,
    job_rows=100,
    sizes=(2_000, 10_000),
    versions=10,
    test_rows=100,
    calls=500,
)


def _queries(effort: Effort, parent: str | None) -> Found:
    with tempfile.TemporaryDirectory(dir=parent) as name:
        return collecting.compare(Path(name), effort.answers, effort.one_by_one)


def _asking(effort: Effort, _parent: str | None) -> Found:
    return {
        "evaluations": evaluations(effort.texts, effort.latency),
        "uploads": uploads(effort.job_rows, effort.latency, effort.jobs),
    }


def _cache(effort: Effort, _parent: str | None) -> Found:
    kept = MemoryCache(64 * cache.MIB)
    return cache.measured("memory, 64 MiB", kept, effort.versions, effort.test_rows)


def _breaker(effort: Effort, _parent: str | None) -> Found:
    return guarding.measure(effort.calls)


PARTS: dict[str, Callable[[Effort, str | None], object]] = {
    "queries": _queries,
    "asking": _asking,
    "stages": lambda effort, parent: rows.stages(effort.sizes, parent),
    "cache": _cache,
    "breaker": _breaker,
    "exports": lambda effort, parent: rows.exports(effort.sizes, parent),
}
"""By the name that they have in the results."""


def measure(parts: Sequence[str], effort: Effort, parent: str | None = None) -> Found:
    """Measure parts one after the other.

    Args:
        parts: of `PARTS`.
        effort: how much is done.
        parent: a folder for what is made meanwhile.
    """
    busy = round(os.getloadavg()[0], 2)
    setting = {**msgspec.to_builtins(effort), "load_average": busy}
    found: Found = {"setting": setting, "seconds": {}}
    for part in parts:
        print(f"{part} …", flush=True)
        began = time.perf_counter()
        found[part] = PARTS[part](effort, parent)
        found["seconds"][part] = round(time.perf_counter() - began, 1)
    found["goals"] = goals(found)
    numbers: Found = msgspec.to_builtins(found)
    return numbers
