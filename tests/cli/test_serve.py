"""Commands that run until they are told to stop."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from greenlight.entrypoints import controller
from greenlight.entrypoints import gateway as process
from tests.cli.project import Project


def test_gateways_of_one_machine_have_different_names(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reports how far its own events are stored; with one name they would for each other."""
    signs: list[Any] = []

    def serve(app: Any, host: str, port: int, **_: object) -> None:
        signs.append((port, app._sign(at=1)))

    monkeypatch.setattr(process, "serve", serve)
    for port in ("8401", "8402", "8401"):
        project.ok("gateway", GREENLIGHT_GATEWAY_PORT=port)
    assert [port for port, _ in signs] == [8401, 8402, 8401]
    names = [sign.id for _, sign in signs]
    assert names[0] == names[2] != names[1]


def test_nobody_decides_where_the_gateway_cannot_listen(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`up` that fails leaves no decision behind: the controller begins once the gateway listens."""
    begun: list[object] = []
    monkeypatch.setattr(controller, "control", lambda *arguments: begun.append(arguments))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        message = project.refused(2, "up", GREENLIGHT_GATEWAY_PORT=port)
    assert port in message
    assert begun == []
