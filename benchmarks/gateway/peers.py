"""What else there is, each from the package index in a venv of its own.

A peer is set up as its documentation says for the least work per request: one worker, two weighted
models behind one name, no database where it can do without one, no tracing, quiet logs.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks.gateway.processes import NotMeasured
from benchmarks.gateway.servers import Launch, chat_launch
from benchmarks.harness import ROOT
from greenlight.entrypoints.processes import free_port

VENVS = ROOT / "build" / "bench-gateway" / "venvs"
INSIDE = Path(__file__).parent / "inside"
REQUIREMENTS = {
    "litellm": "litellm[proxy]==1.108.7",
    "mlflow": "mlflow==3.17.2",
    # Later releases cannot be started without a container.
    "tensorzero": "tensorzero==2026.6.0",
}
NAME = "m"
"""What the two models are called together."""
KEY = "sk-for-this-benchmark-only"
SHARES = {"base": 9, "candidate": 1}
"""Parts of the traffic, by the model's name at the provider."""

_INSTALLED = ".requirement"


def python_of(peer: str) -> Path:
    """The Python that has a peer, installed now if it is not there.

    Raises:
        NotMeasured: it cannot be installed.
    """
    venv, requirement = VENVS / peer, REQUIREMENTS[peer]
    python, mark = venv / "bin" / "python", venv / _INSTALLED
    if mark.exists() and mark.read_text(encoding="utf-8") == requirement:
        return python
    with Console().status(f"{peer}: installing {requirement} (minutes, some hundred MB)"):
        shutil.rmtree(venv, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(venv))
        _run(str(python), "-m", "pip", "install", "-q", requirement)
    mark.write_text(requirement, encoding="utf-8")
    print(f"{peer}: installed {requirement}")
    return python


def _run(*command: str) -> str:
    """What a command prints.

    Raises:
        NotMeasured: it failed; the message has the end of what it said.
    """
    made = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if made.returncode:
        said = (made.stderr.strip() or made.stdout.strip() or "nothing said").splitlines()[-1]
        raise NotMeasured(f"{' '.join(command[1:4])} failed: {said}")
    return made.stdout


def litellm(folder: Path, upstream: str) -> Launch:
    """The proxy of LiteLLM: a router over two deployments, by weight."""
    python, port = python_of("litellm"), free_port()
    config = {
        "model_list": [
            {
                "model_name": NAME,
                "litellm_params": {
                    "model": f"openai/{model}",
                    "api_base": upstream,
                    "api_key": "none",
                    "weight": share,
                },
            }
            for model, share in SHARES.items()
        ],
        "router_settings": {"routing_strategy": "simple-shuffle"},
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"request_timeout": 60},
    }
    # JSON is YAML.
    (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    command = [str(python.parent / "litellm"), "--config", str(folder / "config.yaml")]
    command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return chat_launch(
        NAME,
        "/v1/chat/completions",
        [*command, "--telemetry", "False"],
        base=f"http://127.0.0.1:{port}",
        headers={"authorization": f"Bearer {KEY}"},
        version=REQUIREMENTS["litellm"],
        env={"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        cwd=folder,
    )


def mlflow(folder: Path, upstream: str) -> Launch:
    """The gateway of an MLflow server on SQLite, without usage tracking."""
    python, port = python_of("mlflow"), free_port()
    store = f"sqlite:///{folder / 'mlflow.db'}"
    shares = json.dumps(SHARES)
    _run(str(python), str(INSIDE / "mlflow_endpoint.py"), store, upstream, NAME, shares)
    command = [str(python), "-m", "mlflow", "server", "--backend-store-uri", store]
    quiet = ["--uvicorn-opts", "--no-access-log --log-level warning"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    return chat_launch(
        NAME,
        "/gateway/mlflow/v1/chat/completions",
        [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *quiet],
        base=f"http://127.0.0.1:{port}",
        version=REQUIREMENTS["mlflow"],
        env={
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_GATEWAY_API_BASE_ALLOW_PRIVATE_IPS": "true",
            "PATH": f"{python.parent}:/usr/bin:/bin",
        },
        cwd=folder,
    )


def tensorzero(folder: Path, upstream: str) -> Launch:
    """The gateway of TensorZero: a function with two variants, nothing observed or stored."""
    python = python_of("tensorzero")
    lines = [
        "[gateway]",
        "observability.enabled = false",
        "disable_pseudonymous_usage_analytics = true",
        f'[functions.{NAME}]\ntype = "chat"',
        f'[functions.{NAME}.experimentation]\ntype = "static"',
        "[functions.m.experimentation.candidate_variants]",
        *(f"{model} = {share / sum(SHARES.values())}" for model, share in SHARES.items()),
    ]
    for model in SHARES:
        lines += [
            f'[functions.{NAME}.variants.{model}]\ntype = "chat_completion"\nmodel = "{model}"',
            f'[models.{model}]\nrouting = ["dummy"]',
            f'[models.{model}.providers.dummy]\ntype = "openai"\nmodel_name = "{model}"',
            f'api_base = "{upstream}/"\napi_key_location = "none"',
        ]
    (folder / "tensorzero.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return chat_launch(
        f"tensorzero::function_name::{NAME}",
        "/chat/completions",
        [str(python), str(INSIDE / "tensorzero_gateway.py"), "tensorzero.toml"],
        version=REQUIREMENTS["tensorzero"],
        env={"RUST_LOG": "error"},
        cwd=folder,
    )


PEERS: dict[str, Callable[[Path, str], Launch]] = {
    "litellm": litellm,
    "mlflow": mlflow,
    "tensorzero": tensorzero,
}
