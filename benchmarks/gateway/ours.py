"""Installations of Greenlight in a folder, made by its own commands, and how they are started.

A candidate has 10 % of the traffic, evaluated, signed by two people and rolled out as everywhere;
every request is recorded.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.gateway import predict
from benchmarks.gateway.processes import NotMeasured
from benchmarks.gateway.servers import PREDICT_PACE, QUESTION, Launch, chat_launch
from benchmarks.gateway.upstream import WORDS
from greenlight.entrypoints.demo.processes import free_port

TASK = "intent"
PEOPLE = {"ana": "ml_lead", "ben": "product_owner"}
TOLD = "x-greenlight-overhead-ms"
CLASSIFIED = (1, 16)
"""Connections for a model that computes; more of them only wait."""
OTHER = "I do not know."
"""An answer that the provider never gives."""
ROWS = 400
_CLI = [sys.executable, "-m", "greenlight.entrypoints.cli"]


def chat(folder: Path, upstream: str) -> Launch:
    """`POST /v1/chat/completions` before two versions at the provider."""
    office = _Office(folder, source='source = "file"\npath = "rows.csv"', backend="tfidf-linear")
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("text", "label"))
        rows.writerows((f"{QUESTION} {n}", (WORDS, OTHER)[n % 2]) for n in range(ROWS))
    for model, text in {"base": "{input}", "candidate": "Answer kindly. {input}"}.items():
        (folder / f"{model}.txt").write_text(f"{text}\n{{labels}}", encoding="utf-8")
    # What versions are evaluated on.
    office.call("run", TASK)
    office.call("adopt", TASK, *_prompt(folder, "base", upstream), "-m", "it ran before", by="ana")
    added = office.json("versions", "add", TASK, *_prompt(folder, "candidate", upstream))
    office.call("eval", "run", added["label"])
    office.call("eval", "seal", added["label"])
    office.roll_out(added["label"])
    return chat_launch(
        f"greenlight/{TASK}",
        "/v1/chat/completions",
        office.gateway,
        base=office.base,
        version="greenlight",
        told=TOLD,
    )


def classify(folder: Path, upstream: str) -> Launch:
    """`POST /v1/tasks/TASK/predict` with the demo's model in the gateway's process."""
    office = _Office(folder, source='source = "sample"', backend="encoder-head")
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


def _prompt(folder: Path, model: str, upstream: str) -> list[str]:
    """The options of a prompt at the provider."""
    options = ["--prompt", str(folder / f"{model}.txt"), "--no-logprobs"]
    return [*options, "--model", model, "--url", upstream]


class _Office:
    """An installation and the people who sign in it."""

    def __init__(self, folder: Path, *, source: str, backend: str) -> None:
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
            "\n".join((_TOML.format(port=port, task=TASK, source=source, backend=backend), *people))
            + "\n",
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
[tasks.{task}]
kind = "classify"
[tasks.{task}.dataset]
{source}
[tasks.{task}.train]
backend = "{backend}"
[tasks.{task}.gates]
accuracy = {{ min = 0.0 }}
"""
