"""T2: kill -9 inside upload, job creation and polling; the real SDK against the real server.

A process is killed by the server that it talks to, at the very request that the test names: while
its body comes in, before anything is done, or when it is done and no answer was given.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any, NamedTuple

import openai

from greenlight.models import prompt
from greenlight.testing.finetune import finetune_server
from tests.trainers.fitting import KEY, LABELS, life

FILES, JOBS = "/v1/files", "/v1/fine_tuning/jobs"


class Kill(NamedTuple):
    """Where a process is killed: at a request, and how far the server has got with it."""

    method: str
    path: str
    """How it begins, or how it ends where that is a `*`."""
    when: str


KILLS = [
    Kill("GET", FILES, "before"),
    Kill("POST", FILES, "half"),
    Kill("POST", FILES, "done"),  # the training file
    Kill("POST", FILES, "done"),  # the validation file
    Kill("POST", JOBS, "before"),
    Kill("POST", JOBS, "done"),
    Kill("GET", f"{JOBS}/*", "done"),
    Kill("GET", "*/events", "before"),
    Kill("GET", "*/checkpoints", "done"),
    Kill("GET", "*/content", "before"),
]


class Killer:
    """Stands before the server and kills who asks."""

    def __init__(self) -> None:
        self.kill: Kill | None = None
        self.pid: int | None = None
        self.halved = 0

    def before(self, app: Any) -> Any:
        """The server with this in front."""

        async def asked(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http" or not self._meets(scope["method"], scope["path"]):
                await app(scope, receive, send)
                return
            kill, self.kill = self.kill, None
            assert kill is not None and self.pid is not None
            if kill.when == "half":
                part = await receive()
                self.halved = len(part["body"]) * part["more_body"]
            if kill.when == "done":
                await app(scope, receive, _nothing)
            os.kill(self.pid, signal.SIGKILL)

        return asked

    def _meets(self, method: str, path: str) -> bool:
        if self.kill is None or method != self.kill.method:
            return False
        begin, star, end = self.kill.path.partition("*")
        return path.startswith(begin) and path.endswith(end) if star else path == begin


async def _nothing(message: Any) -> None:
    """What would have been answered."""


def test_one_file_and_one_job_wherever_it_is_killed(tmp_path: Path) -> None:
    """T2: what was uploaded or asked for is found again; nothing here remembers it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.trainers.warm"])
    killer = Killer()
    with finetune_server(tmp_path / "server", key=KEY, behind=killer.before) as url:
        for number, kill in enumerate([*KILLS, None]):
            out = tmp_path / f"{number}" / "out"
            process = context.Process(target=life, args=(url, str(out)))
            process.start()
            killer.pid, killer.kill = process.pid, kill
            process.join(60)
            assert killer.kill is None, f"nobody came to be killed at {kill}"
            assert process.exitcode == (-signal.SIGKILL if kill else 0)
        client = openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)
        files = client.files.list(purpose="fine-tune").data
        jobs = client.fine_tuning.jobs.list().data
        client.close()
    assert killer.halved > 0
    assert [file.filename.split("-")[1] for file in reversed(files)] == ["train", "validation"]
    assert [job.status for job in jobs] == ["succeeded"]
    report = json.loads((out / "report.json").read_text())
    assert report["taken_up"] and report["uploaded_files"] == 0
    assert report["curve"] and report["checkpoints"] and report["trained_tokens"] > 0
    (out / "report.json").unlink()
    found = prompt.load(out)
    assert found.model == jobs[0].fine_tuned_model and list(found.labels) == LABELS
