"""A run that is killed goes on where it was, and ends as if nothing had happened (T2, T6)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from greenlight.stages.loop import STAGES

EVERY = 5
"""Of the events inside stages, kill at each so-manieth; the long form kills at every one."""


def killed(root: Path, every: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.pipeline.killing", str(root), str(every)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def check(report: dict[str, Any]) -> None:
    plain = report["plain"]
    assert plain["status"] == "finished"
    assert plain["begun"] == list(STAGES)
    for kill in report["kills"]:
        where = kill["point"]
        assert kill["killed"], where
        assert kill["status"] == "finished", where
        assert kill["left"] == [], where
        # Nothing that had finished was begun again ...
        if kill["on_record"]["Run"] == 1:
            assert not set(kill["finished_before"]) & set(kill["begun_after"]), where
            assert sorted(kill["finished_before"] + kill["begun_after"]) == sorted(STAGES), where
        else:  # ... and a run that had ended is followed by one that pays for nothing anew
            assert sorted(kill["finished_before"]) == sorted(STAGES), where
            assert kill["begun_after"] == ["collect", "register", "gate"], where
        assert kill["on_record"]["Evaluation"] == 1, where
        assert kill["results"] == plain["results"], where
        for stage in ("collect", "curate", "train", "sanity", "register"):
            assert kill["outputs"][stage] == plain["outputs"][stage], where
    whats = [kill["point"]["what"] for kill in report["kills"]]
    assert sum(what.startswith("after commit") for what in whats) >= len(STAGES)
    assert {kill["point"]["stage"] for kill in report["kills"]} >= set(STAGES)


def test_killed_at_every_boundary_and_within_stages(tmp_path: Path) -> None:
    """T2, T6: SIGKILL before and after each commit and at some of the writes in between."""
    report = killed(tmp_path, EVERY)
    check(report)
    again = report["again"]
    assert again["begun"] == ["collect", "register", "gate"]
    assert again["outputs"] == report["plain"]["outputs"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_every_event(tmp_path: Path) -> None:
    """T2, T6: the same at every file opened and every word of progress."""
    check(killed(tmp_path, 1))
