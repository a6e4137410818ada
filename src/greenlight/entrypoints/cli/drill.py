"""`drill` and `drills`: rehearse a fault on a canary, and what came of it before."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from greenlight import wiring
from greenlight.config import units
from greenlight.core.drill import FAULTS
from greenlight.core.records import SECOND
from greenlight.entrypoints.cli.common import (
    json_option,
    limit_option,
    moment,
    opened,
    own_secret,
    show_json,
    table,
    task_argument,
)
from greenlight.entrypoints.cli.lazy import NOT_OK


class Span(click.ParamType[int]):
    """A duration with its unit."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """In microseconds."""
        try:
            found = units.duration(re.sub(r"\s", "", value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if found < SECOND:
            self.fail(f"{value}: at least 1s", param, ctx)
        return found


@click.command()
@click.argument("task")
@click.option("--fault", type=click.Choice(list(FAULTS)), required=True, help="What goes wrong.")
@click.option(
    "--intensity",
    type=float,
    help="The share of calls that fail (0.05) or of answers that are wrong (0.3); for latency the "
    "seconds that every call takes longer (0.25).",
)
@click.option(
    "--trigger",
    type=click.Choice(["evidence", "alarm"]),
    default="evidence",
    show_default=True,
    help="What must roll it back. With alarm the evidence is left out, and it takes its minutes.",
)
@click.option(
    "--live",
    is_flag=True,
    help="Before real users, in the running installation; needs their approvals.",
)
@click.option(
    "--within",
    type=Span(),
    help="By when after the first exposure all traffic must be back, such as 2m (docs/how-to).",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=1),
    default=100.0,
    show_default=True,
    help="Requests per second of the users that are made for it.",
)
@click.option("--seed", default=1, show_default=True, help="Seed of those users.")
@click.option("--keep", is_flag=True, help="Keep the drill's own installation if it passed, too.")
@json_option
@click.pass_context
def drill(context: click.Context, /, as_json: bool, live: bool, **given: Any) -> None:
    """Rehearse a fault on TASK: a faulty candidate that must end in rollback, with evidence.

    By default in an installation of its own, with the task's policy and traffic made for it; it
    does not touch the running one. Exit code 1 if the fault was not rolled back in time.
    """
    from greenlight.entrypoints.drill import NotYet, Options, before_users, rehearse, show
    from greenlight.entrypoints.showing import Stage

    fault = FAULTS[given["fault"]]
    intensity = given.pop("intensity")
    options = Options(
        **given,
        intensity=fault.check(fault.intensity if intensity is None else intensity),
        quiet=as_json,
    )
    secret = own_secret() if live else ""
    with _ending_well(), opened(context) as app:
        found = before_users(app, options, secret) if live else rehearse(app, options)
    if isinstance(found, NotYet):
        if as_json:
            show_json(found)
        else:
            click.echo(found.says)
            for step in found.steps:
                click.echo(f"next: {step}")
            click.echo("then call this again")
        context.exit(NOT_OK)
    if as_json:
        show_json(found)
    else:
        show(found, Stage(quiet=False))
    if not found["passed"]:
        context.exit(NOT_OK)


@contextmanager
def _ending_well() -> Iterator[None]:
    """SIGTERM ends a drill as Ctrl-C does: nothing runs on, and nobody goes on meeting a fault."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@click.group()
def drills() -> None:
    """List the drills that were held."""


@drills.command("list")
@task_argument
@limit_option
@json_option
@click.pass_context
def list_drills(context: click.Context, task: str | None, limit: int, as_json: bool) -> None:
    """List drills, the newest first."""
    with opened(context) as app:
        name = None if task is None else app.settings.task(task).name
        found = wiring.drills(app, name, limit)
    if as_json:
        show_json(found)
        return
    rows = [
        (
            moment(one["at"]),
            one["label"],
            one["fault"],
            one["trigger"],
            "live" if one["live"] else "made",
            "passed" if one["passed"] else "FAILED",
            _seconds(one["detection_s"]),
            _seconds(one["whole_s"]),
            one["folder"],
        )
        for one in found
    ]
    heads = ("WHEN", "ON", "FAULT", "BY", "TRAFFIC", "RESULT", "DETECTED", "BACK", "EVIDENCE")
    click.echo(table(heads, rows))


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"
