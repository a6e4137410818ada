"""Commands that make a version and put it before users: run, rollout start, demo."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from greenlight import wiring
from greenlight.core import fingerprint
from greenlight.core.errors import TooCostly
from greenlight.core.gates import exit_code, passed
from greenlight.core.records import Rollout
from greenlight.core.states import RolloutStatus, VersionStatus
from greenlight.entrypoints.cli import steering
from greenlight.entrypoints.cli.common import (
    initiator,
    json_option,
    moment,
    opened,
    public,
    show_json,
)
from greenlight.entrypoints.cli.lazy import NOT_OK
from greenlight.entrypoints.mirroring import once
from greenlight.lookup import find_version
from greenlight.stages.loop import Turn
from greenlight.stages.roll_out import current_epoch
from greenlight.stages.runs import active
from greenlight.wiring.next_step import next_step


@click.command()
@click.argument("task")
@click.option(
    "--from",
    "stage",
    metavar="STAGE",
    help="Begin at this stage, on what the last run made before it: collect, curate, train, …",
)
@click.option("--force", is_flag=True, help="Take nothing over from earlier runs.")
@click.option(
    "--cost-limit",
    type=click.FloatRange(min=0),
    help="What the training may cost at a provider, if not as configured; nobody is asked.",
)
@click.option("--schedule", is_flag=True, help="Only show when a worker will begin runs.")
@click.option("--fail-on-warn", is_flag=True, help="Exit with 3 if a gate warns.")
@json_option
@click.pass_context
def run(
    context: click.Context,
    task: str,
    stage: str | None,
    force: bool,
    cost_limit: float | None,
    schedule: bool,
    fail_on_warn: bool,
    as_json: bool,
) -> None:
    """Make a new version of TASK, or go on with a run that was left off.

    A run can be interrupted or killed at any point: call this again, and it goes on where it was.
    What earlier runs made of the same inputs is taken over from them.
    """
    if stage is not None and force:
        raise click.UsageError("--force begins at the first stage; leave out --from")
    if schedule:
        _show_schedule(context, task, as_json)
        return
    with opened(context) as app:
        left = active(app.store, task)
        begin = "collect" if force else stage
        try:
            made = _make(app, task, begin, cost_limit, quiet=as_json)
        except KeyboardInterrupt:
            click.echo(f"left off; go on with it: greenlight run {task}", err=True)
            context.exit(NOT_OK)
        problem = once(app)
        following = next_step(app, task) or f"greenlight approve {made.version.label} -m WHY"
    if problem is not None:
        click.echo(f"warning: mlflow: {problem}; what it lacks is made up for later", err=True)
    ok = passed(made.gates)
    if as_json:
        view = {"run": public(made.run), "version": public(made.version)}
        warnings = made.evaluation.document["warnings"]
        show_json({**view, "gates": made.gates, "warnings": warnings, "ok": ok})
    else:
        name = fingerprint.short(made.version.digest)
        how = "made" if made.version.lineage.get("run") == made.run.id else "made again"
        by = f"{how} by {made.run.id}"
        click.echo(f"{made.version.label} ({name}), {by}: {made.version.status}")
        if left is not None:
            click.echo(f"  {left.id} had been left off; it was configured on {moment(left.at)}")
        for result in made.gates:
            click.echo(f"  {result.outcome:<4} {result.metric}: {result.reason}")
        if ok and made.version.status == VersionStatus.EVALUATED:
            click.echo(f"next: {following}")
        elif ok:
            click.echo(f"nothing new: this is {made.version.label}, which is {made.version.status}")
    context.exit(exit_code(made.gates, fail_on_warn=fail_on_warn))


def _make(
    app: wiring.App, task: str, stage: str | None, cost_limit: float | None, *, quiet: bool
) -> Turn:
    """One turn; where a training may cost more than it is allowed to, whoever sits there is asked.

    The data that the estimate is of is trained on then: the run that asked has failed, and the next
    one begins at its training.
    """
    from rich.console import Console

    from greenlight.entrypoints.progress import bar

    try:
        with bar(Console(quiet=quiet), task) as progress:
            return wiring.turn(
                app,
                task,
                initiator=initiator(app),
                progress=progress,
                fresh_from=stage,
                cost_limit=cost_limit,
            )
    except TooCostly as error:
        if quiet or cost_limit is not None or not _at_terminal():
            raise
        asked = f"the training may cost {error.most:.4g}, and the limit is {error.limit:g}; go on?"
        if not click.confirm(asked, err=True):
            raise
        return _make(app, task, "train", error.most, quiet=quiet)


def _at_terminal() -> bool:
    """Whether somebody sits there who can be asked."""
    return sys.stdin.isatty()


def _show_schedule(context: click.Context, task: str, as_json: bool) -> None:
    """When runs begin by themselves."""
    with opened(context) as app:
        settings = app.settings.task(task).train
        now = app.clock.now()
        times = wiring.times(settings.schedule, after=now, count=5) if settings.schedule else []
    if as_json:
        show_json(
            {
                "schedule": settings.schedule,
                "new_feedback": settings.new_feedback,
                "next": [moment(at) for at in times],
            }
        )
        return
    if settings.schedule is None and settings.new_feedback is None:
        click.echo(
            f"{task}: runs begin by hand only; set tasks.{task}.train.schedule or new_feedback"
        )
    if settings.new_feedback is not None:
        click.echo(f"{task}: once {settings.new_feedback} more answers are judged")
    for at in times:
        click.echo(f"{task}: {moment(at)}")


@click.group()
def rollout() -> None:
    """Put an approved version before users."""


for _command in steering.COMMANDS:
    rollout.add_command(_command)


@rollout.command()
@click.argument("task")
@click.argument("version")
@click.option("--aa", is_flag=True, help="An A/A test: both arms may serve the same bundle.")
@click.option(
    "--wait", is_flag=True, help="Wait for its end; exit code 0 only if the version is promoted."
)
@json_option
@click.pass_context
def start(
    context: click.Context, task: str, version: str, aa: bool, wait: bool, as_json: bool
) -> None:
    """Roll VERSION out on TASK. The first version of a task goes live at once.

    With --wait it shows what `greenlight status --watch` shows; with --json too, nothing but the
    rollout as it ended. Ctrl-C ends the waiting, not the rollout.
    """
    with opened(context) as app:
        app.settings.task(task)
        found = find_version(app.store, version)
        if found.task != task:
            raise click.UsageError(f"{found.label} is a version of {found.task!r}, not {task!r}")
        by = initiator(app)
        if current_epoch(app.store, task) is None:
            epoch = wiring.DeploymentManager(app).go_live(found, initiator=by)
            if as_json:
                show_json(public(epoch))
            else:
                click.echo(f"{found.label} takes all traffic: nothing was live before it")
                click.echo("next: greenlight up, if no gateway runs yet")
            return
        begun = wiring.DeploymentManager(app).start(found, initiator=by, aa=aa)
        if not as_json:
            window = app.settings.task(task).approval.release_window
            pending = begun.status == RolloutStatus.PENDING
            how = f"waits for its window ({window})" if pending else "has begun"
            then = "" if pending else "; from here the evidence decides"
            click.echo(f"rollout {begun.id} of {found.label} {how}{then}")
        stands = _wait(app, begun, quiet=as_json) if wait else begun
    if as_json:
        show_json(public(stands))
    elif stands.ended_at is None:
        click.echo(f"next: greenlight status {task} --watch")
    if wait and stands.status != RolloutStatus.PROMOTED:
        context.exit(NOT_OK)


def _wait(app: wiring.App, begun: Rollout, *, quiet: bool) -> Rollout:
    """Show how a rollout fares until it has ended or somebody has seen enough; how it stands."""
    from greenlight.entrypoints.cli.looking import follow
    from greenlight.entrypoints.cli.status import look

    def is_over(seen: dict[str, Any]) -> bool:
        running = seen["tasks"][begun.task]["rollout"]
        return running is None or running["id"] != begun.id

    follow(lambda: look(app, [begun.task]), app.clock.now, quiet=quiet, until=is_over)
    return app.store.get(Rollout, begun.id) or begun


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("greenlight-demo"),
    show_default=True,
    help="The demo's own folder; what an earlier demo left there is replaced.",
)
@click.option("--seed", default=1, show_default=True, help="Seed of the replayed users.")
@click.option(
    "--candidate",
    type=click.Choice(["better", "same"]),
    default="better",
    show_default=True,
    help="`same` is an A/A test: v1 against itself.",
)
@click.option(
    "--source",
    type=click.Choice(["banking77", "sample"]),
    default="banking77",
    show_default=True,
    help="The data set; where BANKING77 cannot be had the sample takes its place.",
)
@click.option("--rate", default=150.0, show_default=True, help="Requests per second.")
@json_option
def demo(folder: Path, seed: int, candidate: str, source: str, rate: float, as_json: bool) -> None:
    """The whole loop on BANKING77, from nothing, in minutes."""
    from greenlight.entrypoints.demo import Options
    from greenlight.entrypoints.demo import run as run_demo

    options = msgspec.convert(
        {
            "folder": str(folder),
            "seed": seed,
            "candidate": candidate,
            "source": source,
            "rate": rate,
            "quiet": as_json,
        },
        Options,
    )
    result = run_demo(options)
    if as_json:
        show_json(result)
