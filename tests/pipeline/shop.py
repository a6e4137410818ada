"""A workshop over a store in memory, with a trainer that counts how often it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from greenlight import artifacts
from greenlight.adapters.blobs import FolderBlobs
from greenlight.adapters.caches.memory import MemoryCache
from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core.policy import GateRule
from greenlight.datasets import PublicSource
from greenlight.ports import Example, Prediction, Progress, Trained
from greenlight.ports.source import NO_PROMPTS, Prompts
from greenlight.remembering import Predictor
from greenlight.stages.loop import Plan, Workshop
from greenlight.stages.pipeline import FineTuningPipeline
from greenlight.testing import FakeClock

LABELS = ("no", "yes")
PLAN = Plan(
    dataset={"source": "tiny"},
    backend="first-word",
    options={},
    seed=2025,
    gates={"accuracy": GateRule(min=0.5)},
    runtime={"kind": "in_process"},
)


class FirstWord:
    """A trainer and its model at once: the label is the first word of the text."""

    name = "first-word"
    free = True

    def __init__(self) -> None:
        self.trained = 0
        self.labels: Sequence[str] = LABELS
        self.meanwhile: Callable[[], None] = lambda: None
        """Called in the middle of a training."""

    def train(
        self,
        *,
        train: Sequence[Example],
        validation: Sequence[Example],
        labels: Sequence[str],
        config: Mapping[str, Any],
        seed: int,
        out: str,
        progress: Progress,
        prompts: Prompts = NO_PROMPTS,
    ) -> Trained:
        self.trained += 1
        self.meanwhile()
        progress(0.5, "reading first words")
        Path(out).mkdir(parents=True)
        # What was learnt depends on the labels given, so that shuffled ones teach nothing.
        right = sum(row.text.startswith(row.label) for row in train) * 2 > len(train) * 1.5
        Path(out, "rule").write_text("first word" if right else "none", encoding="utf-8")
        artifacts.seal(out, {"format": "test", "options": dict(config)})
        return Trained(folder=out, report={"train_accuracy": 1.0, "validation_accuracy": 1.0})

    def load(self, folder: str) -> FirstWord:
        model = FirstWord()
        model.rule = Path(folder, "rule").read_text(encoding="utf-8")
        return model

    rule = "first word"

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        if self.rule == "none":
            return [Prediction(LABELS[len(text) % 2], 0.5) for text in texts]
        return [Prediction(text.split()[0], 0.75) for text in texts]


class Site:
    """Everything that a pipeline needs, in a folder; several pipelines may share it."""

    def __init__(self, root: Path) -> None:
        self.records = MemoryStore()
        self.clock = FakeClock()
        self.trainer = FirstWord()
        self.rows = 40
        self.used = 100_000_000
        bundles = FolderBlobs(root / "bundles")
        self.shop = Workshop(
            records=self.records,
            raw=FolderBlobs(root / "raw"),
            processed=FolderBlobs(root / "processed"),
            bundles=bundles,
            load_source=lambda *_: self.source(),
            trainer=lambda _: self.trainer,
            load_model=self.trainer.load,
            predictor=Predictor(
                bundles,
                lambda version: self.trainer.load(bundles.path(version.bundle)),
                MemoryCache(2**20),
                code="1",
                packages="1",
            ),
            clock=self.clock,
            environment={},
            chunk=lambda: 7,
            memory=lambda: self.used,
            workdir=str(root / "work"),
        )
        Path(self.shop.workdir).mkdir()

    def source(self) -> PublicSource:
        def rows(kind: str, count: int) -> list[Example]:
            return [Example(f"{label} {kind} {n}", label) for label in LABELS for n in range(count)]

        return PublicSource(
            name="tiny",
            origin="https://data.example/tiny",
            licence="CC0-1.0",
            citation="Nobody",
            train=rows("train", self.rows),
            test=rows("test", 20),
        )

    def pipeline(self, holder: str = "one", code: str = "1") -> FineTuningPipeline:
        environment = {"code": code, "packages": {}, "platform": "test"}
        shop = msgspec.structs.replace(self.shop, environment=environment)
        return FineTuningPipeline(shop, holder)


def plan(**changes: Any) -> Plan:
    """The usual plan, changed."""
    return msgspec.structs.replace(PLAN, **changes)


def silent(_share: float, _words: str) -> None:
    """Tells nobody."""
