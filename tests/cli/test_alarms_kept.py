"""What a process has seen of the alarms is kept as long as the process (O2)."""

from __future__ import annotations

from typing import Any

import pytest

from greenlight import config, wiring
from greenlight.stages import loop
from tests.cli.project import Project


def test_two_looks_of_one_process_share_what_they_saw(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O2"""
    seen: list[Any] = []
    monkeypatch.setattr(loop, "reconcile", lambda *_, lookout, **__: seen.append(lookout))
    for _ in range(2):
        with wiring.open_app(config.load(project.file, {})) as app:
            wiring.DeploymentManager(app).look("intent", "holder")
            wiring.DeploymentManager(app).look("intent", "holder")
    assert seen[0] is seen[1] is not seen[2]
