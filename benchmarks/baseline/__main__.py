"""What plain methods reach on BANKING77 and WNUT-2017, and their train-validation gaps.

    python -m benchmarks.baseline
    python -m benchmarks.baseline.page

The backends are trained and judged as `greenlight run` does it, with several seeds: each draws
validation rows of its own. Nothing is chosen here: options are the defaults.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks.baseline.words import TAGGERS
from benchmarks.harness import provenance, save
from eval import ner_eval
from greenlight import artifacts, config, datasets, wiring
from greenlight.adapters.trainers.sparse import SparseTrainer
from greenlight.core import tagging
from greenlight.models.features import WORDS
from greenlight.ports import Example

BACKENDS = ("tfidf-linear", "char-ngram", "encoder-head")
SEEDS = (2025, 1, 2)
COSTS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""What a misplaced training text costs against large weights; 1 is the default."""

CONFIG = """\
[project]
name = "baseline"

[tasks.intent]
kind = "classify"
[tasks.intent.dataset]
source = "banking77"
[tasks.intent.train]
backend = "{backend}"
seed = {seed}
"""


def silent(_share: float, _words: str) -> None:
    """The bar counts runs, not steps."""


def labels(backend: str, seed: int) -> dict[str, Any]:
    """One run of the pipeline on BANKING77."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "greenlight.toml")
        path.write_text(CONFIG.format(backend=backend, seed=seed), encoding="utf-8")
        began = time.process_time()
        with wiring.open_app(config.load(path, {})) as app:
            made = wiring.turn(app, "intent", initiator="bench", progress=silent)
        seconds = time.process_time() - began
    document = made.evaluation.document
    intent = document["intent"]
    return {
        "backend": backend,
        "seed": seed,
        "test": intent["test"]["accuracy"],
        "macro_f1": intent["test"]["macro_f1"]["value"],
        "ece": intent["test"]["ece"]["value"],
        "validation": intent["validation"]["accuracy"]["value"],
        "train": intent["train"]["accuracy"]["value"],
        "gap": intent["train_val_gap"]["value"],
        "warnings": [warning["reason"] for warning in document["warnings"]],
        "shuffled": document["sanity"]["shuffled_labels"]["accuracy"]["value"],
        "bundle": made.version.bundle,
        "cpu_seconds": round(seconds, 1),
    }


def penalties(seed: int) -> list[dict[str, Any]]:
    """The gap of `tfidf-linear` as its weights are held smaller or larger."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "greenlight.toml")
        path.write_text(CONFIG.format(backend="tfidf-linear", seed=seed), encoding="utf-8")
        with wiring.open_app(config.load(path, {})) as app:
            made = wiring.turn(app, "intent", initiator="bench", progress=silent)
            rows = app.datasets.path(made.evaluation.document["dataset"]["digest"])
        train, validation = (
            artifacts.read_rows(rows, split, Example) for split in ("train", "validation")
        )
        for cost in COSTS:
            trained = SparseTrainer("tfidf-linear", WORDS).train(
                train=train,
                validation=validation,
                labels=sorted({row.label for row in train}),
                config={"C": cost},
                seed=seed,
                out=str(Path(folder, f"bundle-{cost}")),
                progress=silent,
            )
            report = trained.report
            found.append(
                {
                    "C": cost,
                    "train": report["train_accuracy"],
                    "validation": report["validation_accuracy"],
                    "n": len(validation),
                }
            )
    return found


def majority() -> dict[str, Any]:
    """What the most frequent training label gets right on BANKING77's test rows."""
    found = datasets.load("banking77")
    counts = Counter(row.label for row in found.train)
    label = min(counts, key=lambda name: (-counts[name], name))
    right = sum(row.label == label for row in found.test)
    return {"label": label, "correct": right, "n": len(found.test)}


def tags() -> dict[str, Any]:
    """Every plain tagger on each split of WNUT-2017, made of train alone."""
    found = datasets.load("wnut17")
    splits = {"train": found.train, "validation": found.validation or [], "test": found.test}
    named = tagging.tag_set(row.label for rows in splits.values() for row in rows)
    seen = {entity for row in found.train for entity in _entities(row)}
    tested = [entity for row in found.test for entity in _entities(row)]
    return {
        "taggers": [
            {
                "name": name,
                **{
                    split: _judged(make(found.train), rows, named) for split, rows in splits.items()
                },
            }
            for name, make in TAGGERS.items()
        ],
        "entities": {"test": len(tested), "seen": sum(entity in seen for entity in tested)},
    }


def _judged(tagger: Any, rows: list[Example], named: list[str]) -> dict[str, Any]:
    made = [tagger(row.text) for row in rows]
    judged = ner_eval.evaluate([row.label for row in rows], made, named)
    right = sum(judged["confusion"][place][place] for place in range(len(named)))
    kept = ("token_micro_f1", "token_precision", "token_recall", "entity_micro_f1", "sentences")
    return {
        **{name: judged[name] for name in kept},
        "words": judged["words"],
        "outside": judged["outside"],
        "words_right": right / judged["words"],
    }


def _entities(row: Example) -> list[tuple[str, str]]:
    spoken = tagging.words(row.text.lower())
    return [
        (tagging.join(spoken[span.start : span.end]), span.type)
        for span in tagging.spans(tagging.tags(row.label))
    ]


def main() -> None:
    """Measure everything and save it."""
    began = provenance()
    runs = [
        labels(backend, seed)
        for backend, seed in track(
            [(backend, seed) for seed in SEEDS for backend in BACKENDS], "backends"
        )
    ]
    found = {
        "runs": runs,
        "penalties": penalties(SEEDS[0]),
        "majority": majority(),
        "tags": tags(),
    }
    save("baseline", began, found)


if __name__ == "__main__":
    main()
