"""The pipeline of one installation: from a data set to a version that people can sign."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenlight import __version__
from greenlight.core.errors import BadInput
from greenlight.ports import Model, Progress, Trainer
from greenlight.stages.collect import Source
from greenlight.stages.loop import Plan, Turn, Workshop
from greenlight.stages.loop import turn as run_turn
from greenlight.wiring.app import App

PACKAGES = ("numpy", "scipy", "scikit-learn", "onnx", "onnxruntime", "tokenizers", "safetensors")
IN_PROCESS: Mapping[str, Any] = {"kind": "in_process"}


def turn(
    app: App,
    task: str,
    *,
    initiator: str,
    progress: Progress,
    runtime: Mapping[str, Any] | None = None,
    out: Path | None = None,
) -> Turn:
    """One turn of the pipeline as the task is configured; see `stages.loop.turn`.

    Args:
        app: the open store and settings.
        task: the task's name.
        initiator: who asked for it; they cannot sign what comes of it.
        progress: told the share done of the stage at hand, and its name.
        runtime: where the version will be served; by default in the gateway.
        out: also write the evaluation document there.
    """
    wanted = app.settings.task(task)
    work = app.settings.state / "work"
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        shop = Workshop(
            records=app.store,
            raw=app.raw,
            processed=app.datasets,
            bundles=app.bundles,
            load_source=load_source,
            trainer=_trainer,
            load_model=_load_model,
            environment=environment(),
            clock=app.clock,
            random=app.random,
            workdir=folder,
        )
        plan = Plan(
            task=task,
            source=wanted.dataset.source,
            backend=wanted.train.backend,
            options=wanted.train.options,
            seed=wanted.train.seed,
            gates=wanted.gates,
            runtime=dict(runtime or IN_PROCESS),
            initiator=initiator,
        )
        return run_turn(shop, plan, progress, out)


def load_source(name: str, progress: Progress) -> Source:
    """Read a public data set; see `greenlight.datasets.load`."""
    from greenlight import datasets

    return datasets.load(name, progress=progress)


def find_encoder(progress: Progress) -> None:
    """Make sure that the sentence encoder can be had; see `models.encoder.find`.

    Raises:
        MissingData: it is nowhere; the message says what to do.
        Tampered: a file of it is not the pinned one.
    """
    from greenlight.models import encoder

    encoder.find(os.environ, progress)


def environment() -> dict[str, Any]:
    """What a training or an evaluation ran on: versions, hardware, commit."""
    found: dict[str, Any] = {
        "greenlight": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "code_commit": _commit(),
    }
    image = os.environ.get("GREENLIGHT_IMAGE_DIGEST")
    return found | ({"image_digest": image} if image else {})


def _trainer(backend: str) -> Trainer:
    from greenlight.adapters.trainers import TRAINERS

    if backend not in TRAINERS:
        raise BadInput(f"backend {backend!r}: there are {', '.join(TRAINERS)}", "backend")
    return TRAINERS[backend]()


def _load_model(folder: str) -> Model:
    from greenlight.models import bundle

    return bundle.load(folder)


def _commit() -> str:
    """The commit of the source tree that runs, if it is one."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return found.stdout.strip() or "unknown"
