"""What a worker does at each look: go on with a run, or begin one that is due."""

from __future__ import annotations

from datetime import UTC, datetime

from cronsim import CronSim

from greenlight.core.errors import Refused
from greenlight.core.records import SECOND, Run
from greenlight.lookup import everything
from greenlight.ports import Progress
from greenlight.stages.loop import Turn
from greenlight.stages.runs import active
from greenlight.wiring.app import App
from greenlight.wiring.pipeline import carry_out, open_pipeline, plan_of


def work(app: App, task: str, *, since: int, progress: Progress) -> Turn | None:
    """Carry out the task's run that nobody carries out, or begin and carry out one that is due.

    Args:
        app: the open store and settings.
        task: the task's name.
        since: when this worker began (µs). Where no run was ever made, a time of the schedule that
            was missed before then is not made up for.
        progress: told the share done of the stage at hand, and its name.

    Returns:
        What the run made; None where there was nothing to do.

    Raises:
        GreenlightError: the run failed or was aborted; it is on record.
    """
    # Looking is cheap; the pipeline is opened (and the environment told) only for a run.
    run = active(app.store, task)
    if run is None:
        trigger = due(app, task, since)
        if trigger is None:
            return None
        works = open_pipeline(app)
        plan = plan_of(app.settings.task(task), root=app.settings.root)
        try:
            run = works.begin(task, plan, trigger=trigger, initiator=trigger)
        except Refused:  # another worker was quicker
            return None
    else:
        works = open_pipeline(app)
    try:
        hand = works.take(run)
    except Refused:  # somebody carries it out
        return None
    return carry_out(hand, progress)


def due(app: App, task: str, since: int) -> str | None:
    """Why a run should begin now: `schedule`, `feedback`, or None (REQUIREMENTS T1)."""
    settings = app.settings.task(task).train
    now = app.clock.now()
    # A run of tomorrow was begun before the clock was set back: it must not hold up today's.
    began = (run.at for run in everything(app.store, Run, {"task": task}))
    last = max((at for at in began if at <= now), default=None)
    if settings.schedule is not None:
        (coming,) = times(settings.schedule, after=since if last is None else last, count=1)
        if coming <= now:
            return "schedule"
    wanted = settings.new_feedback
    if wanted is not None and app.store.count_feedback(task, last or 0) >= wanted:
        return "feedback"
    return None


def times(schedule: str, *, after: int, count: int) -> list[int]:
    """The next times of a cron schedule, in UTC, in microseconds since 1970."""
    moments = CronSim(schedule, datetime.fromtimestamp(after / SECOND, tz=UTC))
    return [int(next(moments).timestamp()) * SECOND for _ in range(count)]
