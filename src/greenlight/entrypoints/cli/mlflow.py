"""`mlflow`: bring the mirror in line now, and see how far it is."""

from __future__ import annotations

import click
import msgspec

from greenlight import wiring
from greenlight.core.errors import UserError
from greenlight.entrypoints.cli.common import facts, json_option, moment, opened, show_json
from greenlight.entrypoints.cli.lazy import NOT_OK


@click.group()
def mlflow() -> None:
    """Mirror runs and versions to the MLflow of [mlflow], and see how far it is."""


@mlflow.command("sync")
@json_option
@click.pass_context
def sync(context: click.Context, as_json: bool) -> None:
    """Bring MLflow in line with the store now.

    A worker does so by itself. This looks at every run and version, also at what somebody changed
    in MLflow. It may be stopped and repeated at any time. Exits with 1 if something is not there.
    """
    with opened(context) as app:
        step = wiring.sync_mirror(app)
    if as_json:
        show_json(msgspec.to_builtins(step))
    elif step.outcome in ("current", "mirrored"):
        click.echo(f"{step.put} brought in line" if step.put else "MLflow is as it should be")
    elif step.outcome == "taken":
        click.echo("another process mirrors just now; nothing is to be done", err=True)
    else:
        click.echo(f"not mirrored: {step.error}", err=True)
    if not as_json:
        for line in step.refused:
            click.echo(f"not mirrored, {line}", err=True)
    if step.refused or step.outcome not in ("current", "mirrored"):
        context.exit(NOT_OK)


@mlflow.command("status")
@json_option
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Show how far MLflow is behind the ledger, and what went wrong."""
    with opened(context) as app:
        found = wiring.mirror_backlog(app)
        url = app.settings.mlflow.url
    if found is None:
        raise UserError(
            "nothing is mirrored: write url into a table [mlflow] of greenlight.toml "
            "(docs/how-to/mirror-to-mlflow.md)"
        )
    if as_json:
        show_json(msgspec.to_builtins(found))
        return
    behind = f"{found.entries} entries of the ledger, {found.seconds:.0f} s"
    state = "ok"
    if not found.begun:
        state, behind = "begins with the next start of a worker, or: greenlight mlflow sync", "all"
    elif found.attempts:
        state = f"failed {found.attempts} times: {found.error}; again at {moment(found.next_at)}"
    click.echo(
        facts(
            [
                ("url", url),
                ("behind", behind if found.entries or not found.begun else "–"),
                ("brought in line", found.delivered),
                ("refused", found.given_up),
                ("state", state),
            ]
        )
    )
