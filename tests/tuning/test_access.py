"""Who may ask."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx2
import openai
import pytest
from click.testing import CliRunner

from greenlight.entrypoints.cli import main
from greenlight.testing.finetune import finetune_server
from tests.tuning import desk


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "tuning.example"},
        {"x-forwarded-for": "203.0.113.9"},
        {"origin": "https://page.example"},
    ],
)
def test_without_a_key_it_answers_this_machine_alone(url: str, headers: dict[str, str]) -> None:
    """S7: neither others by a proxy nor a page in a browser of this machine."""
    assert httpx2.get(f"{url}/files", headers=headers).status_code == 403
    assert httpx2.get(f"{url}/files").status_code == 200


def test_a_key_is_asked_for_everywhere(tmp_path: Path) -> None:
    """S7: also for faults."""
    with finetune_server(tmp_path, key="right") as url:
        for key in ("wrong", "righ", "ríght"):
            headers = {"authorization": f"Bearer {key}".encode()}
            answer = httpx2.get(f"{url}/files", headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
        assert httpx2.get(desk.admin(url)).status_code == 401
        with desk.client(url, "wrong") as service, pytest.raises(openai.AuthenticationError):
            service.files.list()
        with desk.client(url, "right") as service:
            assert service.files.list().data == []


def refused(*options: str, **environ: str) -> str:
    result = CliRunner().invoke(main, ["finetune-server", *options], env=environ)
    assert result.exit_code == 2
    return result.stderr


def test_the_command_refuses_what_would_be_open_to_all(tmp_path: Path) -> None:
    """S7, E4: the message names the way out."""
    state = ("--state", str(tmp_path / "state"))
    assert "--key env:NAME" in refused(*state, "--host", "0.0.0.0")
    assert "env:FINETUNE_KEY" in refused(*state, "--key", "secret-itself")
    assert "variable TUNING_KEY is not set" in refused(*state, "--key", "env:TUNING_KEY")
    assert "KIND[:TIMES][@PATH]" in refused(*state, "--fault", "flood")
    assert "no file 'cards.jsonl'" in refused(*state, "--base", "cards=cards.jsonl")
    assert "NAME=FILE.jsonl" in refused(*state, "--base", "a:b")
    assert not (tmp_path / "state").exists()


def test_a_port_that_is_taken_is_told(tmp_path: Path, url: str) -> None:
    """E4: with the option that mends it."""
    port = url.removesuffix("/v1").rpartition(":")[2]
    assert "--port" in refused("--state", str(tmp_path), "--port", port, "--no-encoder")


def test_the_server_loads_no_training_library() -> None:
    """N2: what answers stays small; the process beside it trains."""
    code = "import sys, greenlight.wiring.tuning; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    modules = set(loaded.stdout.split())
    assert "greenlight.tuning.server" in modules
    assert not modules & {"sklearn", "scipy", "torch"}
