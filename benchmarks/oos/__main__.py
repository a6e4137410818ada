"""How well `encoder-head` tells texts out of scope, on three slices; how its score was chosen.

    python -m benchmarks.oos

The choice was made on rows that are in no slice: BANKING77's validation rows against CLINC150's
`oos_train` and `oos_val`, and against training rows of intents that were held out (five draws).
The slices are those of `greenlight eval oos` and judged by its code (`greenlight.stages.scope`):
BANKING77's test rows against CLINC150's `oos_test`; against its banking-like intents (report only);
and near-OOS, test rows of 15 of the 77 intents, held out of training in five other draws, against
those of the rest (report only). Embeddings are remembered in GREENLIGHT_CACHE.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress, track
from threadpoolctl import threadpool_limits

from benchmarks.harness import provenance, save
from greenlight import datasets
from greenlight.adapters.trainers.encoder_head import EncoderHeadTrainer
from greenlight.core.stats.ranking import auroc
from greenlight.datasets import clinc150
from greenlight.datasets.clinc150 import BANKING_LIKE, Clinc150
from greenlight.download import cache_folder
from greenlight.models import bundle, encoded, encoder, fitting, scope
from greenlight.models.embedding import Embedder, EmbeddingCache, available_workers
from greenlight.models.features import WORDS
from greenlight.ports import Example, Model
from greenlight.stages.scope import DRAWS, FAR, Again, Rows, held_out, judge
from greenlight.stages.scope import near as near_oos

SHARE, SEED = 0.1, 2025
TIMED = 1000
"""Texts that are asked one at a time."""
GOALS = {"clinc": 0.995, "banking_like": 0.995, "near": 0.94}
REQUIRED = 0.85

Texts = Sequence[str]


def silent(_share: float, _words: str) -> None:
    """The bar counts fits, not steps."""


class Bench:
    """BANKING77 and CLINC150, and everything embedded once."""

    def __init__(self) -> None:
        """Read and embed; some minutes where nothing is remembered."""
        self.settings = encoded.HeadSettings()
        where = datasets.places(os.environ)
        self.clinc: Clinc150 = clinc150.load(where, silent)
        banking = datasets.load("banking77", where)
        self.test = _clean(banking.test)
        self.train, self.validation = _split(_clean(banking.train))
        files = encoder.find(os.environ, silent)
        parts = encoded.read(files).parts(quantised=self.settings.quantised)
        embedder = Embedder(parts.graph, parts.tokenizer, parts.token_limit)
        self._cache = EmbeddingCache(cache_folder(os.environ) / "embeddings", embedder)

    def embed(self, texts: Texts) -> Any:
        """Embeddings of texts."""
        return self._cache.embed(list(texts), workers=available_workers(), progress=silent)

    def told(
        self, train: list[Example], validation: list[Example], others: Mapping[str, Texts]
    ) -> dict[str, Any]:
        """The scaled signals of other texts under a model of these rows, [texts, signals] by name;
        under `validation` those of the validation rows themselves."""
        labels = sorted({row.label for row in train})
        vectors = tuple(self.embed([row.text for row in rows]) for rows in (train, validation))
        weight = np.float32(self.settings.embedding_weight)
        recipe = fitting.Recipe(terms=WORDS, penalty=self.settings.C, seed=SEED)
        dense = (weight * vectors[0], weight * vectors[1])
        fitted = fitting.fit(train, validation, labels, recipe, vectors=dense, progress=silent)
        numbers = {label: number for number, label in enumerate(labels)}
        targets = np.array([numbers[row.label] for row in (*train, *validation)], np.int64)
        most = self.settings.oos_texts
        known = scope.remember(vectors[0], targets[: len(train)], most=most, seed=SEED)
        unseen = scope.Texts(
            vectors=vectors[1], decisions=fitted.held_out, terms=fitted.held_out_terms
        )
        beta, flagged = fitted.beta, self.settings.oos_flagged
        centre, spread, _ = scope.calibrate(known, beta, unseen, flagged=flagged)
        learnt = scope.remember(np.concatenate(vectors), targets, most=most, seed=SEED)
        found = {"validation": (scope.signals(known, beta, unseen) - centre) / spread}
        for name, texts in others.items():
            there = self.embed(texts)
            matrix = fitted.tfidf.matrix(texts)
            asked = scope.Texts(
                vectors=there,
                decisions=fitted.head.decide_all(matrix, weight * there),
                terms=matrix.getnnz(axis=1),
            )
            found[name] = (scope.signals(learnt, beta, asked) - centre) / spread
        return found


def choice(bench: Bench) -> dict[str, Any]:
    """Each signal alone, and what they come to, on rows that are in no slice."""
    known = [*bench.clinc.oos["train"], *bench.clinc.oos["val"]]
    told = bench.told(bench.train, bench.validation, {"out": known})
    clinc = _areas(told["validation"], told["out"])
    near = []
    labels = sorted({row.label for row in bench.train})
    for draw in track(range(DRAWS, 2 * DRAWS), "the choice"):
        gone = held_out(labels, draw)
        kept, inside = (
            [row for row in rows if row.label not in gone]
            for rows in (bench.train, bench.validation)
        )
        out = [row.text for row in bench.train if row.label in gone]
        told = bench.told(kept, inside, {"out": out})
        near.append(_areas(told["validation"], told["out"]))
    return {
        name: {"clinc": clinc[name], "near": float(np.mean([one[name] for one in near]))}
        for name in clinc
    }


def near(bench: Bench, workdir: str) -> dict[str, Any]:
    """Near-OOS on test rows, as the product measures it."""
    rows = Rows(train=bench.train, validation=bench.validation, test=bench.test)
    again = Again(trainer=EncoderHeadTrainer(), load_model=bundle.load, config={}, seed=SEED)
    with Progress() as bar:
        task = bar.add_task("near", total=1.0)
        return near_oos(
            rows,
            again,
            range(DRAWS),
            workdir=workdir,
            progress=lambda share, words: bar.update(task, completed=share, description=words),
        )


def cost(bench: Bench, folder: Path, labels: list[str], model: Model) -> dict[str, float]:
    """CPU of one text at a time, in µs: with scope told and by the same model that does not.

    On one thread, as on a server with one core: others that wait for work would count as CPU.
    """
    out = str(folder / "silent")
    EncoderHeadTrainer().train(
        train=bench.train,
        validation=bench.validation,
        labels=labels,
        config={"oos_texts": 0},
        seed=SEED,
        out=out,
        progress=silent,
    )
    models: dict[str, Model] = {"told": model, "not_told": bundle.load(out)}
    spent: dict[str, list[float]] = {name: [] for name in models}
    with threadpool_limits(1):
        for row in bench.test[:TIMED]:
            for name, one in models.items():  # in turns, so that both meet the same machine
                began = time.process_time()
                one.predict([row.text])
                spent[name].append((time.process_time() - began) * 1e6)
    return {name: float(np.median(values)) for name, values in spent.items()}


def slices(bench: Bench) -> dict[str, Any]:
    """The two slices of CLINC150, from a real bundle."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder, "bundle"))
        labels = sorted({row.label for row in bench.train})
        EncoderHeadTrainer().train(
            train=bench.train,
            validation=bench.validation,
            labels=labels,
            config={},
            seed=SEED,
            out=out,
            progress=silent,
        )
        size = sum(file.stat().st_size for file in Path(out).iterdir())
        model = bundle.load(out)
        found_cost = cost(bench, Path(folder), labels, model)
    inside = model.predict([row.text for row in bench.test])
    hits = [made.label == row.label for made, row in zip(inside, bench.test, strict=True)]
    found: dict[str, Any] = {
        "accuracy": float(np.mean(hits)),
        "bundle_bytes": size,
        "cost": found_cost,
    }
    texts = (bench.clinc.oos["test"], bench.clinc.of("test", BANKING_LIKE))
    for name, outside in zip(FAR, texts, strict=True):
        judged = judge(inside, model.predict(outside))
        found[name] = {key: value for key, value in judged.items() if key != "roc"}
    return found


