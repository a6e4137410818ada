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


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "gateway.example"])
@pytest.mark.parametrize("command", ["gateway", "up"])
def test_no_start_without_a_key_where_others_can_ask(
    project: Project, monkeypatch: pytest.MonkeyPatch, host: str, command: str
) -> None:
    """S8: the message names the address and the ways out; nothing has listened or decided."""
    begun: list[object] = []
    monkeypatch.setattr(process, "serve", lambda *arguments, **_: begun.append(arguments))
    monkeypatch.setattr(controller, "control", lambda *arguments: begun.append(arguments))
    message = project.refused(2, command, GREENLIGHT_GATEWAY_HOST=host)
    assert begun == []
    assert f"gateway.host {host!r} can be reached from elsewhere" in message
    for way_out in ("greenlight keys create NAME --scope", "listen on 127.0.0.1", "--no-keys"):
        assert way_out in message


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("127.0.0.1", []),
        ("127.0.0.2", []),
        ("::1", []),
        ("localhost", []),
        ("0.0.0.0", ["--no-keys"]),
        ("0.0.0.0", ["with a key"]),
    ],
)
def test_where_a_gateway_may_start(
    project: Project, monkeypatch: pytest.MonkeyPatch, host: str, words: list[str]
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(process, "serve", lambda app, host, port, **_: begun.append(host))
    if words == ["with a key"]:
        words = []
        project.ok("keys", "create", "shop", "--scope", "predict")
        project.ok("keys", "revoke", "shop", "-m", "one that opens nothing keeps the gateway shut")
    project.ok("gateway", *words, GREENLIGHT_GATEWAY_HOST=host)
    assert begun == [host]


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
