"""The tiny pipeline with everything in it watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from greenlight.adapters.blobs import FolderBlobs
from greenlight.adapters.caches.memory import MemoryCache
from greenlight.ports import Clock, Store
from greenlight.remembering import Predictor
from greenlight.stages import loop
from greenlight.stages.evaluate import ModelEvaluator
from greenlight.stages.loop import STAGES, Workshop
from greenlight.stages.pipeline import FineTuningPipeline, InHand
from scripts.diagrams import telling, tiny
from scripts.diagrams.tracing import Told, Trace, Watched, acting, replaced, watched

ENVIRONMENT = {"code": "1", "packages": {}, "platform": "any"}


class Works:
    """A pipeline over a store and a folder, seen from outside."""

    def __init__(self, trace: Trace, root: Path, store: Store, clock: Clock) -> None:
        self.trace = trace
        self.clock = clock
        self.records = self._watch(store, telling.STORE, telling.records())
        self.meanwhile: Callable[[], None] = lambda: None
        """Called in the middle of a training."""
        raw, processed, bundles = (
            self._watch(FolderBlobs(root / name), "Folders", telling.folder(name))
            for name in ("raw", "processed", "bundles")
        )
        trainer = tiny.FirstWord(lambda: self.meanwhile())
        model = self._watch(trainer, "Model", telling.model())
        work = root / "work"
        work.mkdir(parents=True, exist_ok=True)
        self.shop = Workshop(
            records=self.records,
            raw=raw,
            processed=processed,
            bundles=bundles,
            load_source=lambda *_: self._watch(tiny.source(), "Source", telling.source(trace)),
            trainer=lambda _: self._watch(trainer, "Trainer", telling.trainer()),
            load_model=lambda _: model,
            predictor=Predictor(
                bundles, lambda _: model, MemoryCache(2**20), code="1", packages="1"
            ),
            environment=ENVIRONMENT,
            clock=clock,
            chunk=lambda: 7,
            memory=lambda: 100_000_000,
            workdir=str(work),
        )

    def pipeline(self, holder: str) -> Any:
        """A process that can carry out runs."""
        works = FineTuningPipeline(self.shop, holder)
        return self._watch(works, "Pipeline", telling.pipeline(self._watch))

    @contextmanager
    def beating(self, hand: InHand) -> Iterator[None]:
        """One sign of life in the middle of the training, as from the thread that gives them."""

        def beat() -> None:
            with acting("Heartbeat"):
                hand.beat()
            self.meanwhile = lambda: None

        self.meanwhile = beat
        try:
            yield
        finally:
            hand.let_go()

    @contextmanager
    def stages_seen(self) -> Iterator[None]:
        """Each stage's function is a participant while it is at work."""
        with ExitStack() as stack:
            for name in STAGES:
                told = Told(lambda *_, name=name, **__: f"stage {name}")
                if name == "evaluate":
                    stack.enter_context(replaced(loop, "ModelEvaluator", self._evaluator(told)))
                    continue
                seen = watched(self.trace, getattr(loop, name), "Stage", told)
                stack.enter_context(replaced(loop, name, seen))
            yield

    def _evaluator(self, told: Told) -> Callable[..., Any]:
        """Makes the evaluator of a run, seen from outside."""

        def made(*given: Any, **named: Any) -> Any:
            evaluator = ModelEvaluator(*given, **named)
            return Watched(self.trace, evaluator, "Stage", {"evaluate": told})

        return made

    def _watch(self, target: object, participant: str, told: dict[str, Told]) -> Any:
        return Watched(self.trace, target, participant, told)
