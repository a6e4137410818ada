"""`validate` and `audit`: is what is written down right, and is it still what was written?"""

from __future__ import annotations

import click

from greenlight import config
from greenlight.entrypoints.cli.common import json_option, opened, settings, show_json
from greenlight.entrypoints.cli.lazy import NOT_OK, WARNED
from greenlight.stages.audit import audit as audit_records


@click.command()
@click.option("--fail-on-warn", is_flag=True, help="Exit with 3 if there is a warning.")
@json_option
@click.pass_context
def validate(context: click.Context, fail_on_warn: bool, as_json: bool) -> None:
    """Check greenlight.toml and show every fault at once."""
    found = settings(context)
    warnings = config.warnings(found)
    if as_json:
        show_json(
            {
                "ok": True,
                "config_digest": found.config_digest,
                "tasks": sorted(found.tasks),
                "people": sorted(found.people),
                "warnings": warnings,
            }
        )
    else:
        count = f"{len(found.tasks)} task" + ("s" if len(found.tasks) != 1 else "")
        click.echo(f"{context.find_root().obj}: valid; {count}, digest {found.config_digest}")
        for warning in warnings:
            click.echo(f"warning: {warning}")
    if warnings and fail_on_warn:
        context.exit(WARNED)


@click.group()
def audit() -> None:
    """Check that nothing on record was changed."""


@audit.command()
@json_option
@click.pass_context
def verify(context: click.Context, as_json: bool) -> None:
    """Check the ledger's chain, and approvals and evaluations against it."""
    with opened(context) as app:
        report = audit_records(app.store)
    if as_json:
        show_json(report)
    else:
        for problem in report.problems:
            click.echo(problem)
        count = len(report.problems)
        words = "intact" if report.ok else f"{count} problem" + ("s" if count > 1 else "")
        click.echo(f"ledger: {report.entries} entries, head {report.head}: {words}")
    if not report.ok:
        context.exit(NOT_OK)
