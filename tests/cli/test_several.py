"""Several gateway processes that are one to their users, and to Prometheus (S1)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from greenlight.core.records import Replica
from greenlight.entrypoints.processes import free_port
from tests.cli.project import Project

PATIENCE = 60.0


class Model(BaseHTTPRequestHandler):
    """A model server with one thing to say."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = b'{"predictions": [{"label": "card_arrival", "score": null}]}'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def live(project: Project) -> Iterator[Project]:
    """An installation with something to serve."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        project.ok("adopt", "intent", "--url", url, "-m", "it runs", by="ana")
        yield project
        server.shutdown()


def replicas(project: Project) -> set[str]:
    """The names of the gateways that have signed in, after the machine's."""
    with project.opened() as (_, office):
        return {sign.id.rpartition("/")[2] for sign in office.store.scan(Replica)}


@contextmanager
def running(project: Project, workers: int, **environ: str) -> Iterator[tuple[str, int]]:
    """The address of so many gateways and the process that minds them."""
    port = free_port()
    command = [sys.executable, "-m", "greenlight.entrypoints.cli"]
    command += ["-C", str(project.folder), "gateway", "--workers", str(workers)]
    env = {**os.environ, "GREENLIGHT_GATEWAY_PORT": str(port), **environ}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    try:
        assert f"({workers} processes)" in process.stdout.readline()
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        status = process.wait(PATIENCE)
        process.stdout.close()
        assert status == 0


def get(url: str, body: object = None) -> str:
    """The text of an answer, on a connection of its own."""
    data = None if body is None else msgspec.json.encode(body)
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=PATIENCE) as answer:
        return str(answer.read().decode())


def counted(text: str, name: str) -> float:
    """The sum of a metric over its labels."""
    lines = (line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} ")))
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def children(pid: int) -> set[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return {int(child) for child in file.read().split()}


def until(condition: object, within: float = PATIENCE) -> None:
    assert callable(condition)
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_several_processes_answer_count_and_are_replaced(live: Project) -> None:
    with running(live, 2) as (url, parent):
        for number in range(40):
            asked = {"input": "where is my card?", "unit": f"user-{number}"}
            assert '"label"' in get(f"{url}/v1/tasks/intent/predict", asked)
        for _ in range(4):  # whichever is scraped tells of both
            assert counted(get(f"{url}/metrics"), "greenlight_requests_total") == 40
        assert replicas(live) == {"1", "2"}
        before = children(parent)
        os.kill(min(before), signal.SIGKILL)
        until(lambda: len(children(parent)) == 2 and children(parent) != before)
        for number in range(20):
            asked = {"input": "where is my card?", "unit": f"user-{number}"}
            assert '"label"' in get(f"{url}/v1/tasks/intent/predict", asked)
        assert counted(get(f"{url}/metrics"), "greenlight_requests_total") == 60


def test_what_cannot_start_ends_all(project: Project) -> None:
    message = project.refused(2, "gateway", "--workers", "2", GREENLIGHT_GATEWAY_HOST="0.0.0.0")
    assert "can be reached from elsewhere" in message


def test_children_do_not_outlive_their_parent(live: Project) -> None:
    with pytest.raises(AssertionError), running(live, 2) as (_, parent):
        own = children(parent)
        os.kill(parent, signal.SIGKILL)
        until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in own))
