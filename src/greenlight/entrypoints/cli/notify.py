"""`notify`: whether a channel works, and how far each one is."""

from __future__ import annotations

import click
import msgspec

from greenlight import wiring
from greenlight.core.errors import UserError
from greenlight.core.notices import Backlog
from greenlight.entrypoints.cli.common import json_option, moment, opened, show_json, table
from greenlight.entrypoints.cli.lazy import NOT_OK


@click.group()
def notify() -> None:
    """Try the channels of [notify] on which people hear of what happens, and see how far they
    are."""


@notify.command("test")
@click.argument("channel", required=False)
@json_option
@click.pass_context
def test(context: click.Context, channel: str | None, as_json: bool) -> None:
    """Send a test message now, and say what came of it.

    On CHANNEL, or on every one. Exits with 1 if one of them did not arrive.
    """
    with opened(context) as app:
        names = [channel] if channel is not None else list(app.settings.notify)
        if not names:
            raise UserError(
                "there is no channel: write a table [notify.NAME] into greenlight.toml "
                "(docs/notifications.md)"
            )
        found = []
        for name in names:
            found.append(wiring.try_channel(app, name))
            if not as_json:
                _say(found[-1])
    if as_json:
        show_json({"trials": msgspec.to_builtins(found)})
    if not all(one.delivered for one in found):
        context.exit(NOT_OK)


def _say(trial: wiring.Trial) -> None:
    if trial.delivered:
        click.echo(f"{trial.channel} ({trial.kind}): delivered")
    else:
        click.echo(f"{trial.channel} ({trial.kind}): not delivered: {trial.error}", err=True)


@notify.command("list")
@json_option
@click.pass_context
def list_channels(context: click.Context, as_json: bool) -> None:
    """Show how far each channel is, and what went wrong.

    That is: messages delivered and given up, how far it is behind the ledger, the last error.
    """
    with opened(context) as app:
        found = wiring.backlogs(app)
    if as_json:
        show_json({"channels": msgspec.to_builtins(found)})
    elif not found:
        click.echo("no channel; a table [notify.NAME] in greenlight.toml makes one")
    else:
        head = ("channel", "kind", "delivered", "given up", "behind", "state")
        rows = [
            (one.channel, one.kind, one.delivered, one.given_up, _behind(one), _state(one))
            for one in found
        ]
        click.echo(table(head, rows))


def _behind(one: Backlog) -> str:
    if not one.entries:
        return "–"
    what = "entry" if one.entries == 1 else "entries"
    return f"{one.entries} {what}, {one.seconds:.0f} s"


def _state(one: Backlog) -> str:
    """Whether it works; what went wrong last, and when it is tried again."""
    if not one.begun:
        return "begins with the next start of a controller"
    if one.attempts:
        return f"failed {one.attempts} times: {one.error}; again at {moment(one.next_at)}"
    return f"the last message was given up: {one.error}" if one.error else "ok"
