"""What every command gets on top of its own: examples in its help, and completed arguments."""

from __future__ import annotations

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from greenlight.entrypoints.cli import completing
from greenlight.entrypoints.cli.examples import epilog

Names = Callable[[click.Context, str], list[str]]


class Named(click.types.StringParamType):
    """A text for which a shell that completes is offered names."""

    def __init__(self, names: Names) -> None:
        """Offer what `names` finds for the beginning of a name."""
        super().__init__()
        self._names = names

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """See `click.ParamType.shell_complete`."""
        return [CompletionItem(name) for name in self._names(ctx, incomplete)]


ARGUMENTS = {
    "task": Named(completing.tasks),
    "version": Named(completing.versions),
    "a": Named(completing.versions),
    "b": Named(completing.versions),
}
"""Name of an argument → what a shell is offered for it, in whatever command it stands."""


def equip(command: click.Command, path: tuple[str, ...]) -> None:
    """Give a command, and all below it, their examples and their completions.

    Args:
        command: as it was declared.
        path: the names by which it is called.
    """
    command.epilog = epilog(" ".join(path))
    for parameter in command.params:
        if isinstance(parameter, click.Argument) and parameter.name in ARGUMENTS:
            parameter.type = ARGUMENTS[parameter.name]
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            equip(below, (*path, name))
