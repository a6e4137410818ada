"""Shell completion: the scripts, and what they offer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from greenlight.entrypoints.cli import COMMANDS, main
from tests.cli.project import Project
from tests.cli.test_main import HEAVY, modules_after

MARKS = {"bash": "complete -o nosort -F", "zsh": "compdef ", "fish": "complete --no-files"}


def offered(line: str, folder: Path | None = None) -> list[str]:
    """What a shell is offered for the last word of a line, as the script asks for it."""
    words = line.split(" ")
    answer = CliRunner().invoke(
        main,
        [],
        prog_name="greenlight",
        env={
            "_GREENLIGHT_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
            "GREENLIGHT_CONFIG": str(folder / "greenlight.toml") if folder else None,
        },
    )
    return [item.partition(",")[2] for item in answer.stdout.split()]


@pytest.mark.parametrize("shell", MARKS)
def test_the_script_of_a_shell(project: Project, shell: str) -> None:
    script = project.ok("completion", shell)
    assert "_GREENLIGHT_COMPLETE" in script and MARKS[shell] in script
    found = project.json("completion", shell)
    assert found["shell"] == shell
    assert found["script"] + "\n" == script


def test_another_shell_is_refused(project: Project) -> None:
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in project.refused(2, "completion", "tcsh")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_itself_takes_the_script(project: Project, shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}: install Debian's package {shell}")
    file = tmp_path / "script"
    file.write_text(project.ok("completion", shell), encoding="utf-8")
    done = subprocess.run([shell, "-n", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_bash_completes_through_the_script(project: Project, tmp_path: Path) -> None:
    """The real thing: bash calls the function that the script defines."""
    if shutil.which("bash") is None:
        pytest.skip("needs bash: install Debian's package bash")
    file = tmp_path / "script"
    file.write_text(project.ok("completion", "bash"), encoding="utf-8")
    program = tmp_path / "greenlight"
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "from greenlight.entrypoints.cli import main; '
        'main(prog_name=\'greenlight\')" "$@"\n'
    )
    program.chmod(0o755)
    asked = (
        f'source {file}; COMP_WORDS=(greenlight run ""); COMP_CWORD=2; '
        '_greenlight_completion greenlight; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", asked],
        capture_output=True,
        text=True,
        cwd=project.folder,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=True,
    )
    assert done.stdout.split() == ["intent"]


def test_commands_and_options() -> None:
    assert offered("greenlight ") == list(COMMANDS)
    assert offered("greenlight ro") == ["rollout", "rollouts"]
    assert offered("greenlight runs a") == ["abort"]
    assert offered("greenlight status --wa") == ["--watch"]
    assert offered("greenlight feedback 0199 G") == ["good"]
    assert offered("greenlight no-such-command x") == []


def test_tasks_and_versions_of_the_project(evaluated: Project) -> None:
    assert offered("greenlight run ", evaluated.folder) == ["intent"]
    assert offered("greenlight status in", evaluated.folder) == ["intent"]
    assert offered("greenlight status x", evaluated.folder) == []
    for command in ("approve", "versions show", "rollout start intent", "compare intent@1"):
        assert offered(f"greenlight {command} ", evaluated.folder) == ["intent@1"]
    assert offered("greenlight approve intent@2", evaluated.folder) == []


def test_without_a_project_nothing_is_offered_and_nothing_is_made(tmp_path: Path) -> None:
    assert offered("greenlight run ", tmp_path) == []
    assert offered("greenlight approve ", tmp_path) == []
    (tmp_path / "greenlight.toml").write_text("no toml at all [", encoding="utf-8")
    assert offered("greenlight run ", tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["greenlight.toml"]


def test_names_of_commands_cost_no_import(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("COMP_WORDS", "greenlight r"), ("COMP_CWORD", "1")):
        monkeypatch.setenv(name, value)
    assert not modules_after("--help") & {*HEAVY, "msgspec", "sqlite3"}
    assert offered("greenlight r")[:2] == ["run", "runs"]
