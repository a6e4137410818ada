"""What `/api` answers with, and what /metrics tells of the pipeline, for one installation."""

from __future__ import annotations

from typing import Any

import msgspec

from greenlight.core.errors import BadInput
from greenlight.core.records import Run
from greenlight.lookup import everything, find_run, run_view
from greenlight.serving.admin import Admin, Labelled
from greenlight.wiring.app import App
from greenlight.wiring.data import label_answer, relabel_queue
from greenlight.wiring.pipeline import open_pipeline


def newest_runs(app: App, task: str | None, limit: int) -> list[dict[str, Any]]:
    """The newest runs (of one task), with stages and progress.

    Raises:
        NotFound: no such task.
    """
    where = {"task": app.settings.task(task).name} if task else {}
    runs = sorted(everything(app.store, Run, where), key=lambda run: -run.at)
    return [run_view(app.store, run) for run in runs[:limit]]


def newest_of_each(app: App) -> list[dict[str, Any]]:
    """The newest run of every task that has one."""
    return [view for task in app.settings.tasks for view in newest_runs(app, task, 1)]


def build_admin(app: App) -> Admin:
    """The answers to `/api`."""

    def label(task: str, given: Labelled) -> dict[str, Any]:
        if not given.reviewer.strip():
            raise BadInput("reviewer: say who gives the label", "reviewer")
        app.settings.task(task)
        word = label_answer(
            app,
            given.inference_id,
            given.label,
            task=task,
            reviewer=given.reviewer,
            why=given.comment,
        )
        return {"id": word.id, "inference_id": word.inference_id, "label": word.correction}

    return Admin(
        runs=lambda task, limit: newest_runs(app, task, limit),
        run=lambda name: run_view(app.store, find_run(app.store, name)),
        abort=lambda name: run_view(app.store, open_pipeline(app).abort(name)),
        queue=lambda task, limit: msgspec.to_builtins(relabel_queue(app, task, limit)),
        label=label,
    )
