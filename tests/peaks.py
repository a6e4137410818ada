"""What memory something takes, measured where nothing else takes any."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

T = TypeVar("T")


def peaks(task: Callable[[T], object], *sizes: T) -> list[int]:
    """The most bytes of Python's that a task holds at once, by size, in a process of its own.

    In the process of a test the threads of others allocate as well, and what was imported, compiled
    or remembered before depends on which tests came first.

    Args:
        task: a function of a module.
        sizes: what it is called with, one after the other; with the first of them also once before,
            which is not measured and leaves behind what only a first call makes.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_peaks, task, sizes).result()


def _peaks(task: Callable[[T], object], sizes: Sequence[T]) -> list[int]:
    task(sizes[0])
    found = []
    for size in sizes:
        tracemalloc.start()
        try:
            task(size)
            found.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return found
