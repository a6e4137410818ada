"""`purge`: erase what people wrote, by age or by unit."""

from __future__ import annotations

import sys

import click

from greenlight import wiring
from greenlight.config import units
from greenlight.entrypoints.cli.common import initiator, json_option, opened, show_json
from greenlight.stages.purge import Findings

REMEMBERS = (
    "models stay: a model may remember what it was trained on; run the task again to replace it"
)


@click.command()
@click.argument("task")
@click.option("--unit", help="Erase this unit's; - reads the name from standard input.")
@click.option("--older-than", metavar="AGE", help='Erase what is older, such as "90d".')
@click.option("--dry-run", is_flag=True, help="Only show what would be erased.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def purge(
    context: click.Context,
    task: str,
    unit: str | None,
    older_than: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase what was asked, answered and said on TASK, by unit or by age.

    Inferences and feedback go, and every dataset that holds a row of them; evidence stays, without
    names. What was erased cannot be brought back.
    """
    from rich.console import Console

    from greenlight.entrypoints.progress import bar

    if (unit is None) == (older_than is None):
        raise click.UsageError("give --unit UNIT or --older-than AGE")
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json asks nothing: add --yes to erase, or --dry-run")
    name = sys.stdin.readline().rstrip("\n") if unit == "-" else unit
    if name == "":
        raise click.UsageError("--unit: a unit has a name")
    with opened(context) as app, bar(Console(quiet=as_json), task) as progress:
        order = wiring.erasure_order(
            app, task, unit=name, older_than=_age(older_than), initiator=initiator(app)
        )
        found = wiring.look_for(app, order, progress)
        copies = wiring.mentions(app, order)
        if dry_run:
            _show(found, copies, as_json, {"dry_run": True})
            return
        if not yes:
            _show(found, copies, as_json, {})
            click.confirm("erase this for good?", abort=True)
        done = wiring.purge(app, order, progress)
    known = {"dry_run": False, "id": done.id, "entry": done.entry, "continued": done.continued}
    _show(done.found, copies, as_json, known)
    if not as_json:
        click.echo(f"erased; ledger entry {done.entry}")


def _age(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return units.duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--older-than") from error


def _show(found: Findings, copies: list[str], as_json: bool, also: dict[str, object]) -> None:
    if as_json:
        show_json({**also, "found": found, "copies": copies})
        return
    rows = ", ".join(f"{count:,} {name}" for name, count in found.rows.items()) or "nothing"
    click.echo(f"rows: {rows}")
    if found.kept:
        click.echo(f"kept: {found.kept:,} inferences that a running rollout rests on")
    for digest in found.folders:
        click.echo(f"dataset: {digest}")
    for digest in found.kept_folders:
        click.echo(f"kept: dataset {digest}, which a run under way needs")
    if found.versions:
        click.echo(f"trained on them: {', '.join(found.versions)}; {REMEMBERS}")
    for name in found.silent:
        click.echo(
            f"gateway {name} fell silent: if its spool comes back, so do its rows; purge again"
        )
    for path in copies:
        click.echo(f"look at {path}: the name stands in it; files of your own are left alone")
