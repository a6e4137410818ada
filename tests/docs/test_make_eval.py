"""`make eval` (scripts/evaluation.py) goes on after a kill, and seals nothing of an earlier day."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts import evaluation
from scripts.evaluation import Project


class Silent(Project):
    """Takes every command as done; the version that it would put under load is live."""

    def run(self, *words: str, quiet: bool = False, **environ: str) -> str:
        answer = {"secret": "s", "key": "k", "tasks": {"banking": {"live": "banking@1"}}}
        return json.dumps(answer) if quiet else ""


@contextmanager
def nobody(project: Project) -> Iterator[str]:
    yield "http://127.0.0.1:9"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(evaluation, "WORK", tmp_path)
    monkeypatch.setattr(evaluation, "Project", Silent)
    monkeypatch.setattr(evaluation, "_serving", nobody)
    return tmp_path


@pytest.mark.parametrize("code", [2, -9])
def test_a_load_test_that_was_killed_seals_no_older_one(
    work: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """E2: an ended process, by error or by signal, leaves no summary to take for its own."""
    project = evaluation._project("banking")
    (work / "slo.json").write_text("{}", encoding="utf-8")

    def ended(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(subprocess, "run", ended)
    with pytest.raises(SystemExit, match="no load test could be made"):
        evaluation._put_under_load(project, "banking@1", work, 1.0)
    assert not (work / "slo.json").exists()


def test_keys_that_a_kill_left_out_are_made(work: Path) -> None:
    (work / "banking" / "keys").mkdir(parents=True)
    (work / "banking" / "keys" / "ana").write_text("mine own", encoding="utf-8")
    project = evaluation._project("banking")
    text = (project.folder / "greenlight.toml").read_text(encoding="utf-8")
    assert 'key = "own"' in text and 'key = "k"' in text


def test_what_is_sealed_names_no_place_of_the_machine() -> None:
    """E2: whoever reads it learns of the measurement, not of somebody's disk."""
    text = (evaluation.SEALED / "eval.json").read_text(encoding="utf-8")
    assert not re.findall(r"[ \"=]/[a-z][^ \"]*", text)


def test_metrics_that_moved_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Within .3 points an evaluation is the same; beyond, or where a number is gone, it is not."""
    sealed = json.loads((evaluation.SEALED / "eval.json").read_text(encoding="utf-8"))
    assert evaluation.compare(sealed, sealed) == 0
    assert "byte for byte the same" in capsys.readouterr().out
    moved = json.loads(json.dumps(sealed))
    moved["intent"]["test"]["accuracy"]["value"] -= 0.0031
    moved["results_digest"] = "sha256:other"
    assert evaluation.compare(sealed, moved) == 1
    said = capsys.readouterr().out
    assert said.count("APART") == 1 and "not byte for byte" in said
    del moved["oos"]
    assert evaluation.compare(sealed, moved) == 1
    assert capsys.readouterr().out.count("none  MORE") == 3


def test_another_commit_and_another_hour_change_no_byte_of_what_was_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """E2: and a single row of a confusion matrix does."""
    sealed = json.loads((evaluation.SEALED / "eval.json").read_text(encoding="utf-8"))
    later = json.loads(json.dumps(sealed))
    later["ner"]["subject"]["code"] = "sha256:later"
    later |= {"environment": {"code": "sha256:later"}, "wall_clock_s": 1.0, "load": {}}
    later |= {"results_digest": "sha256:other", "document_digest": "sha256:other"}
    assert evaluation.compare(sealed, later) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("byte for byte the same")
    later["ner"]["subject"]["bundle"] = "sha256:other"
    assert evaluation.compare(sealed, later) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("not byte for byte")
