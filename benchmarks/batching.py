"""Whether texts of several requests should be answered in one batch: CPU per text, by batch size.

    python -m benchmarks.batching

An encoder-head version is trained on the sample by the CLI, and its model asked as the gateway asks
it. Writes benchmarks/results/batching.json; docs/adr/0016 goes by it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.gateway.ours import sample_bundle
from benchmarks.harness import provenance, save
from greenlight.datasets import sample
from greenlight.models import bundle
from greenlight.ports import Model

SIZES = (1, 2, 4, 8, 16)
TEXTS = 64
ROUNDS = 15


def main() -> None:
    """Measure and save."""
    began = provenance()
    with tempfile.TemporaryDirectory() as folder:
        model = bundle.load(sample_bundle(Path(folder)))
        texts = [row.text for row in sample.load().test[:TEXTS]]
        model.predict(texts)
        rounds = [{size: _cpu(model, texts, size) for size in SIZES} for _ in range(ROUNDS)]
    found = {str(size): statistics.median(one[size] for one in rounds) for size in SIZES}
    ratios = {
        str(size): round(statistics.median(one[size] / one[1] for one in rounds), 3)
        for size in SIZES
    }
    for size in SIZES:
        print(
            f"{size:>2} at once: {found[str(size)]:.2f} ms of CPU per text, "
            f"{ratios[str(size)]:.0%} of one alone"
        )
    cpu = {size: round(value, 3) for size, value in found.items()}
    save("batching", began, {"texts": TEXTS, "rounds": ROUNDS, "cpu_ms": cpu, "ratio": ratios})


def _cpu(model: Model, texts: list[str], size: int) -> float:
    """Milliseconds of CPU per text."""
    began = time.process_time()
    for start in range(0, len(texts), size):
        model.predict(texts[start : start + size])
    return (time.process_time() - began) / len(texts) * 1000


if __name__ == "__main__":
    main()
