"""What a newcomer gets wrong first: the configuration, and the names of things (X5)."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from greenlight.entrypoints.cli import main
from tests.cli.messages import told
from tests.cli.project import Project

UNKNOWN = {
    "task": ("intnt", "unknown task"),
    "version": ("intent@9", "unknown version"),
    "a": ("intent@9", "unknown version"),
    "b": ("intent@9", "unknown version"),
    "run": ("intent#9", "unknown run"),
    "rollout": ("01890000", "unknown rollout"),
    "decision": ("01890000", "unknown decision"),
    "dataset": ("01890000", "unknown data set"),
    "first": ("01890000", "unknown data set"),
    "inference": ("01890000", "unknown answer"),
}
"""What a parameter is called → a value that names nothing, and what is said then."""

KNOWN = {
    "task": "intent",
    "version": "intent@1",
    "a": "intent@1",
    "b": "intent@1",
    "address": "none.csv",
    "label": "card",
    "summary": "none.json",
    "second": "01890000",
}
"""What a parameter is called → what to give where another one is at fault."""

OPTIONS = {
    "-m": ["because"],
    "--format": ["csv"],
    "--task": ["intent"],
    "--unit": ["ana"],
    "--fault": ["errors"],
    "--yes": [],
}
"""Options without which a command does not begin to look."""

ASKS_THE_GATEWAY = ("predict", "feedback")
"""Their names are looked up by the gateway: see test_newcomer_gateway.py."""


def commands(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with its words."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        if not path and name in ASKS_THE_GATEWAY:
            continue
        found = command.get_command(context, name)
        assert found is not None
        yield from commands(found, *path, name)


def call(path: tuple[str, ...], command: click.Command, wrong: str) -> list[str]:
    """The words of a call in which one parameter names nothing."""
    words, options = list(path), {name for param in command.params for name in param.opts}
    for param in command.params:
        assert param.name is not None
        given = UNKNOWN[param.name][0] if param.name == wrong else KNOWN.get(param.name)
        if isinstance(param, click.Argument):
            words += [given] if given is not None else []
        elif param.name == wrong:
            words += [param.opts[0], str(given)]
    for name, value in OPTIONS.items():
        if name in options - set(words):
            words += [name, *value]
    return words


def test_every_command_that_takes_a_name_says_which_there_are(evaluated: Project) -> None:
    """An unknown task, version, run, rollout, decision, data set or answer, in every command."""
    seen: set[str] = set()
    for path, command in commands(main):
        for name in sorted({str(param.name) for param in command.params} & UNKNOWN.keys()):
            result = evaluated.call(*call(path, command, name), by="ana")
            told(UNKNOWN[name][1], result)
            assert UNKNOWN[name][0] in result.stderr, path
            seen.add(name)
    assert seen == UNKNOWN.keys()


@pytest.mark.parametrize(
    ("case", "before", "after", "says"),
    [
        (
            "unknown key",
            "[tasks.intent.train]",
            "[tasks.intent.train]\nshedule = '0 2 * * 0'",
            "'schedule'",
        ),
        ("unknown word", 'source = "sample"', 'source = "samples"', "'sample'"),
        ("unknown word", 'name = "acme"', 'name = "a"\nenvironment = "production"', "'prod'"),
        ("wrong type", 'name = "acme"', "name = 3", "project.name: expected text, got 3"),
        ("no unit", "[tasks.intent.gates]", "[gateway]\npoll = 5\n[tasks.intent.gates]", "got 5"),
        ("missing key", 'backend = "tfidf-linear"', "", "tasks.intent.train.backend"),
        ("not TOML", 'name = "acme"', "name = acme", "greenlight.toml:2"),
        ("no public key", 'key = "ed25519:', 'key = "', "greenlight keys person ana"),
    ],
)
def test_the_file_is_wrong(project: Project, case: str, before: str, after: str, says: str) -> None:
    """Each with its line, whatever command is called."""
    text = project.file.read_text(encoding="utf-8")
    assert before in text
    project.file.write_text(text.replace(before, after), encoding="utf-8")
    for words in (["validate"], ["status"], ["run", "intent"]):
        result = project.call(*words)
        told(case, result)
        assert says in result.stderr


def test_no_file(project: Project) -> None:
    project.file.unlink()
    for words in (["validate"], ["up"], ["run", "intent"], ["predict", "intent", "hello"]):
        result = project.call(*words)
        told("no configuration", result)
        assert str(project.file) in result.stderr


def test_a_file_in_latin_1(project: Project) -> None:
    text = project.file.read_text(encoding="utf-8").replace("acme", "acmé")
    project.file.write_bytes(text.encode("latin-1"))
    result = project.call("validate")
    told("not UTF-8", result)


def test_a_variable_is_wrong(project: Project) -> None:
    result = project.call("status", GREENLIGHT_GATEWAY_PORT="eighty")
    told("wrong variable", result)
    assert "GREENLIGHT_GATEWAY_PORT: gateway.port: " in result.stderr


@pytest.mark.parametrize("name", ["Ana", "ana smith", "2ana", "ana@example.org"])
def test_a_name_that_the_file_would_not_take(project: Project, name: str) -> None:
    """Refused before there is a key, not by `validate` afterwards."""
    result = project.call("keys", "person", name)
    told("bad name of a person", result)
    assert repr(name) in result.stderr and "glp_" not in result.output


@pytest.mark.parametrize(
    ("case", "words", "says"),
    [
        ("unknown command", ["statis"], "did you mean 'status'?"),
        ("unknown subcommand", ["versions", "lst"], "Did you mean 'list'?"),
        ("unknown subcommand", ["rollout", "begin"], "There are: rollback, abort, pause"),
        ("unknown option", ["run", "intent", "--forse"], "--force"),
    ],
)
def test_words_that_are_none(project: Project, case: str, words: list[str], says: str) -> None:
    result = project.call(*words)
    told(case, result)
    assert says in result.stderr


def test_a_stage_that_is_none(project: Project) -> None:
    result = project.call("run", "intent", "--from", "trian")
    told("unknown stage", result)


def test_before_there_is_a_version(project: Project) -> None:
    result = project.call("approve", "intent@1", "-m", "fine", by="ana")
    told("no version yet", result)


def test_a_key_of_an_application_that_is_none(project: Project) -> None:
    result = project.call("keys", "revoke", "shop", "-m", "lost")
    told("unknown key of an application", result)
