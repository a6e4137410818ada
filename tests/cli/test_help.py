"""`--help`: quick, and every command shows how it is called, by lines that can be typed."""

from __future__ import annotations

import re
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from greenlight.entrypoints.cli import COMMANDS, main
from greenlight.entrypoints.cli.examples import EXAMPLES, HEAD
from tests.cli.test_main import HEAVY, modules_after

QUICK_S = 0.2
"""INTERFACES: CPU time of `greenlight --help`."""

SILENT = {
    "up": "runs until it is stopped; what it prints is a log",
    "gateway": "runs until it is stopped; what it prints is a log",
    "controller": "runs until it is stopped; what it prints is a log",
    "worker": "runs until it is stopped; what it prints is a log",
    "finetune-server": "runs until it is stopped; what it prints is a log",
}
"""Commands without --json, each with the reason."""


def commands(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group, groups included, with the names by which it is called."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands(main))
LINES = [line for lines in EXAMPLES.values() for line in lines]


def shown(*path: str) -> str:
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == 0
    return result.stdout


def refusal(line: str) -> str | None:
    """Why a line cannot be typed, or None: unknown commands and options, missing arguments."""
    inner = re.search(r"\$\((greenlight [^)]*)\)", line)
    if inner:
        line = inner[1]
    words = shlex.split(re.sub(r"\$\([^)]*\)", "x", line), comments=True)
    while "=" in words[0]:
        del words[0]
    if ">" in words:
        del words[words.index(">") :]
    if words[0] != "greenlight":
        return f"{line!r} calls no greenlight"
    try:
        return _parsed(main, click.Context(main, info_name="greenlight"), words[1:])
    except click.UsageError as error:
        return f"{line!r}: {error.format_message()}"


def _parsed(command: click.Command, context: click.Context, words: list[str]) -> str | None:
    given, rest, _ = command.make_parser(context).parse_args(list(words))
    if isinstance(command, click.Group):
        name, below, more = command.resolve_command(context, rest)
        assert below is not None
        return _parsed(below, click.Context(below, parent=context, info_name=name), more)
    needed = [p for p in command.params if p.required]
    lacks = [p.human_readable_name for p in needed if _absent(given.get(p.name or ""))]
    if lacks and "--help" not in words:
        return f"{words}: lacks {', '.join(lacks)}"
    return f"{words}: {rest} is too much" if rest else None


def _absent(value: object) -> bool:
    return value in (None, (), []) or type(value).__name__ == "Sentinel"


def test_help_is_quick() -> None:
    """Measured three times, for others use this machine, too."""
    command = [sys.executable, "-m", "greenlight.entrypoints.cli", "--help"]
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < QUICK_S


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("--version", "--json")])
def test_help_and_version_load_nothing_heavy(words: tuple[str, ...]) -> None:
    assert not modules_after(*words) & {*HEAVY, "msgspec", "dbos", "sqlite3"}


@pytest.mark.parametrize("path", [(), *ALL], ids=lambda path: " ".join(path) or "greenlight")
def test_every_help_ends_with_examples_of_that_command(path: tuple[str, ...]) -> None:
    text = shown(*path)
    lines = EXAMPLES[" ".join(path)]
    assert f"  {HEAD}\n" in text
    assert text.rstrip().endswith("\n".join(f"    {line}" for line in lines))
    assert all(f"greenlight {' '.join(path)}".strip() in line for line in lines if "-C" not in line)


@pytest.mark.parametrize("line", LINES)
def test_every_example_can_be_typed(line: str) -> None:
    assert refusal(line) is None


@pytest.mark.parametrize(
    "line",
    [
        "greenlight statsu",
        "greenlight status --wach",
        "greenlight predict intent",
        "greenlight approve intent@2",
        "greenlight runs list a b",
        "KEY=$(cat keys/ana) greenlight approve intent@2 --mesage x",
        "helm install greenlight",
    ],
)
def test_an_example_that_cannot_is_found(line: str) -> None:
    assert refusal(line) is not None


def test_there_are_examples_of_nothing_else() -> None:
    assert {" ".join(path) for path in [(), *ALL]} == EXAMPLES.keys()


def test_no_line_is_wider_than_a_screen_can_show() -> None:
    assert [line for line in LINES if len(line) > 120] == []


def test_whatever_prints_takes_json() -> None:
    """INTERFACES: --json on every command that prints."""
    without = {
        " ".join(path)
        for path, command in ALL.items()
        if not isinstance(command, click.Group)
        and not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == SILENT.keys()
    assert SILENT.keys() <= COMMANDS.keys()
