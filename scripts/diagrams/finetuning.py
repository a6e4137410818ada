"""A model fine-tuned at a provider, and once more by a process whose forerunner was killed.

The provider is `greenlight finetune-server`, the client is the official SDK, and what is written
down is what went over HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from greenlight.adapters.trainers.openai import ModelTrainer
from greenlight.ports import Example, Progress
from greenlight.testing.finetune import finetune_server
from scripts.diagrams.tracing import Message, Trace

PROVIDER = "Provider"
TEMPLATE = "One of {labels}:\n{input}"
OTHER = "Is it {labels}?\n{input}"
"""So that the second scene has files of its own."""
ROWS = [
    Example(f"{'pay the bill' if number % 2 else 'where is my card'} {number}", label)
    for number, label in enumerate(["card", "bill"] * 6)
]
_TOLD = (
    ("GET", r"/v1/files", "the files", "read"),
    ("POST", r"/v1/files", "upload a file, its name the digest of its content", "call"),
    ("GET", r"/v1/files/[^/]+", "the file", "read"),
    ("GET", r"/v1/files/[^/]+/content", "the curve", "read"),
    ("GET", r"/v1/fine_tuning/jobs", "the jobs", "read"),
    ("POST", r"/v1/fine_tuning/jobs", "create a job, in its metadata the digest of it all", "call"),
    ("GET", r"/v1/fine_tuning/jobs/[^/]+", "the job", "read"),
    ("GET", r"/v1/fine_tuning/jobs/[^/]+/events", "its events", "read"),
    ("GET", r"/v1/fine_tuning/jobs/[^/]+/checkpoints", "its checkpoints", "read"),
)
"""Method, path, how it is told, and whether anything comes of it."""


class _KilledHere(BaseException):
    """Ends a training as SIGKILL would: nothing is cancelled or cleared away."""


def scenes(folder: Path) -> dict[str, list[Message]]:
    """What a training asks of a provider; and what one asks that goes on after another was killed
    at a running job."""
    trace, at_work = Trace(), ["Trainer"]
    with finetune_server(folder / "provider", behind=_watching(trace, at_work)) as url:
        with trace.scene() as whole:
            trace.add("Person", "Trainer", f"train on {len(ROWS)} rows")
            _train(url, TEMPLATE, folder / "whole")
            trace.add("Trainer", "Person", "a bundle that asks the new model", "answer")
        with trace.scene() as again:
            at_work[:] = ["Process A"]
            try:
                _train(url, OTHER, folder / "killed", _kill_at_the_job)
            except _KilledHere:
                trace.note("Process A", "SIGKILL, the job is under way")
            at_work[:] = ["Process B"]
            _train(url, OTHER, folder / "again")
    return {"fine-tuned": whole, "taken-up": again}


def _kill_at_the_job(share: float, words: str) -> None:
    if words.startswith("job "):
        raise _KilledHere


def _train(
    url: str, template: str, out: Path, progress: Progress = lambda share, words: None
) -> None:
    ModelTrainer(environ={}).train(
        train=ROWS,
        validation=ROWS[:4],
        labels=["bill", "card"],
        config={"url": url, "model": "greenlight-small", "prompt": template, "poll": 200_000},
        seed=2025,
        out=str(out),
        progress=progress,
    )


def _watching(trace: Trace, who: list[str]) -> Callable[[Any], Any]:
    """Stands before the provider, and writes down what is asked of it."""

    def before(app: Any) -> Any:
        async def asked(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                for method, path, words, kind in _TOLD:
                    if scope["method"] == method and re.fullmatch(path, scope["path"]):
                        trace.add(who[0], PROVIDER, words, kind)
            await app(scope, receive, send)

        return asked

    return before
