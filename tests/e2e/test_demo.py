"""`greenlight demo` as a user runs it: real processes, real HTTP, the sample written for this."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CALL = (sys.executable, "-m", "greenlight.entrypoints.cli")
RATE = "60"
"""Requests per second: less than the demo's own, for other tests want the processors too."""


def greenlight(*arguments: str, timeout: int = 60) -> subprocess.CompletedProcess[str]:
    """Run a command as a user would, and expect it to end well."""
    environment = {k: v for k, v in os.environ.items() if k != "GREENLIGHT_PERSON_KEY"}
    done = subprocess.run(
        [*CALL, *arguments], capture_output=True, text=True, timeout=timeout, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.needs("encoder")
@pytest.mark.timeout(400)
def test_the_loop_goes_round(tmp_path: Path) -> None:
    """One promotion that evidence earned, one rollback that evidence forced (O1, O3, G1, G5, R1).

    Everything in one test, for the demo is run once.
    """
    folder = tmp_path / "demo"
    options = ("--source", "sample", "--rate", RATE, "--dir", str(folder), "--json")
    result = json.loads(greenlight("demo", *options, timeout=380).stdout)

    assert result["stand_ins"] == []
    first, second, third = result["summary"]["versions"]
    assert [v["status"] for v in (first, second, third)] == ["retired", "live", "rolled_back"]
    assert second["accuracy"]["value"] >= 0.76
    assert third["accuracy"]["value"] >= 0.76, "v3 passes from its bundle"

    promoted, rolled_back = result["summary"]["rollouts"]
    assert (promoted["status"], promoted["code"]) == ("promoted", "superior")
    assert promoted["log_e"]["superiority"] >= promoted["log_threshold"]["superiority"]
    assert rolled_back["status"] == "rolled_back"
    assert rolled_back["weights"] == [0.1], "never widened"
    assert rolled_back["code"] in ("quality", "early_harm")
    assert rolled_back["requests_served"] > 0

    for seen in result["traffic"].values():
        assert seen["failed"] == seen["feedback_failed"] == 0
    _check_papers(folder, second["label"])
    _check_commands(folder, third["label"])


def _check_papers(folder: Path, live: str) -> None:
    document: dict[str, Any] = json.loads((folder / "versions" / live / "eval.json").read_text())
    assert document["dataset"]["digest"].startswith("sha256:")
    assert document["bundle"].startswith("sha256:")
    page = (folder / "report.html").read_text()
    assert "<svg" in page
    assert "<script" not in page
    assert live in (folder / "versions" / live / "model_card.md").read_text()
    decisions = (folder / "decisions.jsonl").read_text().splitlines()
    actions = [json.loads(line)["action"] for line in decisions]
    assert [a for a in actions if a not in ("stay", "hold")] == [
        "start",
        "widen",
        "promote",
        "start",
        "rollback",
    ]


def _check_commands(folder: Path, last: str) -> None:
    """The folder that the demo leaves is a project like any other."""
    here = ("-C", str(folder))
    assert "intact" in greenlight(*here, "audit", "verify").stdout
    assert last in greenlight(*here, "versions", "list").stdout
    assert "rolled_back" in greenlight(*here, "rollouts", "list").stdout
    assert json.loads(greenlight(*here, "status", "--json").stdout)
    greenlight(*here, "validate")
