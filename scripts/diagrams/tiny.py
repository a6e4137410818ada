"""A pipeline as small as can be: forty texts, and a trainer that reads first words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from greenlight import artifacts
from greenlight.core.policy import GateRule
from greenlight.datasets import PublicSource
from greenlight.ports import Example, Prediction, Progress, Trained
from greenlight.ports.source import NO_PROMPTS, Prompts
from greenlight.stages.loop import Plan

LABELS = ("no", "yes")
TASK = "intent"


def plan(**options: Any) -> Plan:
    """What to make; options of the backend make for another bundle."""
    return Plan(
        dataset={"source": "tiny"},
        backend=FirstWord.name,
        options=options,
        seed=2025,
        gates={"accuracy": GateRule(min=0.5)},
        runtime={"kind": "in_process"},
    )


def source() -> PublicSource:
    """Texts whose first word is their label."""

    def rows(kind: str, count: int) -> list[Example]:
        return [Example(f"{label} {kind} {n}", label) for label in LABELS for n in range(count)]

    return PublicSource(
        name="tiny",
        origin="https://data.example/tiny",
        licence="CC0-1.0",
        citation="Nobody",
        train=rows("train", 20),
        test=rows("test", 10),
    )


class FirstWord:
    """A trainer and its model at once."""

    name = "first-word"
    free = True

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """`meanwhile` is called in the middle of a training."""
        self.labels: Sequence[str] = LABELS
        self._meanwhile = meanwhile

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
        """Write a bundle that holds nothing but its options."""
        self._meanwhile()
        progress(0.5, "reading first words")
        Path(out).mkdir(parents=True)
        artifacts.seal(out, {"format": "tiny", "options": dict(config)})
        return Trained(folder=out, report={"train_accuracy": 1.0, "validation_accuracy": 1.0})

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Each text's first word."""
        return [Prediction(text.split()[0], 0.75) for text in texts]
