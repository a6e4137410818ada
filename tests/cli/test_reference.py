"""docs/cli.md tells of every option, in the section of its command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from greenlight.entrypoints.cli import main

PAGE = Path(__file__).parents[2] / "docs/cli.md"
SECTION = re.compile(r"^#{3,4} `greenlight ([a-z -]+[a-z])[^`]*`\n(.*?)(?=^#|\Z)", re.M | re.S)
SECTIONS = dict(SECTION.findall(PAGE.read_text(encoding="utf-8")))


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """(command, option) of everything that can be said on the command line."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from leaves(below, (*path, name))
        return
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield " ".join(path), max(parameter.opts, key=len)


OPTIONS = sorted(leaves(main))


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_every_option_is_documented(command: str, option: str) -> None:
    """X5: the reference of the command line is complete."""
    assert f"`{option}" in SECTIONS[command]


def test_no_option_is_documented_that_does_not_exist() -> None:
    for command, text in SECTIONS.items():
        said = set(re.findall(r"^\|.*?`(--[a-z0-9-]+)", text, re.M))
        assert said <= {option for name, option in OPTIONS if name == command}, command
