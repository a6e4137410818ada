"""Every backend on every data set: accuracy and calibration from the bundle.

python -m benchmarks.models
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.progress import track
from safetensors.numpy import load_file

from benchmarks.harness import provenance, save
from greenlight import config, datasets, wiring
from greenlight.core.errors import MissingData
from greenlight.entrypoints.demo.project import TASK, Bar, write_config
from greenlight.models import encoder, encoder_graph
from greenlight.models.embedding import Embedder
from greenlight.models.features import Floats

BACKENDS = ("tfidf-linear", "char-ngram", "encoder-head")
COMPARED = 500
"""Test texts whose embeddings are compared."""


def silent(_share: float, _words: str) -> None:
    """The bar counts backends, not steps."""


def measure(source: str, backend: str) -> dict[str, Any]:
    """Train a backend and evaluate it from its bundle, as `greenlight run` does."""
    with tempfile.TemporaryDirectory() as folder:
        bar = Bar(backend=backend, accuracy=0.0)
        path = write_config(Path(folder), {}, source, bar, 8400)
        with wiring.open_app(config.load(path, {})) as app:
            made = wiring.turn(app, TASK, initiator="bench", progress=silent)
    test = made.evaluation.document["intent"]["test"]
    return {
        "source": source,
        "backend": backend,
        "accuracy": test["accuracy"],
        "ece": test["ece"]["value"],
        "bundle": made.version.bundle,
        "training_seconds": (made.training.at - made.training.started_at) / 1e6,
    }


def cosines() -> dict[str, float]:
    """Cosine between int8 and float embeddings of the sample's test texts: mean and least."""
    found = encoder.find(os.environ, silent)
    settings = msgspec.json.decode(
        (found.folder / encoder.CONFIG).read_bytes(), type=encoder_graph.EncoderConfig
    )
    tensors = load_file(found.folder / encoder.WEIGHTS)
    tokenizer = (found.folder / encoder.TOKENIZER).read_bytes()
    texts = [row.text for row in datasets.load("sample").test][:COMPARED]
    whole, small = (_embed(settings, tensors, tokenizer, texts, q) for q in (False, True))
    cosine = (whole * small).sum(axis=1)
    return {"mean": float(cosine.mean()), "least": float(cosine.min()), "texts": len(texts)}


def _embed(
    settings: encoder_graph.EncoderConfig,
    tensors: dict[str, Floats],
    tokenizer: bytes,
    texts: list[str],
    quantised: bool,
) -> Floats:
    graph = encoder_graph.build(settings, tensors, quantised=quantised)
    return np.asarray(Embedder(graph, tokenizer).embed(texts, workers=2, progress=silent))


def main() -> None:
    """Measure and write the result; a data set that cannot be had is said to be missing."""
    began = provenance()
    runs, missing = [], []
    for source in track(datasets.NAMES, "data sets"):
        try:
            runs += [measure(source, backend) for backend in BACKENDS]
        except MissingData as error:
            missing.append({"source": source, "why": str(error)})
    save("models", began, {"runs": runs, "missing": missing, "int8_cosine": cosines()})


if __name__ == "__main__":
    main()
