"""The servers in turn, round after round, so that noise of the machine meets all of them alike."""

from __future__ import annotations

import os
import re
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.progress import Progress

from benchmarks.gateway import ours, peers
from benchmarks.gateway.goals import goals
from benchmarks.gateway.measure import Effort, measured
from benchmarks.gateway.processes import NotMeasured, Process, cores, resident_mb
from benchmarks.gateway.servers import Launch, Prepare, Server, chat_launch, running
from benchmarks.harness import ROOT
from greenlight.entrypoints.processes import free_port

LOGS = ROOT / "build" / "bench-gateway" / "logs"
_SUMMED = ("requests", "errors")
_LONGEST_REASON = 600


def floor(folder: Path, upstream: str) -> Launch:
    """See `benchmarks.gateway.floor`."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.gateway.floor", upstream, str(port)]
    return chat_launch(
        "any",
        "/v1/chat/completions",
        command,
        base=f"http://127.0.0.1:{port}",
        version="uvicorn, uvloop, httptools, aiohttp",
    )


SERVERS: dict[str, Prepare] = {
    "floor": floor,
    "greenlight": ours.chat,
    **peers.PEERS,
    "predict": ours.constant,
    "classify": ours.classify,
}
QUICK = ("floor", "greenlight", "predict")


def compare(names: Sequence[str], rounds: int, effort: Effort) -> dict[str, Any]:
    """Start, measure and end the servers; the numbers as they are saved.

    Args:
        names: which of `SERVERS`.
        rounds: how often each is measured.
        effort: how long each measurement takes.
    """
    user_core, server_core = cores()
    absent: dict[str, str] = {}
    names = _installed(names, absent)
    with Progress() as progress, ExitStack() as stack:
        shown = progress.add_task("starting", total=len(names) * (rounds + 1))

        def step(what: str) -> None:
            progress.update(shown, advance=1, description=what)

        upstream = stack.enter_context(provider(user_core, LOGS))
        up = _start(names, upstream, server_core, stack, absent, step)
        progress.update(shown, total=len(names) + len(up) * rounds)
        idle = {name: resident_mb(server.process.pid) for name, server in up.items()}
        made = [
            _round(_turned(up, number), upstream, user_core, effort, absent, step)
            for number in range(rounds)
        ]
        about = {
            name: {
                "version": server.launch.version,
                "start_s": server.start_s,
                "idle_mb": idle[name],
            }
            for name, server in up.items()
        }
    about = {name: facts for name, facts in about.items() if name not in absent}
    return results(about, absent, made, _setting(rounds, effort, user_core, server_core))


def results(
    about: Mapping[str, dict[str, Any]],
    absent: Mapping[str, str],
    made: Sequence[dict[str, Any]],
    setting: Mapping[str, Any],
) -> dict[str, Any]:
    """The medians by server, the goals, and every round as it was."""
    found = {
        name: {**facts, **medians([one[name] for one in made if name in one])}
        for name, facts in about.items()
    }
    return {
        "setting": dict(setting),
        "servers": found,
        "absent": dict(absent),
        "goals": goals(made, found),
        "runs": _runs(found),
        "rounds": list(made),
    }


def medians(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The median of every number over dictionaries of one form; counts are added up.

    What went wrong is told in the rounds alone.
    """
    made: dict[str, Any] = {}
    for name, value in found[0].items() if found else ():
        values = [one[name] for one in found if name in one]
        if isinstance(value, Mapping) and name != "failures":
            made[name] = medians(values)
        elif name in _SUMMED:
            made[name] = sum(values)
        elif isinstance(value, int | float):
            made[name] = round(statistics.median(values), 3)
    return made


def _runs(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The gateway alone, by users: what benchmarks/README.md shows."""
    if "predict" not in found:
        return []
    return [
        {
            "users": int(users),
            "requests": run["requests"],
            "requests_per_second": round(run["per_second"]),
            "cpu_us_per_request": run["cpu_us"],
            "client_ms": run["latency"],
            "overhead_ms": run["told"],
        }
        for users, run in found["predict"].items()
        if users.isdigit()
    ]


def _setting(rounds: int, effort: Effort, user_core: int, server_core: int) -> dict[str, Any]:
    return {
        "rounds": rounds,
        "seconds": effort.seconds,
        "requests": effort.requests,
        "user_core": user_core,
        "server_core": server_core,
        "load_average": round(os.getloadavg()[0], 2),
    }


def _turned(up: dict[str, Server], by: int) -> list[Server]:
    """The servers, beginning with another one each time."""
    servers = list(up.values())
    by %= max(len(servers), 1)
    return [*servers[by:], *servers[:by]]


@contextmanager
def provider(core: int, logs: Path) -> Iterator[str]:
    """The provider's base address, while it runs.

    Raises:
        NotMeasured: it does not start.
    """
    command = [sys.executable, "-m", "benchmarks.gateway.upstream"]
    process = Process(command, core=core, log=logs / "upstream.log")
    try:
        yield process.said("http://", within=30.0)
    finally:
        process.end()


def _installed(names: Sequence[str], absent: dict[str, str]) -> list[str]:
    """Those that can be had; peers are installed now, before anything is drawn or started."""
    had = []
    for name in names:
        try:
            if name in peers.PEERS:
                peers.python_of(name)
            had.append(name)
        except NotMeasured as error:
            _note(absent, name, error, None)
    return had


def _start(
    names: Sequence[str],
    upstream: str,
    core: int,
    stack: ExitStack,
    absent: dict[str, str],
    step: Callable[[str], None],
) -> dict[str, Server]:
    """All servers that can be had, paused; of the others, why not."""
    up = {}
    for name in names:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"bench-{name}-")))
        try:
            launch = SERVERS[name](folder, upstream)
            server = stack.enter_context(running(name, launch, core, LOGS))
        except NotMeasured as error:
            _note(absent, name, error, folder)
        else:
            server.process.pause()
            up[name] = server
        step(f"started {name}")
    return up


def _round(
    servers: Sequence[Server],
    upstream: str,
    core: int,
    effort: Effort,
    absent: dict[str, str],
    step: Callable[[str], None],
) -> dict[str, Any]:
    """Every server once, while the others stand still."""
    made = {}
    for server in servers:
        if server.name not in absent:
            server.process.go_on()
            try:
                made[server.name] = measured(server, upstream, core, effort)
            except NotMeasured as error:
                _note(absent, server.name, error, server.launch.cwd)
            server.process.pause()
        step(f"measured {server.name}")
    return made


def _note(absent: dict[str, str], name: str, error: NotMeasured, folder: Path | None) -> None:
    """Why a server is not measured, without this machine's paths and addresses."""
    reason = str(error).replace(str(ROOT), ".")
    if folder is not None:
        reason = reason.replace(str(folder), "FOLDER")
    reason = re.sub(r"https?://\S+", "URL", reason)
    absent[name] = " ".join(reason.split())[-_LONGEST_REASON:]
    print(f"{name} could not be measured: {absent[name]}")
