"""Installations of Greenlight in a folder, made by its own commands, and how they are started.

Every request is recorded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.gateway import predict
from benchmarks.gateway.processes import NotMeasured
from benchmarks.gateway.servers import PREDICT_PACE, QUESTION, Launch, chat_launch
from greenlight.entrypoints.processes import free_port

TASK = "intent"
PEOPLE = {"ana": "ml_lead", "ben": "product_owner"}
TOLD = "x-greenlight-overhead-ms"
CLASSIFIED = (1, 16)
"""Connections for a model that computes; more of them only wait."""
_CLI = [sys.executable, "-m", "greenlight.entrypoints.cli"]


def chat(folder: Path, upstream: str) -> Launch:
    """`POST /v1/chat/completions` before the provider, with a key, and everything recorded."""
    office = _Office(folder, _CHAT)
    version = ["--model", "base", "--url", upstream, "--input-price", "1", "--output-price", "4"]
    office.call("adopt", TASK, *version, "-m", "it ran before", by="ana")
    made = office.json("keys", "create", "bench", "--scope", "predict")
    return chat_launch(
        f"greenlight/{TASK}",
        "/v1/chat/completions",
        office.gateway,
        base=office.base,
        version="greenlight",
        told=TOLD,
        headers={"authorization": f"Bearer {made['secret']}"},
    )


def classify(folder: Path, upstream: str) -> Launch:
    """`POST /v1/tasks/TASK/predict` with the demo's model in the gateway's process."""
    office = _Office(folder, _CLASSIFY)
    made = office.json("run", TASK)
    office.roll_out(made["version"]["label"])
    return Launch(
        command=office.gateway,
        base=office.base,
        path=f"/v1/tasks/{TASK}/predict",
        body=json.dumps({"input": QUESTION, "unit": "user-0"}),
        expect='"label"',
        version="greenlight, encoder-head",
        connections=CLASSIFIED,
        pace=PREDICT_PACE,
        told=TOLD,
        chat=False,
    )


def sample_bundle(folder: Path) -> Path:
    """The folder of an `encoder-head` bundle, trained on the sample."""
    office = _Office(folder, _CLASSIFY)
    digest = office.json("run", TASK)["version"]["bundle"]
    return folder / ".greenlight" / "bundles" / str(digest).removeprefix("sha256:")


def constant(folder: Path, upstream: str) -> Launch:
    """`POST /v1/tasks/TASK/predict` with a model that costs nothing."""
    port = free_port()
    return Launch(
        command=[sys.executable, "-m", predict.__name__, str(folder), str(port)],
        base=f"http://127.0.0.1:{port}",
        path=f"/v1/tasks/{predict.TASK}/predict",
        body=json.dumps({"input": QUESTION, "unit": "user-0"}),
        expect=predict.LABEL,
        version="greenlight, constant model",
        pace=PREDICT_PACE,
        told=TOLD,
        chat=False,
    )


class _Office:
    """An installation and the people who sign in it."""

    def __init__(self, folder: Path, task: str) -> None:
        self._folder = folder
        self._secrets: dict[str, str] = {}
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        self.gateway = [*_CLI, "-C", str(folder), "gateway"]
        people = []
        for name, role in PEOPLE.items():
            made = self.json("keys", "person", name, "--role", role)
            self._secrets[name] = made["secret"]
            people.append(f'[people.{name}]\nroles = ["{role}"]\nkey = "{made["key"]}"')
        (folder / "greenlight.toml").write_text(
            "\n".join((_TOML.format(port=port), task, *people)) + "\n",
            encoding="utf-8",
        )

    def call(self, *words: str, by: str | None = None) -> str:
        """What a command prints.

        Raises:
            NotMeasured: it failed.
        """
        environ = dict(os.environ)
        if by is not None:
            environ["GREENLIGHT_PERSON_KEY"] = self._secrets[by]
        command = [*_CLI, "-C", str(self._folder), *words]
        made = subprocess.run(
            command, capture_output=True, text=True, env=environ, stdin=subprocess.DEVNULL
        )
        if made.returncode:
            raise NotMeasured(f"greenlight {' '.join(words[:3])}: {made.stderr.strip()[-500:]}")
        return made.stdout

    def json(self, *words: str, by: str | None = None) -> Any:
        """What a command prints for programs."""
        return json.loads(self.call(*words, "--json", by=by))

    def roll_out(self, version: str) -> None:
        """Everybody signs, and users meet it."""
        for name in PEOPLE:
            self.call("approve", version, "-m", "for the benchmark", by=name)
        self.call("rollout", "start", TASK, version)


_TOML = """\
[project]
name = "bench-gateway"
[gateway]
port = {port}
"""
_CHAT = f"""\
[tasks.{TASK}]
kind = "chat"
"""
_CLASSIFY = f"""\
[tasks.{TASK}]
kind = "classify"
[tasks.{TASK}.dataset]
source = "sample"
[tasks.{TASK}.train]
backend = "encoder-head"
[tasks.{TASK}.gates]
accuracy = {{ min = 0.0 }}
"""
