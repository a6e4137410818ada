"""The project that the commands work on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A fresh project without versions."""
    return Project(tmp_path)


@pytest.fixture
def evaluated(project: Project) -> Project:
    """A project where intent@1, made by eve, waits for signatures."""
    with project.opened() as (_, office):
        office.evaluated()
    return project
