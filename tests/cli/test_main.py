"""The command line as a whole: quick help, clear errors, one exit code for each kind of end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from greenlight import __version__
from greenlight.entrypoints.cli import COMMANDS, main
from tests.cli.project import Project

HEAVY = (
    "numpy",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "onnxruntime",
    "aiohttp",
    "matplotlib",
    "rich",
    "phonenumbers",
)

PROBE = """
import json, sys
from greenlight.entrypoints.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def modules_after(*words: str) -> set[str]:
    """The top-level modules that a command has loaded when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *words], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stderr))


def test_help_loads_nothing_heavy() -> None:
    """INTERFACES: --help in under 200 ms; importing is what would cost more."""
    loaded = modules_after("--help")
    assert not loaded & {*HEAVY, "msgspec"}
    assert "click" in loaded


def test_validate_loads_neither_models_nor_servers(project: Project) -> None:
    loaded = modules_after("--config", str(project.file), "validate")
    assert not loaded & {"sklearn", "onnxruntime", "aiohttp", "matplotlib", "uvicorn"}


def test_help_tells_of_every_command_and_exit_code() -> None:
    text = CliRunner().invoke(main, ["--help"]).stdout
    assert all(f"  {name} " in text for name in COMMANDS)
    assert "Exit codes: 0" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_is_there(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    assert command.help


SERVERS = {"up", "gateway", "controller", "worker", "finetune-server"}
"""They run until they are stopped; what they print is a log."""


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - SERVERS))
def test_every_command_that_prints_takes_json(name: str) -> None:
    """INTERFACES: --json on every command that prints."""

    def leaves(command: click.Command) -> list[click.Command]:
        if not isinstance(command, click.Group):
            return [command]
        return [leaf for below in command.commands.values() for leaf in leaves(below)]

    command = main.get_command(click.Context(main), name)
    assert command is not None
    for leaf in leaves(command):
        assert any("--json" in parameter.opts for parameter in leaf.params), leaf.name


def test_the_version() -> None:
    assert __version__ in CliRunner().invoke(main, ["--version"]).stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["aprove"], "no command 'aprove'; did you mean 'approve'?"),
        (["zzz"], "see greenlight --help"),
        (["predict", "intent"], "Missing argument 'TEXT'"),
        (["approve", "intent@1"], "Missing option '-m'"),
        (["status", "--wach"], "No such option"),
    ],
)
def test_a_wrong_call_ends_with_two(project: Project, words: list[str], says: str) -> None:
    assert says in project.refused(2, *words)


def test_without_a_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["-C", str(tmp_path), "status"])
    assert result.exit_code == 2
    assert "greenlight.toml: No such file or directory; write one by greenlight" in result.stderr


def test_the_file_can_be_named(project: Project) -> None:
    other = project.folder / "other.toml"
    project.file.rename(other)
    runner = CliRunner()
    assert runner.invoke(main, ["--config", str(other), "validate"]).exit_code == 0
    assert runner.invoke(main, ["validate"], env={"GREENLIGHT_CONFIG": str(other)}).exit_code == 0


def test_a_store_that_cannot_be_opened_ends_with_one(project: Project) -> None:
    (project.folder / "not.db").write_bytes(b"no database" * 1000)
    message = project.refused(1, "status", GREENLIGHT_STORE_URL="sqlite:///not.db")
    assert "not.db" in message
