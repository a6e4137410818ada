"""Where the numbers of a benchmark come from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks import harness

GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b.example", "-C")


def test_only_what_is_measured_can_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another benchmark wrote is no change, nor is what git does not follow."""
    code, results = tmp_path / "code.py", tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    for path in (code, results / "aa.json"):
        path.write_text("1")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*GIT, str(tmp_path), *command], check=True)
    monkeypatch.setattr(harness, "ROOT", tmp_path)
    commit = harness.provenance()["commit"]
    assert len(commit) == 40

    (results / "aa.json").write_text("2")
    (tmp_path / "beside.txt").write_text("")
    assert harness.provenance()["commit"] == commit
    code.write_text("2")
    assert harness.provenance()["commit"] == f"{commit} + changes"
