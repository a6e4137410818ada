"""The walk through a project of one's own is one that can be walked."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import click

from greenlight import config
from greenlight.adapters import signing
from greenlight.entrypoints.cli import main

ROOT = Path(__file__).parents[2]
PAGES = ("docs/own-project.md", "README.md")


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    """X5: with real keys in place of the dots, nothing is wrong and nothing stands in the way."""
    text = (ROOT / "docs/own-project.md").read_text(encoding="utf-8")
    block = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert block is not None
    body = block.group(1)
    while "ed25519:…" in body:
        key = signing.public_key(signing.new_secret(secrets.token_bytes))
        body = body.replace("ed25519:…", key, 1)
    path = tmp_path / config.FILE
    path.write_text(body, encoding="utf-8")
    assert config.warnings(config.load(path, {})) == []


def test_every_command_shown_is_a_command() -> None:
    """X1: what a newcomer copies from a page, the command line knows."""
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        calls = re.findall(r"^\$ .*?\bgreenlight ((?:[a-z]+ ?)+)", text, re.MULTILINE)
        assert calls, page
        for call in calls:
            command: click.Command | None = main
            for word in call.split():
                if not isinstance(command, click.Group):
                    break
                command = command.get_command(click.Context(command), word)
                assert command is not None, f"{page}: greenlight {call}"
