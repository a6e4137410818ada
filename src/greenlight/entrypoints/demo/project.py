"""The demo's project: a folder of its own with a greenlight.toml and people who hold demo keys."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from greenlight.config import FILE
from greenlight.core.errors import Refused
from greenlight.wiring import new_person

MARKER = ".greenlight-demo"
PEOPLE = {"ana": "ml_lead", "ben": "product_owner"}
TASK = "intent"


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a version: the trainer, its options, and the least accuracy."""

    backend: str
    accuracy: float
    options: str = "{}"


def prepare(folder: Path, random: Callable[[int], bytes]) -> dict[str, str]:
    """Make the folder empty and give everyone a key.

    Returns:
        Name → secret key; the secrets also lie in the folder (keys/NAME), readable by its owner.

    Raises:
        Refused: the folder holds something that no demo made.
    """
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).exists():
            raise Refused(f"{folder} is not empty and no demo made it; choose another with --dir")
        shutil.rmtree(folder)
    (folder / "keys").mkdir(parents=True)
    (folder / MARKER).write_text("made by greenlight demo; the next demo replaces it\n")
    secrets = {}
    for name in PEOPLE:
        secret, _ = new_person(random)
        path = folder / "keys" / name
        path.touch(mode=0o600)
        path.write_text(secret + "\n")
        secrets[name] = secret
    return secrets


def write_config(
    folder: Path, public_keys: dict[str, str], source: str, bar: Bar, port: int
) -> Path:
    """Write greenlight.toml; called again when the team raises its bar."""
    people = "\n".join(
        f'[people.{name}]\nroles = ["{PEOPLE[name]}"]\nkey = "{key}"'
        for name, key in public_keys.items()
    )
    path = folder / FILE
    path.write_text(
        CONFIG.format(
            people=people,
            source=source,
            backend=bar.backend,
            options=bar.options,
            accuracy=bar.accuracy,
            port=port,
        ),
        encoding="utf-8",
    )
    return path


CONFIG = """\
# Written by `greenlight demo`. The soaks and windows are short so that the demo ends in minutes;
# the thresholds of the evidence are those of production.

[project]
name = "greenlight-demo"
environment = "dev"

{people}

[gateway]
port = {port}

[controller]
interval = "250ms"

[tasks.intent]
kind = "classify"

[tasks.intent.dataset]
source = "{source}"

[tasks.intent.train]
backend = "{backend}"
options = {options}
seed = 2025

[tasks.intent.gates]
accuracy = {{ min = {accuracy} }}
train_val_gap = {{ warn = 0.03 }}

[tasks.intent.approval]
quorum = {{ ml_lead = 1, product_owner = 1 }}

[tasks.intent.runtime]
timeout = "5s"

[tasks.intent.rollout]
steps = [
    {{ weight = 0.10, soak = "10s" }},
    {{ weight = 0.50, soak = "10s" }},
    {{ weight = 1.0 }},
]
horizon = "3m"
feedback_window = "5s"
fast_window = "2s"
grace = "500ms"
min_outcomes = 60
stale_after = "5s"

[tasks.intent.evidence]
alpha_harm = 0.01
alpha_superiority = 0.05
error_margin = 0.05
# Users, gateway and models share this machine: what is slow here says little of the models.
latency_floor_ms = 1000
latency_slo_ms = 2000
"""
