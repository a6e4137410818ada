"""A click group that imports a command only when it is called."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from greenlight.core.errors import GreenlightError, UserError

NOT_OK, USAGE, WARNED = 1, 2, 3
"""Exit codes: it did not go well; the caller can mend it; a warning under --fail-on-warn."""


class LazyGroup(click.Group):
    """Takes its commands from a table, and ends deliberate errors with a message, not a trace."""

    def __init__(
        self, *args: Any, package: str, commands: Mapping[str, tuple[str, str]], **options: Any
    ) -> None:
        """Set up the group.

        Args:
            args: as for `click.Group`.
            package: the package that holds the commands' modules.
            commands: name → (module:attribute, short help).
            options: as for `click.Group`.
        """
        super().__init__(*args, **options)
        self._package = package
        self._table = commands

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, and give it what all of them have."""
        if cmd_name not in self._table:
            return None
        from greenlight.entrypoints.cli.equipping import equip  # --help does not wait for it

        module, _, attribute = self._table[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(f"{self._package}.{module}"), attribute)
        assert isinstance(command, click.Command)
        equip(command, (cmd_name,))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the nearest one."""
        known = ctx.resilient_parsing or not args or args[0] in self._table
        if not known and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self._table, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see greenlight --help"
            ctx.fail(f"no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._table.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name from the table, without importing any."""
        options = click.Command.shell_complete(self, ctx, incomplete)
        return options + [
            CompletionItem(name, help=line)
            for name, (_, line) in self._table.items()
            if name.startswith(incomplete)
        ]

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a deliberate error becomes one paragraph and an exit code."""
        try:
            return super().invoke(ctx)
        except GreenlightError as error:
            click.echo(f"greenlight: {error}", err=True)
            ctx.exit(USAGE if isinstance(error, UserError) else NOT_OK)
        except click.exceptions.NoSuchCommand as error:
            raise _with_names(error) from error
        except OSError as error:
            from greenlight import artifacts  # --help does not wait for it

            told = artifacts.unwritable(error.filename or "the disk", error)
            if told is None:
                raise
            click.echo(f"greenlight: {told}", err=True)
            ctx.exit(NOT_OK)


def _with_names(error: click.exceptions.NoSuchCommand) -> click.UsageError:
    """The same, naming the commands of the group where none is near."""
    group = error.ctx.command if error.ctx is not None else None
    if error.possibilities or not isinstance(group, click.Group):
        return error
    return click.UsageError(f"{error.message} There are: {', '.join(group.commands)}.", error.ctx)
