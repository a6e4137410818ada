"""`staging record|accept|list`: the way of a version through staging into prod."""

from __future__ import annotations

from pathlib import Path

import click

from greenlight.core import fingerprint
from greenlight.core.incidents import StagingRecord
from greenlight.entrypoints.cli.common import (
    json_option,
    moment,
    opened,
    own_secret,
    public,
    show_json,
    table,
)
from greenlight.lookup import everything, find_version
from greenlight.wiring import staging as wired


@click.group()
def staging() -> None:
    """Put on record what a version has shown in staging; prod asks for it."""


@staging.command("record")
@click.argument("version")
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write (default: VERSION.staging.json).",
)
@json_option
@click.pass_context
def make(context: click.Context, version: str, out: Path | None, as_json: bool) -> None:
    """Sign that VERSION has passed staging: its gates, a load test, and a drill.

    Your key is read from GREENLIGHT_PERSON_KEY.
    """
    secret = own_secret()
    with opened(context) as app:
        found = find_version(app.store, version)
        file = out or Path(f"{found.label}.staging.json")
        made = wired.vouch(app, found, secret=secret, out=file)
    if as_json:
        show_json(public(made))
        return
    click.echo(f"{made.label}: signed by {made.person}, written to {file}")
    click.echo(f"next, in prod: greenlight staging accept {file}")


@staging.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
@click.pass_context
def accept(context: click.Context, file: Path, as_json: bool) -> None:
    """Take over the record in FILE, if whoever signed it may do so here."""
    with opened(context) as app:
        made = wired.accept(app, file)
    if as_json:
        show_json(public(made))
        return
    bundle = fingerprint.short(made.bundle)
    click.echo(f"{made.task}: bundle {bundle} passed staging, says {made.person}")


@staging.command("list")
@json_option
@click.pass_context
def show(context: click.Context, as_json: bool) -> None:
    """List the records of staging."""
    with opened(context) as app:
        found = sorted(everything(app.store, StagingRecord), key=lambda made: made.at)
    if as_json:
        show_json([public(made) for made in found])
        return
    if not found:
        click.echo("no record of staging; greenlight staging record VERSION makes one there")
        return
    rows = [
        (made.label, fingerprint.short(made.bundle), made.person, moment(made.at)) for made in found
    ]
    click.echo(table(("VERSION THERE", "BUNDLE", "SIGNED BY", "AT"), rows))
