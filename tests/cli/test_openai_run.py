"""Runs with backend `openai`, from the configuration to a version that answers; what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from greenlight.core.records import Run, Version
from greenlight.lookup import everything
from greenlight.testing.finetune import finetune_server
from tests.cli.project import Project

OPTIONS = """\
[tasks.intent.train]
backend = "openai"
[tasks.intent.train.options]
url = "{url}"
model = "greenlight-small"
key = "env:TUNING_KEY"
prompt = "prompts/intent.txt"
prices = {{ training = 1000.0, input = 1.0, output = 2.0 }}
cost_limit = 0.01
poll = "100ms"
"""
LABELS = ("card", "cash", "mail")
TEMPLATE = "Which of these is it?\n{labels}\n\n{input}"


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TUNING_KEY", "sk-1")
    with finetune_server(tmp_path / "server", key="sk-1") as found:
        yield found


@pytest.fixture
def project(tmp_path: Path, url: str) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    made = Project(folder)
    (folder / "prompts").mkdir()
    (folder / "prompts" / "intent.txt").write_text(TEMPLATE, encoding="utf-8")
    text = made.file.read_text(encoding="utf-8")
    before = '[tasks.intent.train]\nbackend = "tfidf-linear"\n'
    assert before in text
    rows = [f"a question on {label} number {n},{label}" for label in LABELS for n in range(24)]
    (folder / "rows.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    text = text.replace('source = "sample"', 'source = "file"\npath = "rows.csv"')
    text = text.replace(before, OPTIONS.format(url=url)).replace("min = 0.9", "min = 0.1")
    made.file.write_text(text, encoding="utf-8")
    return made


def runs(project: Project) -> list[Run]:
    with project.opened() as (_, office):
        return sorted(everything(office.store, Run), key=lambda run: run.number)


def test_a_training_beyond_its_limit_asks(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T3, T4: refused before anything is uploaded; whoever sits there is asked, and may go on."""
    told = project.refused(2, "run", "intent")
    assert "the training may cost" in told and "cost_limit is 0.01" in told
    assert "greenlight run TASK --cost-limit" in told
    monkeypatch.setattr("greenlight.entrypoints.cli.turn._at_terminal", lambda: True)
    result = project.call("run", "intent", typed="n\n")
    assert result.exit_code == 2 and "and the limit is 0.01; go on? [y/N]" in result.stderr
    result = project.call("run", "intent", typed="y\n")
    assert result.exit_code == 0, result.output
    *refused, confirmed = runs(project)
    assert [run.status for run in (*refused, confirmed)] == [
        "failed",
        "failed",
        "failed",
        "finished",
    ]
    assert confirmed.plan["fresh_from"] == "train"
    assert confirmed.plan["options"]["prompt"] == TEMPLATE
    with project.opened() as (_, office):
        [version] = everything(office.store, Version)
        assert version.runtime == {
            "kind": "openai",
            "url": url,
            "key": "env:TUNING_KEY",
            "prices": {"input": 1.0, "output": 2.0},
        }


def test_a_machine_says_the_limit_itself(project: Project) -> None:
    """T4: the same without anybody to ask; what was paid for is not paid for again."""
    found = project.json("run", "intent", "--cost-limit", "50")
    assert found["version"]["status"] == "evaluated"
    again = project.json("run", "intent")  # below any limit: the job is there
    assert again["version"]["label"] == found["version"]["label"]
    text = project.file.read_text(encoding="utf-8")
    project.file.write_text(text.replace('"openai"', '"tfidf-linear"'), encoding="utf-8")
    assert "a training with tfidf-linear is free" in project.refused(
        2, "run", "intent", "--cost-limit", "1"
    )


def test_options_are_looked_at_before_anything_runs(project: Project) -> None:
    text = project.file.read_text(encoding="utf-8")
    project.file.write_text(text.replace('"env:TUNING_KEY"', '"sk-secret"'), encoding="utf-8")
    told = project.refused(2, "validate")
    assert "tasks.intent.train.options.key: name the variable" in told and "sk-secret" not in told
    project.file.write_text(text.replace("intent.txt", "none.txt"), encoding="utf-8")
    assert "none.txt: no readable text" in project.refused(2, "run", "intent")
