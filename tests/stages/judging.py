"""A curated dataset, versions that read the label off the text, and somebody who asks them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from greenlight import artifacts
from greenlight.adapters.blobs import FolderBlobs
from greenlight.adapters.caches.memory import MemoryCache
from greenlight.core import fingerprint
from greenlight.core.curation import Row
from greenlight.core.records import Evaluation, StageResult, Version
from greenlight.core.states import VersionStatus
from greenlight.ports import Prediction
from greenlight.remembering import BATCH, Notes, Predictor
from greenlight.stages.evaluate import Case, ModelEvaluator
from greenlight.testing import step
from tests.stages.preparing import Place, Rows

LABELS = ("no", "yes")
SOURCE = Rows(
    train=[Row(f"{label} {n}", label) for label in LABELS for n in range(10)],
    test=[Row(f"{label} test {n}", label) for label in LABELS for n in range(100)],
)
TRAINING = {"train_accuracy": 0.92, "validation_accuracy": 0.9}
SANITY = {
    "shuffled_labels": {
        "accuracy": {"value": 0.48, "low": 0.41, "high": 0.55, "correct": 96, "n": 200},
        "chance": 0.5,
        "at_chance": True,
        "alpha": 0.001,
    },
    "seconds": 1.5,
}


class FirstWord:
    """Answers by the first word, wrongly on texts that end in one of some digits."""

    def __init__(self, folder: str) -> None:
        rule = msgspec.json.decode(Path(folder, "rule").read_bytes())
        self.labels: Sequence[str] = rule["labels"]
        self._wrong = rule["wrong"]
        self._score = rule["score"]
        self.seen: list[str] = []

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        assert len(texts) <= BATCH
        self.seen += texts
        return [Prediction(self._answer(text), self._score) for text in texts]

    def _answer(self, text: str) -> str:
        right = text.startswith("yes") != (text[-1] in self._wrong)
        return self.labels[right]


class Bench(Place):
    """Everything that an evaluation needs."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.dataset = self.prepare(SOURCE)
        self.bundles = FolderBlobs(root / "bundles")
        self.cache = MemoryCache(2**20)
        self.loaded: list[FirstWord] = []
        self.told: list[float] = []
        self.folder = root / "evaluation"
        self.predictor = Predictor(
            self.bundles, self._load, self.cache, code="c", packages="p", elsewhere=frozenset("x")
        )

    def version(
        self,
        label: str = "intent@1",
        *,
        labels: Sequence[str] = LABELS,
        wrong: str = "",
        score: float | None = 0.75,
        **body: Any,
    ) -> Version:
        """A version whose model is wrong on texts that end in one of the digits of `wrong`."""
        made = self.root / "made"
        made.mkdir(exist_ok=True)
        rule = {"labels": labels, "wrong": wrong, "score": score}
        (made / "rule").write_bytes(msgspec.json.encode(rule))
        artifacts.seal(made, {"format": "test", "labels": list(labels), **body})
        bundle = self.bundles.add(str(made))
        return Version(
            digest=fingerprint.digest([label, bundle]),
            task="intent",
            label=label,
            bundle=bundle,
            runtime={"kind": "in_process"},
            lineage={"dataset": self.dataset.digest},
            initiator="ana",
            status=VersionStatus.REGISTERED,
            at=3,
        )

    def case(self, version: Version | None = None, **changes: Any) -> Case:
        """A version on the dataset, with nothing live."""
        given: dict[str, Any] = {
            "version": version or self.version(),
            "dataset": self.dataset.digest,
            "training": TRAINING,
            "sanity": SANITY,
            "live": None,
            "environment": {"python": "3.11", "code": "sha256:c", "packages": {"numpy": "2"}},
        }
        return Case(**{**given, **changes})

    def measure(self, case: Case, **options: Any) -> list[Any]:
        """The parts of an evaluation, in the folder."""
        return self.evaluator(case).measure(
            progress=lambda share, _: self.told.append(share), **options
        )

    def evaluator(self, case: Case) -> ModelEvaluator:
        """Of a run: it notes what models elsewhere say."""
        return ModelEvaluator(
            self.records,
            self.processed,
            self.predictor,
            case,
            folder=self.folder,
            notes=Notes(self.folder / "answers"),
        )

    def evaluate(self, case: Case | None = None, *, task: str = "intent") -> Evaluation:
        """The whole stage."""
        done = self.judge(case, task=task)
        found = self.records.get(Evaluation, done.output["evaluation"])
        assert found is not None
        return found

    def judge(self, case: Case | None = None, *, task: str = "intent") -> StageResult:
        """The stage's result."""
        done = self.evaluator(case or self.case()).evaluate(
            step=step("evaluate", task=task, run=f"{task}#{len(self.results) + 1}"),
            now=lambda: 5,
            progress=lambda share, _: self.told.append(share),
        )
        self.results.append(done)
        return done

    def _load(self, version: Version) -> FirstWord:
        self.loaded.append(FirstWord(self.bundles.path(version.bundle)))
        return self.loaded[-1]
