"""`kill`: a task's candidate leaves traffic for good, with everything else down."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from greenlight import wiring
from greenlight.config import Settings
from greenlight.core.records import SECOND
from greenlight.entrypoints.cli.common import (
    as_option,
    json_option,
    own_secret,
    refuse_another,
    settings,
    show_json,
)
from greenlight.wiring import Killed


@click.command()
@click.argument("task")
@click.option("-m", "--message", "why", required=True, help="The reason, on record.")
@click.option(
    "--lift", is_flag=True, help="Let a new rollout start again; takes the quorum's role."
)
@as_option
@json_option
@click.pass_context
def kill(
    context: click.Context, task: str, why: str, lift: bool, name: str | None, as_json: bool
) -> None:
    """Take the candidate of TASK out of traffic on every gateway, for good.

    It needs greenlight.toml and the file of the kill switch: no store, no gateway, no controller.
    Everybody in [people] may.
    """
    found = settings(context)
    secret = own_secret()
    refuse_another(found, secret, name)
    made = wiring.kill(found, task, secret=secret, why=why, lift=lift)
    if as_json:
        show_json(as_values(made))
    else:
        click.echo(told(found, made))


def as_values(made: Killed) -> dict[str, Any]:
    """What a use of the kill switch came to, for programs."""
    entry = msgspec.structs.asdict(made.entry)
    del entry["signature"]
    return {**entry, "file": made.file, "replicas": made.replicas}


def told(found: Settings, made: Killed) -> str:
    """The same, for people."""
    entry = made.entry
    lines = [f"{entry.task}: {entry}"]
    if entry.killed:
        poll = found.gateway.poll / SECOND
        lines.append(
            f"control answers everybody on every gateway that sees {made.file}, within {poll:g} s; "
            "no rollout of this task starts until it is lifted"
        )
    else:
        lines.append("a new rollout may start; what was killed stays out of traffic")
    if made.replicas is None:
        lines.append("the store was not asked, or did not answer in time: it was not needed")
    elif not made.replicas:
        lines.append("no gateway is alive, as far as the store knows")
    for replica, obeys in sorted((made.replicas or {}).items()):
        lines.append(f"{replica}: {'obeys' if obeys else NOT_YET}")
    return "\n".join(lines)


NOT_YET = "has not told that it obeys yet; does it see the file? (greenlight status)"
