"""Every backend on every data set from its bundle; 8 bits against 32; what serving costs.

    python -m benchmarks.models [--seeds 3] [--bfloat16]

Where torch is installed (`pip install torch==2.13.0`) `encoder-finetune` is measured too, on
BANKING77, once for each seed: the encoder learns once (some ten minutes of one core, half of that
with --bfloat16 where the processor has it), and both forms of the bundle are made of it. Every
bundle of BANKING77 is then opened and asked in a process of its own on one core
(`benchmarks.asked`).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from benchmarks.harness import ROOT, provenance, save
from greenlight import artifacts, config, datasets, wiring
from greenlight.adapters.trainers.encoder_finetune import Settings
from greenlight.core.errors import MissingData
from greenlight.entrypoints.demo.project import TASK, Bar, write_config
from greenlight.models import bundle, encoded, encoder, finetuning
from greenlight.models.embedding import Embedder, EmbeddingCache, available_workers
from greenlight.models.features import Floats
from greenlight.ports import Example

BACKENDS = ("tfidf-linear", "char-ngram", "encoder-head")
SOURCES = ("banking77", "sample")
"""Data sets of texts with one label each."""
FORMS = {"int8": True, "fp32": False}
COMPARED = 500
"""Test texts whose embeddings are compared."""
ASKED = 1000
"""Test texts that are asked one at a time."""
SEED = 2025


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


class Forms:
    """The backends with an encoder on BANKING77, in both forms, and what they cost to serve."""

    def __init__(self, folder: Path) -> None:
        """Curate the rows as a run does."""
        self._folder = folder
        self.split = _rows(folder / "rows")
        self.pretrained = encoded.read(encoder.find(os.environ, silent))
        self._texts = folder / "texts.json"
        asked = [row.text for row in self.split["test"][:ASKED]]
        self._texts.write_text(json.dumps(asked), encoding="utf-8")

    def rows(self, seed: int) -> encoded.Rows:
        """What is learnt from."""
        train, validation = self.split["train"], self.split["validation"]
        labels = sorted({row.label for row in train})
        return encoded.Rows(train=train, validation=validation, labels=labels, seed=seed)

    def head(self) -> list[dict[str, Any]]:
        """`encoder-head` in both forms, and without telling scope."""
        made = [
            self._made("encoder-head", self.pretrained, SEED, encoded.HeadSettings(quantised=form))
            for form in FORMS.values()
        ]
        quiet = encoded.HeadSettings(oos_texts=0)
        return [*made, self._made("encoder-head", self.pretrained, SEED, quiet)]

    def finetuned(self, seed: int, bfloat16: bool) -> list[dict[str, Any]]:
        """`encoder-finetune` in both forms, of one learning."""
        settings = Settings(bfloat16=bfloat16)
        rows = self.rows(seed)
        texts, targets, count = rows.texts, rows.targets, len(rows.train)
        began = time.process_time()
        tuned = finetuning.tune(
            self.pretrained,
            finetuning.tokens(self.pretrained, texts[:count], targets[:count]),
            finetuning.tokens(self.pretrained, texts[count:], targets[count:]),
            len(rows.labels),
            settings.recipe(seed, available_workers()),
            silent,
        )
        spent = time.process_time() - began
        between = self.pretrained.towards(tuned.encoder, settings.blend)
        made = [
            self._made("encoder-finetune", between, seed, Settings(quantised=form))
            for form in FORMS.values()
        ]
        epochs = [epoch.validation_accuracy for epoch in tuned.epochs]
        return [
            {**one, "cpu_seconds": one["cpu_seconds"] + spent, "epochs": epochs} for one in made
        ]

    def _made(
        self,
        kind: bundle.Kind,
        pretrained: encoded.Pretrained,
        seed: int,
        settings: encoded.HeadSettings,
    ) -> dict[str, Any]:
        form = "int8" if settings.quantised else "fp32"
        out = self._folder / f"{kind}-{form}-{seed}-{settings.oos_texts}"
        rows = self.rows(seed)
        began = time.process_time()
        parts = pretrained.parts(quantised=settings.quantised)
        embedder = Embedder(parts.graph, parts.tokenizer, parts.token_limit)
        vectors = EmbeddingCache(self._folder / "embeddings", embedder).embed(
            rows.texts, workers=available_workers(), progress=silent
        )
        report = encoded.write(out, kind, rows, parts, vectors, settings, silent)
        spent = time.process_time() - began
        return {
            "backend": kind,
            "form": form,
            "seed": seed,
            "tells_scope": settings.oos_texts > 0,
            "cpu_seconds": spent,
            "validation_accuracy": report["validation_accuracy"],
            "test_accuracy": _accuracy(out, self.split["test"]),
            "bundle_bytes": sum(file.stat().st_size for file in out.iterdir()),
            "serving": self._asked(out),
        }

    def _asked(self, folder: Path) -> dict[str, Any]:
        """The second time round: by then the modules are compiled."""
        command = [sys.executable, "-m", "benchmarks.asked", str(folder), str(self._texts)]
        spoken = [
            subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
            for _ in range(2)
        ]
        found: dict[str, Any] = json.loads(spoken[1])
        return found


def _rows(folder: Path) -> dict[str, list[Example]]:
    """BANKING77's splits as a run curates them."""
    folder.mkdir()
    bar = Bar(backend="tfidf-linear", accuracy=0.0)
    path = write_config(folder, {}, "banking77", bar, 8400)
    with wiring.open_app(config.load(path, {})) as app:
        wiring.turn(app, TASK, initiator="bench", progress=silent)
    (curated,) = (folder / "data" / "processed").iterdir()
    names = ("train", "validation", "test")
    return {name: list(artifacts.read_rows(curated, name, Example)) for name in names}


