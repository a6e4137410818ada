"""The benchmark of drills: one that fails is told and kept like the others (O6)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.drills import __main__ as drills


def test_a_drill_that_fails_does_not_end_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """O6: where nothing was rolled back there is no incident, whose words the others have."""

    def called(folder: str | Path, *words: str, fails: bool = False) -> str:
        """What the command would have filed of an errors drill that failed."""
        if words[0] == "init":
            return ""
        fault = words[words.index("--fault") + 1]
        told: dict[str, Any] = {"passed": True, "why": "all back", "says": "the drill passed: all"}
        if fault == "errors":
            told = {"passed": False, "why": "nothing was decided"}
        place = Path(folder, fault)
        place.mkdir()
        evidence = {"drill": told, "story": [], "timeline": [], "unknown": []}
        (place / "evidence.json").write_text(json.dumps(evidence), encoding="utf-8")
        return json.dumps({"folder": fault})

    monkeypatch.setattr(drills, "_greenlight", called)
    assert drills.main(["--quick"]) == 1
    said = capsys.readouterr().out
    assert "FAILED: nothing was decided" in said
    assert said.count("passed: all back") == len(drills.FAULTS) - 1
