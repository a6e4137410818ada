"""Commands that run until they are told to stop."""

from __future__ import annotations

from typing import Any

import pytest

from greenlight.entrypoints import gateway as process
from tests.cli.project import Project


def test_gateways_of_one_machine_have_different_names(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reports how far its own events are stored; with one name they would for each other."""
    signs: list[Any] = []

    def serve(app: Any, host: str, port: int) -> None:
        signs.append((port, app._sign(at=1)))

    monkeypatch.setattr(process, "serve", serve)
    for port in ("8401", "8402", "8401"):
        project.ok("gateway", GREENLIGHT_GATEWAY_PORT=port)
    assert [port for port, _ in signs] == [8401, 8402, 8401]
    names = [sign.id for _, sign in signs]
    assert names[0] == names[2] != names[1]
