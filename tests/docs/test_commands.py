"""Every command of `greenlight` stands in docs/cli.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from greenlight.entrypoints.cli import main

DOCUMENT = (Path(__file__).parents[2] / "docs/cli.md").read_text(encoding="utf-8")


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


@pytest.mark.parametrize("name", list(commands(main, ("greenlight",))))
def test_command_is_documented(name: str) -> None:
    """X5"""
    assert f"`{name}" in DOCUMENT, f"docs/cli.md does not tell of `{name}`"


def test_undocumented_command_is_found() -> None:
    group = click.Group("g", commands=[click.Command("a"), click.Command("b", hidden=True)])
    assert list(commands(group, ("g",))) == ["g", "g a"]