def _accuracy(folder: Path, rows: list[Example]) -> float:
    said = bundle.load(folder).predict([row.text for row in rows])
    return float(np.mean([made.label == row.label for made, row in zip(said, rows, strict=True)]))


def cosines() -> dict[str, float]:
    """Cosine between int8 and float embeddings of the sample's test texts: mean and least."""
    pretrained = encoded.read(encoder.find(os.environ, silent))
    texts = [row.text for row in datasets.load("sample").test][:COMPARED]
    whole, small = (_embed(pretrained, texts, quantised=form) for form in (False, True))
    cosine = (whole * small).sum(axis=1)
    return {"mean": float(cosine.mean()), "least": float(cosine.min()), "texts": len(texts)}


def _embed(pretrained: encoded.Pretrained, texts: list[str], *, quantised: bool) -> Floats:
    parts = pretrained.parts(quantised=quantised)
    embedder = Embedder(parts.graph, parts.tokenizer, parts.token_limit)
    return np.asarray(embedder.embed(texts, workers=2, progress=silent))


def forms(seeds: int, bfloat16: bool) -> list[dict[str, Any]]:
    """Both backends with an encoder; `encoder-finetune` where torch is installed."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Forms(Path(folder))
        found = bench.head()
        if importlib.util.find_spec("torch") is not None:
            for seed in track(range(seeds), "encoder-finetune"):
                found += bench.finetuned(SEED + seed, bfloat16)
    return found


def main() -> None:
    """Measure and write the result; a data set that cannot be had is said to be missing."""
    words = argparse.ArgumentParser()
    words.add_argument("--seeds", type=int, default=3, help="of encoder-finetune")
    words.add_argument("--bfloat16", action="store_true", help="products of 16 bits in learning")
    asked = words.parse_args()
    began = provenance()
    runs, missing = [], []
    for source in track(SOURCES, "data sets"):
        try:
            runs += [measure(source, backend) for backend in BACKENDS]
        except MissingData as error:
            missing.append({"source": source, "why": str(error)})
    gone = {one["source"] for one in missing}
    found = {
        "runs": runs,
        "missing": missing,
        "int8_cosine": cosines(),
        "forms": [] if "banking77" in gone else forms(asked.seeds, asked.bfloat16),
    }
    save("models", began, found)


if __name__ == "__main__":
    main()
