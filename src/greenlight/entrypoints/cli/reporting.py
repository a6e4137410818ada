"""`report`: what is written about a run for people who decide."""

from __future__ import annotations

from pathlib import Path

import click

from greenlight import wiring
from greenlight.entrypoints.cli.common import json_option, opened, show_json
from greenlight.lookup import find_run

PILOTS = Path("artifacts", "pilots")


@click.group()
def report() -> None:
    """Write what a run made, and what came of it."""


@report.command()
@click.argument("run")
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder (default: artifacts/pilots/TASK-NUMBER).",
)
@click.option("--page/--no-page", default=True, help="Write the HTML page too.")
@json_option
@click.pass_context
def pilot(context: click.Context, run: str, out: Path | None, page: bool, as_json: bool) -> None:
    """Write the pilot report of RUN: Markdown with figures, and one HTML page with both.

    It tells what went in, what came out, how the new version did beside the live one, offline and
    before users, whether it should go further, what was learnt, and what is to be done. All of it
    is read from the records; what they do not hold it does not say.
    """
    with opened(context) as app:
        found = find_run(app.store, run)
        folder = out or Path(app.settings.root) / PILOTS / f"{found.task}-{found.number}"
        paths = wiring.write_pilot(app, found, folder, page=page)
    if as_json:
        show_json({name: str(path) for name, path in paths.items()})
        return
    for path in paths.values():
        click.echo(path)
