"""Backend `openai` called with what most tests call it with, in a time of its own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from greenlight.adapters.trainers.openai import ModelTrainer
from greenlight.ports import Example, Progress, Trained
from tests.trainers.provider import Provider

KEY = "sk-very-secret"
ROWS = [Example(f"text {n}", "yes" if n % 2 else "no") for n in range(12)]
LABELS = ["no", "yes"]
TEMPLATE = "Answer {labels}:\n{input}"


def quiet(_share: float, _words: str) -> None:
    """No progress."""


class Clock:
    """Time that passes where somebody sleeps, and nowhere else."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def read(self) -> float:
        return self.now


def fit(
    provider: Provider,
    out: Path,
    progress: Progress = quiet,
    *,
    clock: Clock | None = None,
    environ: dict[str, str] | None = None,
    options: dict[str, Any] | None = None,
    **changes: Any,
) -> Trained:
    clock = clock or Clock()
    trainer = ModelTrainer(
        environ={"THE_KEY": KEY} if environ is None else environ,
        pause=clock.sleep,
        clock=clock.read,
        luck=lambda: 1.0,
    )
    config = {"url": provider.url, "model": "small", "key": "env:THE_KEY", "prompt": TEMPLATE}
    given: dict[str, Any] = {
        "train": ROWS,
        "validation": ROWS[:3],
        "labels": LABELS,
        "config": config | (options or {}),
        "seed": 7,
    }
    return trainer.train(**(given | changes), out=str(out), progress=progress)


LONG = [Example(f"{row.text} {'and more ' * 2_500}", row.label, prompt=row.prompt) for row in ROWS]
"""Rows of a file that does not go up in one piece."""


def life(url: str, out: str) -> None:
    """A process that trains, and ends when it is done; made to be killed."""
    trainer = ModelTrainer(environ={"THE_KEY": KEY}, pause=lambda seconds: time.sleep(0.01))
    made = trainer.train(
        train=LONG,
        validation=ROWS[:3],
        labels=LABELS,
        config={"url": url, "model": "greenlight-small", "key": "env:THE_KEY", "prompt": TEMPLATE},
        seed=7,
        out=out,
        progress=quiet,
    )
    Path(out, "report.json").write_text(json.dumps(made.report), encoding="utf-8")
