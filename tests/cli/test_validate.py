"""`greenlight validate`."""

from __future__ import annotations

from tests.cli.project import Project


def test_a_valid_file(project: Project) -> None:
    assert "valid; 1 task, digest sha256:" in project.ok("validate")
    found = project.json("validate")
    assert found["ok"] and found["tasks"] == ["intent"] and found["warnings"] == []


def test_every_fault_with_its_line(project: Project) -> None:
    text = project.file.read_text(encoding="utf-8")
    project.file.write_text(
        text.replace("sample", "sampel").replace("min = 0.9", 'min = "0.9"'), encoding="utf-8"
    )
    assert project.refused(2, "validate").splitlines() == [
        "greenlight: configuration: 2 problems",
        "greenlight.toml:15: tasks.intent.dataset.source: 'sampel' is not known; "
        "did you mean 'sample'?",
        "greenlight.toml:19: tasks.intent.gates.accuracy.min: expected a number, got '0.9'",
    ]


def test_warnings_count_only_when_asked(project: Project) -> None:
    text = project.file.read_text(encoding="utf-8")
    project.file.write_text(text.replace("product_owner", "intern"), encoding="utf-8")
    assert "warning: tasks.intent.approval.quorum" in project.ok("validate")
    assert project.call("validate", "--fail-on-warn").exit_code == 3
    assert len(project.json("validate")["warnings"]) == 1
