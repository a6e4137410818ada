"""Examining a project, and picking what was found of one thing."""

from __future__ import annotations

import os
import socket

import pytest

from greenlight.models import encoder
from greenlight.wiring import doctor
from greenlight.wiring.doctor.finding import Finding
from tests.cli.project import Project

PATIENCE = 0.3
"""Seconds that what is elsewhere may take to answer."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Somebody's gateway on this machine is no concern here, and the encoder takes a second."""
    monkeypatch.setenv("GREENLIGHT_GATEWAY_PORT", str(free_port()))
    monkeypatch.setenv("GREENLIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("GREENLIGHT_ENCODER", raising=False)
    monkeypatch.setattr(encoder, "WHEEL", "no_such_wheel")


def examined(project: Project, check: str, **environ: str) -> list[Finding]:
    """What is found of one thing; every finding that is not ok says how to mend it."""
    found = list(doctor.examine(project.file, {**os.environ, **environ}, patience=PATIENCE))
    assert all((one.fix is None) is (one.outcome == "ok") for one in found)
    return [one for one in found if one.check == check]


def only(found: list[Finding]) -> Finding:
    """The one finding that is not ok."""
    [one] = [one for one in found if one.outcome != "ok"]
    return one


def edit(project: Project, old: str, new: str) -> None:
    """Change the configuration."""
    text = project.file.read_text(encoding="utf-8")
    assert old in text
    project.file.write_text(text.replace(old, new), encoding="utf-8")
