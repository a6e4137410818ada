"""Real MLflow: an SQLite file, a server process on one, and what either of them holds."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mlflow import MlflowClient

from greenlight.entrypoints.processes import free_port

OWN = "greenlight."
READY_WITHIN_S = 60.0


class Seen(NamedTuple):
    """What MLflow holds, without what it adds itself."""

    runs: dict[str, dict[str, Any]]
    """By id; two of one id are a fault."""
    versions: dict[str, dict[str, str]]
    """Digest → tags; a second one of a digest is there as `DIGEST again`."""
    aliases: dict[str, dict[str, str]]
    """Registered model → alias → digest."""


def look(url: str, experiment: str, prefix: str = "") -> Seen:
    """All of an experiment, and of the registered models whose names begin so.

    Of metrics that are called `train.…` there is the whole history, of others the last value.
    """
    client = MlflowClient(url, registry_uri=url)
    runs: dict[str, dict[str, Any]] = {}
    found = client.get_experiment_by_name(experiment)
    for run in client.search_runs([found.experiment_id]) if found else ():
        id = run.data.tags[f"{OWN}run"]
        assert id not in runs, f"{id} is there twice"
        documents = client.list_artifacts(run.info.run_id)
        runs[id] = {
            "status": run.info.status,
            "name": run.info.run_name,
            "began": run.info.start_time,
            "ended": run.info.end_time,
            "params": dict(run.data.params),
            "metrics": {
                name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
                if name.startswith("train.")
                else value
                for name, value in run.data.metrics.items()
            },
            "tags": {k: v for k, v in run.data.tags.items() if k.startswith(OWN)},
            "documents": sorted(one.path for one in documents),
            "id": run.info.run_id,
        }
    versions: dict[str, dict[str, str]] = {}
    aliases: dict[str, dict[str, str]] = {}
    for model in client.search_registered_models(f"name LIKE '{prefix}%'"):
        numbers = {}
        there = client.search_model_versions(f"name = '{model.name}'")
        for version in sorted(there, key=lambda one: int(one.version)):
            digest = version.tags[f"{OWN}digest"]
            numbers[str(version.version)] = digest
            again = f"{digest} again" if digest in versions else digest
            versions[again] = {**version.tags, "run": version.run_id, "source": version.source}
        names = client.get_registered_model(model.name).aliases
        aliases[model.name.removeprefix(prefix)] = {
            name: numbers[str(number)] for name, number in names.items()
        }
    return Seen(runs, versions, aliases)


def document(url: str, run: str, name: str, folder: Path) -> str:
    """A document of a run, as it was stored."""
    client = MlflowClient(url, registry_uri=url)
    path = client.download_artifacts(run, name, str(folder))
    return Path(path).read_text(encoding="utf-8")


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """MLflow's server on an SQLite file in a folder, in a process of its own; its address.

    As `mlflow server` starts it, which loads MLflow itself first, and so takes twice as long.
    """
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "mlflow.server.fastapi_app:app"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environ = {
        **os.environ,
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder}/server.db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    url = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environ, stdout=log, stderr=log, start_new_session=True
        )
    try:
        until = time.monotonic() + READY_WITHIN_S
        while not _is_ready(f"{url}/health"):
            told = (folder / "server.log").read_text(encoding="utf-8")[-2000:]
            assert process.poll() is None and time.monotonic() < until, told
            time.sleep(0.1)
        yield url
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False


class Stub(http.server.ThreadingHTTPServer):
    """Answers everything in one way."""

    daemon_threads = True

    def __init__(self, status: int, body: str, *, hangs: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.body, self.hangs = status, body.encode(), hangs
        self.asked: list[dict[str, str]] = []
        self.reached = threading.Event()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Stub

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append(dict(self.headers.items()))
        self.server.reached.set()
        if self.server.hangs:
            self.server.over.wait(30)
            return
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def stub(status: int = 200, body: str = "{}", *, hangs: bool = False) -> Iterator[Stub]:
    """A server that is no MLflow, on a thread of its own."""
    with Stub(status, body, hangs=hangs) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield made
        finally:
            made.over.set()
            made.shutdown()
            thread.join()
