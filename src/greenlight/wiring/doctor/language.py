"""The open-weight language models that some tasks teach. Nothing is fetched or opened."""

from __future__ import annotations

from collections.abc import Iterator

from greenlight.config import TaskSettings
from greenlight.core import lora_options
from greenlight.core.errors import GreenlightError
from greenlight.models import open_weights
from greenlight.wiring.doctor.finding import Finding, Subject, fault, ok, warning


def bases(subject: Subject) -> Iterator[Finding]:
    """What such models are taught with, and whether each of them is here."""
    tasks = [
        task
        for task in subject.settings.tasks.values()
        if task.train.backend == lora_options.BACKEND
    ]
    absent = open_weights.missing()
    if tasks and absent:
        names = ", ".join(task.name for task in tasks)
        yield warning(
            "base",
            f"{', '.join(absent)} is not installed, and {names} cannot be trained without it",
            f"{open_weights.command()}; the gateway needs none of it",
        )
    for task in tasks:
        yield _base(subject, task)


def _base(subject: Subject, task: TaskSettings) -> Finding:
    name = lora_options.read(task.train.options).base
    try:
        folder = open_weights.look(name, subject.environ)
    except GreenlightError as error:
        return fault("base", f"{error} (taught by {task.name})", "see train.options.base")
    where = "the first run fetches it from the hub" if folder is None else f"in {folder}"
    return ok("base", f"{name}: {where} (taught by {task.name})")
