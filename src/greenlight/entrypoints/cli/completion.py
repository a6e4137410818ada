"""`completion`: a shell that completes commands, options, tasks and versions."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from greenlight.entrypoints.cli.common import json_option, show_json

PROGRAM = "greenlight"
VARIABLE = "_GREENLIGHT_COMPLETE"
"""What the script sets to ask the program for completions."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
@click.pass_context
def completion(context: click.Context, shell: str, as_json: bool) -> None:
    """Print what makes SHELL complete commands, options, tasks and versions."""
    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    script = kind(context.find_root().command, {}, PROGRAM, VARIABLE).source()
    if as_json:
        show_json({"shell": shell, "script": script})
    else:
        click.echo(script)
