"""`incidents`: what followed each rollback; and `rollouts evidence`, its folder."""

from __future__ import annotations

from pathlib import Path

import click

from greenlight import wiring
from greenlight.core import aftermath
from greenlight.core.errors import NotFound
from greenlight.core.incidents import Incident
from greenlight.core.records import Rollout
from greenlight.entrypoints.cli.common import (
    facts,
    json_option,
    labels,
    limit_option,
    moment,
    name_of,
    opened,
    public,
    show_json,
    table,
    task_argument,
)
from greenlight.lookup import find_by_id
from greenlight.ports import Records


@click.group()
def incidents() -> None:
    """List rollbacks and what was done about each, or show one."""


@incidents.command("list")
@task_argument
@click.option("--open", "open_only", is_flag=True, help="Only those that are not closed.")
@limit_option
@json_option
@click.pass_context
def list_incidents(
    context: click.Context, task: str | None, open_only: bool, limit: int, as_json: bool
) -> None:
    """List incidents, the newest first: every rollback is one."""
    with opened(context) as app:
        where: dict[str, str | int | None] = {}
        if task:
            where["task"] = app.settings.task(task).name
        if open_only:
            where["closed_at"] = None
        found = app.store.scan(Incident, where, newest_first=True, limit=limit)
        known = labels(app.store)
    if as_json:
        show_json([_plain(incident) for incident in found])
        return
    rows = [
        (
            it.rollout,
            it.task,
            name_of(it.candidate, known),
            it.code,
            moment(it.at),
            aftermath.standing(it),
        )
        for it in found
    ]
    click.echo(table(("ROLLOUT", "TASK", "CANDIDATE", "CODE", "AT", "STANDS"), rows))


@incidents.command("show")
@click.argument("rollout")
@json_option
@click.pass_context
def show_incident(context: click.Context, rollout: str, as_json: bool) -> None:
    """Show what followed a rollback, step by step. ROLLOUT may be shortened.

    A task's name is its newest rollback.
    """
    with opened(context) as app:
        found = _find(app.store, rollout)
        known = labels(app.store)
    if as_json:
        show_json(_plain(found))
        return
    lines = [
        ("rollout", found.rollout),
        ("task", found.task),
        ("candidate", name_of(found.candidate, known)),
        ("control", name_of(found.control, known)),
        ("decision", f"{found.decision} ({found.code}: {found.reason})"),
        ("drill", found.drill or "no"),
        ("at", moment(found.at)),
        ("stands", aftermath.standing(found)),
        ("closed", moment(found.closed_at)),
    ]
    click.echo(facts(lines) + "\n")
    rows = [(step, moment(at), says) for step, at, says in aftermath.told(found)]
    click.echo(table(("STEP", "DONE", "WHAT CAME OF IT"), rows))
    if found.closed_at is None:
        click.echo("a controller goes on with it: greenlight controller, or greenlight up")


@click.command("evidence")
@click.argument("rollout")
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write (default: evidence/ROLLOUT beside greenlight.toml).",
)
@json_option
@click.pass_context
def write_evidence(context: click.Context, rollout: str, out: Path | None, as_json: bool) -> None:
    """Write the evidence folder of a ROLLOUT that has ended, from the store. It may be shortened.

    A task's name is its newest rollout. A folder that is there already is written again.
    """
    with opened(context) as app:
        found = find_by_id(app.store, Rollout, rollout)
        folder = wiring.write_evidence(app, found, out)
    if as_json:
        show_json({"rollout": found.id, "folder": str(folder), "page": str(folder / "index.html")})
    else:
        click.echo(f"written: {folder / 'index.html'}")


def _find(records: Records, name: str) -> Incident:
    newest = records.scan(Incident, {"task": name}, newest_first=True, limit=1)
    if newest:
        return newest[0]
    rollout = find_by_id(records, Rollout, name)
    found = records.get(Incident, rollout.id)
    if found is None:
        raise NotFound(
            f"rollout {rollout.id} is {rollout.status} and has no incident: only a rollback makes "
            "one; see: greenlight incidents list"
        )
    return found


def _plain(incident: Incident) -> dict[str, object]:
    return {**public(incident), "stands": aftermath.standing(incident)}
