"""The servers that are compared: how each is started, and what it is asked."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from benchmarks.gateway.load import UNIT
from benchmarks.gateway.processes import LOOK_S, NotMeasured, Process
from benchmarks.gateway.upstream import WORDS

READY_WITHIN_S = 180.0
_ASK_TIMEOUT_S = 30.0
_NOT_YET = 503
"""What a server answers that listens already and cannot work yet."""

QUESTION = "My card has not arrived yet, and it has been two weeks. Where is it?"
PACE = 50.0
PREDICT_PACE = 120.0

Scenario = Literal["closed", "paced", "stream"]


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """How a server is started and asked."""

    command: list[str]
    path: str
    """Where it is asked, after its base address."""
    body: str
    expect: str
    """What a good answer contains."""
    base: str = ""
    """Its base address; without one it prints that address."""
    version: str = ""
    headers: dict[str, str] = {}
    env: dict[str, str] = {}
    cwd: Path | None = None
    connections: tuple[int, ...] = (1, 16, 64)
    pace: float = PACE
    told: str = ""
    """The header with its own view of what it cost."""
    chat: bool = True
    """Whether it stands before the provider, and can stream."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A server that runs."""

    name: str
    launch: Launch
    process: Process
    url: str
    start_s: float
    """From its start to its first good answer."""


def chat(model: str, *, stream: bool = False) -> str:
    """The body of a request for a chat completion."""
    asked = {
        "model": model,
        "messages": [{"role": "user", "content": QUESTION}],
        "user": UNIT,
        **({"stream": True} if stream else {}),
    }
    return json.dumps(asked)


def streamed(body: str) -> str:
    """The same request, with a streamed answer."""
    return json.dumps({**json.loads(body), "stream": True})


def chat_launch(model: str, path: str, command: list[str], **more: object) -> Launch:
    """A launch of what speaks OpenAI's protocol."""
    made = Launch(command=command, path=path, body=chat(model), expect=WORDS)
    return msgspec.structs.replace(made, **more)


@contextmanager
def running(name: str, launch: Launch, core: int, folder: Path) -> Iterator[Server]:
    """A server, from its first good answer to the end of the block.

    Raises:
        NotMeasured: it does not start, or its answer is not a good one.
    """
    process = Process(
        launch.command, core=core, log=folder / f"{name}.log", env=launch.env, cwd=launch.cwd
    )
    try:
        base = launch.base or process.said("http://", READY_WITHIN_S)
        url = base.rstrip("/") + launch.path
        _await_answer(process, url, launch)
        taken = time.perf_counter() - process.began
        yield Server(name=name, launch=launch, process=process, url=url, start_s=round(taken, 2))
    finally:
        process.end()


def _await_answer(process: Process, url: str, launch: Launch) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    said = "nobody listens"
    while time.monotonic() < deadline:
        process.check()
        try:
            status, answer = _ask(url, launch)
        except (ConnectionError, TimeoutError, urllib.error.URLError) as error:
            said = str(error)
        else:
            if status == 200 and launch.expect in answer:
                return
            said = f"POST {urlsplit(url).path} answered {status}: {answer[:300]}"
            if status != _NOT_YET:
                raise NotMeasured(said)
        time.sleep(LOOK_S)
    raise NotMeasured(f"not ready after {READY_WITHIN_S:.0f} s: {said}")


def _ask(url: str, launch: Launch) -> tuple[int, str]:
    headers: Mapping[str, str] = {"content-type": "application/json", **launch.headers}
    request = urllib.request.Request(url, launch.body.encode(), dict(headers))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_ASK_TIMEOUT_S) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")


Prepare = Callable[[Path, str], Launch]
"""In an empty folder, with the provider's base address: how to start a server."""
