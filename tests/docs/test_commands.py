"""Every command of `greenlight` stands in docs/cli.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from greenlight.entrypoints.cli import main

DOCUMENT = Path(__file__).parents[2] / "docs/cli.md"


def commands(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    """The full name of a command and of everything below it; hidden ones are nobody's business."""
    if command.hidden:
        return
    yield " ".join(path)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, f"{' '.join(path)} lists {name} but has no such command"
            yield from commands(below, (*path, name))


def missing(command: click.Command, document: str) -> list[str]:
    """Commands that the document does not name, as `greenlight name` in code style."""
    names = commands(command, ("greenlight",))
    return [name for name in names if f"`{name}`" not in document and f"`{name} " not in document]


def test_every_command_is_documented() -> None:
    """X5: the reference of the command line is complete."""
    found = missing(main, DOCUMENT.read_text(encoding="utf-8"))
    assert not found, f"docs/cli.md does not tell of {found}"


def test_an_undocumented_command_is_found() -> None:
    below = [click.Command("list"), click.Command("secret", hidden=True)]
    group = click.Group("greenlight", commands=[click.Group("runs", commands=below)])
    assert missing(group, "`greenlight [OPTIONS]`, `greenlight runs`") == ["greenlight runs list"]
    assert not missing(group, "`greenlight`, `greenlight runs` and `greenlight runs list [-h]`")
