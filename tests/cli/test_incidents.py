"""`greenlight incidents` and `greenlight rollouts evidence` (O3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlight import artifacts
from tests.cli.project import Project


@pytest.fixture
def rolled_back(rolling: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """intent@2 was rolled back by a person, with no controller about."""
    monkeypatch.setenv("PATH", "")  # no browser
    rolling.ok("rollout", "rollback", "intent", "-m", "support is flooded", by="ana")
    return rolling


def test_nothing_has_been_rolled_back(rolling: Project) -> None:
    assert rolling.json("incidents", "list") == []
    assert len(rolling.ok("incidents", "list", "intent").splitlines()) == 1
    said = rolling.refused(2, "incidents", "show", rolling.json("rollouts", "list")[0]["id"])
    assert "is running and has no incident: only a rollback makes one" in said
    assert "there are: intent" in rolling.refused(2, "incidents", "list", "intents")


def test_a_rollback_is_an_incident_until_everything_is_done(rolled_back: Project) -> None:
    [listed] = rolled_back.json("incidents", "list", "--open")
    assert (listed["task"], listed["code"], listed["closed_at"]) == ("intent", "order", None)
    assert listed["stands"] == "open: propagated is next"
    assert "intent@2" in rolled_back.ok("incidents", "list", "intent")
    for name in ("intent", listed["rollout"], listed["rollout"][:8]):
        assert rolled_back.json("incidents", "show", name) == listed
    shown = rolled_back.ok("incidents", "show", "intent")
    assert "order: ana (ml_lead): support is flooded" in shown
    assert [line.split()[0] for line in shown.splitlines()[-5:-1]] == [
        "propagated",
        "caches",
        "baseline",
        "evidence",
    ]
    assert shown.splitlines()[-1] == (
        "a controller goes on with it: greenlight controller, or greenlight up"
    )


def test_the_evidence_is_written_where_it_belongs(rolled_back: Project) -> None:
    [rollout] = rolled_back.json("rollouts", "list")
    said = rolled_back.ok("rollouts", "evidence", "intent")
    folder = rolled_back.folder / "evidence" / rollout["id"]
    assert said == f"written: {folder / 'index.html'}\n"
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert "somebody said so (ana (ml_lead): support is flooded)" in text
    assert artifacts.unseal(folder)["rollout"] == rollout["id"]
    for path in folder.rglob("*"):
        assert not path.is_file() or b"user-" not in path.read_bytes(), path
    assert rolled_back.json("rollouts", "evidence", rollout["id"][:8])["folder"] == str(folder)
    rolled_back.ok("audit", "verify", "--no-files")


def test_the_evidence_is_written_elsewhere(rolled_back: Project, tmp_path: Path) -> None:
    case = tmp_path / "deep" / "case"
    rolled_back.ok("rollouts", "evidence", "intent", "-o", str(case))
    assert (case / "evidence.json").is_file() and not (rolled_back.folder / "evidence").exists()
    (case / "more.txt").write_text("mine")
    said = rolled_back.refused(2, "rollouts", "evidence", "intent", "-o", str(case))
    assert "choose another folder, or move it away" in said
    (tmp_path / "file").write_text("mine")
    said = rolled_back.refused(
        1, "rollouts", "evidence", "intent", "-o", str(tmp_path / "file" / "x")
    )
    assert "a file is in the place of the folder" in said


def test_what_has_not_ended_has_no_evidence_yet(rolling: Project) -> None:
    said = rolling.refused(2, "rollouts", "evidence", "intent")
    assert "has not ended; see how it stands: greenlight status intent" in said


def test_a_purge_points_at_evidence_that_names_the_unit(rolled_back: Project) -> None:
    """D11: a folder holds no unit, but what a person typed as a reason may name one."""
    rolled_back.ok("rollouts", "evidence", "intent")
    said = rolled_back.ok("purge", "intent", "--unit", "flooded", "--dry-run")
    assert "evidence" in said and "decisions.jsonl" in said