def _areas(inside: Any, outside: Any) -> dict[str, float]:
    sides = {name: (inside[:, n], outside[:, n]) for n, name in enumerate(scope.WEIGHTS)}
    sides["their sum"] = scope.combine(inside), scope.combine(outside)
    found = {}
    for name, (near, far) in sides.items():
        truth = [False] * len(near) + [True] * len(far)
        area = auroc([*near.tolist(), *far.tolist()], truth)
        assert area is not None
        found[name] = area
    return found


def _clean(rows: Sequence[Example]) -> list[Example]:
    return [Example(" ".join(row.text.split()), row.label) for row in rows]


def _split(rows: list[Example]) -> tuple[list[Example], list[Example]]:
    """Nine tenths of each label to learn from, a tenth to choose by."""
    lot = np.random.default_rng(SEED)
    held: set[int] = set()
    for label in sorted({row.label for row in rows}):
        own = [place for place, row in enumerate(rows) if row.label == label]
        held |= set(lot.permutation(own)[: max(1, round(SHARE * len(own)))].tolist())
    train = [row for place, row in enumerate(rows) if place not in held]
    return train, [rows[place] for place in sorted(held)]


def main() -> None:
    """Measure everything and save it."""
    began = provenance()
    bench = Bench()
    with tempfile.TemporaryDirectory() as folder:
        told = near(bench, folder)
    found = {
        "choice": choice(bench),
        "weights": dict(scope.WEIGHTS),
        "slices": slices(bench),
        "near": told,
        "goals": GOALS,
        "required": REQUIRED,
    }
    save("oos", began, found)


if __name__ == "__main__":
    main()
