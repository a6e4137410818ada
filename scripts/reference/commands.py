"""The options and examples of every command, as `greenlight COMMAND --help` tells of them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, TypeGuard

import click

from greenlight.entrypoints.cli import main
from greenlight.entrypoints.cli.examples import HEAD
from scripts.reference.blocks import table

ROOT = "greenlight"


def blocks() -> dict[str, str]:
    """The blocks of docs/cli.md: name of a command → its options and examples."""
    return {name: _block(command, context) for name, command, context in commands()}


def commands() -> Iterator[tuple[str, click.Command, click.Context]]:
    """`greenlight` itself and every command that does something, by the name it is called by."""
    context = click.Context(main, info_name=ROOT, **main.context_settings)
    yield ROOT, main, context
    yield from _below(main, context)


def _below(
    group: click.Group, context: click.Context
) -> Iterator[tuple[str, click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, parent=context, info_name=name)
        if isinstance(command, click.Group):
            yield from _below(command, inner)
        else:
            yield inner.command_path, command, inner


def _block(command: click.Command, context: click.Context) -> str:
    found = [option for option in command.get_params(context) if _shown(option, context)]
    rows = [(_call(option, context), _does(option, context)) for option in found]
    options = table(("option", "does"), rows) if rows else "It takes no options.\n"
    lines = _examples(command)
    return options + (f"\n```sh\n{lines}\n```\n" if lines else "")


def _shown(option: click.Parameter, context: click.Context) -> TypeGuard[click.Option]:
    """Whether an option is told of; that every command has `--help` is said once."""
    if not isinstance(option, click.Option) or option.hidden:
        return False
    return context.parent is None or "--help" not in option.opts


def _examples(command: click.Command) -> str:
    """The examples at the end of a command's help."""
    _, _, lines = (command.epilog or "").partition(f"{HEAD}\n")
    return textwrap.dedent(lines).strip()


def _call(option: click.Option, context: click.Context) -> str:
    """How an option is written, such as `-m`, `--message TEXT`."""
    names = sorted(option.opts, key=len)
    value = "" if option.is_flag or option.count else f" {_metavar(option, context)}"
    return ", ".join(f"`{name}`" for name in names[:-1]) + (
        f"{', ' if names[:-1] else ''}`{names[-1]}{value}`"
    )


def _metavar(option: click.Option, context: click.Context) -> str:
    shown = option.make_metavar(context).removesuffix(" RANGE")
    return shown.strip("[]").replace("|", "\\|") if shown.startswith("[") else shown


def _does(option: click.Option, context: click.Context) -> str:
    """What an option does, whether it must be given, and what holds without it."""
    text = (option.help or "").replace("|", "\\|")
    told: list[str] = []
    if option.required:
        told.append("Required.")
    if option.show_default:
        told.append(f"Default: `{_default(option.get_default(context))}`.")
    if option.envvar and isinstance(option.envvar, str):
        told.append(f"Also the variable `{option.envvar}`.")
    return " ".join([text, *told])


def _default(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
