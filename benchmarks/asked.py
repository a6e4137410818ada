"""One bundle in a fresh process on one core: what it takes to be there, and to answer a text.

    python -m benchmarks.asked BUNDLE TEXTS.json

Prints JSON. Times are CPU times. The process is that of `greenlight.entrypoints.model_server`, as
far as it is imported and its application built; texts are asked one at a time, in the process.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SHORT = 20
"""Words of the longest text that counts as short."""
WARM = 20
"""Texts that are asked before any is timed."""


def quantiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile, in ms, and of how many."""
    import numpy as np

    p50, p99 = np.quantile(np.array(milliseconds), [0.5, 0.99])
    return {"p50_ms": float(p50), "p99_ms": float(p99), "texts": len(milliseconds)}


def peak_mib() -> float:
    """The most memory that this process ever held. (`ru_maxrss` would count its parent's in.)"""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def main(bundle: str, texts: str) -> dict[str, Any]:
    """Load, then ask."""
    from greenlight.entrypoints import model_server  # noqa: F401 - what the process imports
    from greenlight.wiring.model_server import build_model_server

    build_model_server(Path(bundle), None)
    used = resource.getrusage(resource.RUSAGE_SELF)
    ready = {
        "load_s": used.ru_utime + used.ru_stime,
        "memory_mib": peak_mib(),
    }
    from greenlight.models import bundle as bundles

    model = bundles.load(bundle)
    asked = json.loads(Path(texts).read_text(encoding="utf-8"))
    for text in asked[:WARM]:
        model.predict([text])
    spent = []
    for text in asked:
        began = time.process_time()
        model.predict([text])
        spent.append((time.process_time() - began) * 1e3)
    short = [cost for text, cost in zip(asked, spent, strict=True) if len(text.split()) <= SHORT]
    return {**ready, "all": quantiles(spent), "short": quantiles(short)}


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):  # before anything counts the cores
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(json.dumps(main(*sys.argv[1:])))
