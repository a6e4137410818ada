"""`doctor`: everything that is needed, tried for real."""

from __future__ import annotations

import textwrap

import click
import msgspec

from greenlight import release
from greenlight.entrypoints.cli.common import json_option, show_json
from greenlight.entrypoints.cli.lazy import NOT_OK, WARNED

WIDTH = 100
_COLOURS = {"ok": "green", "warning": "yellow", "fault": "red"}


@click.command()
@click.option("--fail-on-warn", is_flag=True, help="Exit with 3 if there is a warning.")
@json_option
@click.pass_context
def doctor(context: click.Context, fail_on_warn: bool, as_json: bool) -> None:
    """Try everything that is needed, and say how to mend what does not work.

    Configuration, disk, store, cache, keys, encoder, data sets, the gateway's port, providers and
    model servers, channels of notifications, clock. It changes nothing, fetches nothing, sends
    nothing and spends no tokens. Exits with 1 if there is a fault.
    """
    from greenlight.wiring.doctor import examine

    build, found = release.build(), []
    if not as_json:
        click.echo(build)
    for finding in examine(context.find_root().obj):
        found.append(finding)
        if not as_json:
            _show(finding.check, finding.outcome, finding.what, finding.fix)
    count = {outcome: sum(one.outcome == outcome for one in found) for outcome in _COLOURS}
    if as_json:
        show_json(
            {
                "ok": not count["fault"],
                "build": build._asdict(),
                "counts": count,
                "findings": msgspec.to_builtins(found),
            }
        )
    else:
        click.echo(", ".join(f"{number} {outcome}" for outcome, number in count.items()))
    if count["fault"]:
        context.exit(NOT_OK)
    if count["warning"] and fail_on_warn:
        context.exit(WARNED)


def _show(check: str, outcome: str, what: str, fix: str | None) -> None:
    """One finding: its outcome, what was tried, what was seen, and how to mend it."""
    mark = click.style(outcome.ljust(7), fg=_COLOURS[outcome])
    first, *rest = _wrapped(f"{check}: {what}") + _wrapped(f"fix: {fix}" if fix else "")
    click.echo(f"{mark}  {first}")
    for line in rest:
        click.echo(" " * 9 + line)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
