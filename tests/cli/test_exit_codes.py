"""INTERFACES: 0 it went well, 1 it did not, 2 the caller can mend it, 3 a warning if asked."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.examining import free_port
from tests.cli.project import Project

PAGE = Path(__file__).parents[2] / "docs/cli.md"

NO_GATEWAY = {"GREENLIGHT_GATEWAY_PORT": "1"}


def as_it_is(_project: Project) -> None:
    return None


def with_a_store(project: Project) -> None:
    project.ok("status")


def broken_store(project: Project) -> None:
    (project.folder / ".greenlight").mkdir()
    (project.folder / ".greenlight" / "greenlight.db").write_bytes(b"no database" * 1000)


def lost_ledger_entry(project: Project) -> None:
    project.ok("keys", "create", "shop", "--scope", "predict")
    with closing(sqlite3.connect(project.folder / ".greenlight" / "greenlight.db")) as store, store:
        store.execute("DELETE FROM ledger WHERE seq = (SELECT max(seq) FROM ledger)")


def few_roles(project: Project) -> None:
    text = project.file.read_text(encoding="utf-8")
    project.file.write_text(text.replace("product_owner", "intern"), encoding="utf-8")


def not_toml(project: Project) -> None:
    project.file.write_text("[", encoding="utf-8")


def bad_rows(project: Project) -> None:
    (project.folder / "rows.csv").write_text("text,label\na\n", encoding="utf-8")


CASES: list[tuple[int, str, Callable[[Project], None], dict[str, str]]] = [
    (0, "--help", as_it_is, {}),
    (0, "--version", as_it_is, {}),
    (0, "validate", as_it_is, {}),
    (0, "validate", few_roles, {}),
    (0, "status", as_it_is, {}),
    (0, "runs list", as_it_is, {}),
    (0, "keys person eve", as_it_is, {}),
    (0, "audit verify", with_a_store, {}),
    (0, "completion bash", as_it_is, {}),
    (1, "status", broken_store, {}),
    (1, "doctor", broken_store, {}),
    (1, "doctor", not_toml, {}),
    (1, "audit verify", lost_ledger_entry, {}),
    (1, "predict intent hello", as_it_is, NO_GATEWAY),
    (1, "import {folder}/rows.csv --task intent", bad_rows, {}),
    (2, "", as_it_is, {}),
    (2, "statsu", as_it_is, {}),
    (2, "status --wach", as_it_is, {}),
    (2, "status nowhere", as_it_is, {}),
    (2, "approve intent@1", as_it_is, {}),
    (2, "approve intent@1 -m why", as_it_is, {}),
    (2, "versions show intent@9", as_it_is, {}),
    (2, "rollout start intent intent@9", as_it_is, {}),
    (2, "validate", not_toml, {}),
    (2, "init", as_it_is, {}),
    (2, "completion tcsh", as_it_is, {}),
    (2, "purge intent", as_it_is, {}),
    (3, "validate --fail-on-warn", few_roles, {}),
    (3, "doctor --fail-on-warn", few_roles, {}),
]


@pytest.mark.parametrize(
    ("code", "line", "prepare", "environ"),
    CASES,
    ids=[f"{code} {line or 'nothing'} {prepare.__name__}" for code, line, prepare, _ in CASES],
)
def test_how_a_command_ends(
    project: Project,
    code: int,
    line: str,
    prepare: Callable[[Project], None],
    environ: dict[str, str],
) -> None:
    prepare(project)
    # Somebody's gateway on this machine is no concern here.
    environ = {"GREENLIGHT_GATEWAY_PORT": str(free_port()), **environ}
    result = project.call(*line.format(folder=project.folder).split(), **environ)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    if code in (1, 2) and not line.startswith(("doctor", "audit")):
        assert result.stderr.startswith(("greenlight: ", "Usage: ")), result.stderr


def test_the_page_tells_of_every_code() -> None:
    table = re.findall(r"^\| (\d) \| ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {int(code) for code in table} == {code for code, *_ in CASES}
