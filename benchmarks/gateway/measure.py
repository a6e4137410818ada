"""One server in one round: CPU per request, throughput and latency, at a pace, and streamed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec

from benchmarks.gateway import load
from benchmarks.gateway.load import Outcome, Plan, Times
from benchmarks.gateway.processes import NotMeasured, pinned, resident_mb, settled
from benchmarks.gateway.servers import Server, streamed
from benchmarks.gateway.upstream import PIECES

STREAMS = 4
"""Streamed answers at once: few enough that no server is saturated and events stay apart."""
PACED_CONNECTIONS = 8
PACED_LONGER = 2
"""A pace takes so many times the seconds of the rest, for its tail rests on fewer requests."""
WARM = 100
"""Requests before each measurement."""
_ENDS_WITHIN_S = 120.0


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """How long each measurement takes, and how many requests it has at the most."""

    seconds: float
    requests: int = 0


def measured(server: Server, upstream: str, core: int, effort: Effort) -> dict[str, Any]:
    """All measurements of a server.

    Args:
        server: the server, which runs.
        upstream: the provider's base address.
        core: the core of the users.
        effort: how long.

    Raises:
        NotMeasured: it has ended, or gave no good answer.
    """
    launch = server.launch
    plan = Plan(
        url=server.url,
        body=launch.body,
        expect=launch.expect,
        headers=launch.headers,
        seconds=effort.seconds,
        requests=effort.requests,
        told=launch.told,
    )
    found: dict[str, Any] = {}
    for connections in launch.connections:
        found[str(connections)] = _saturated(server, _with(plan, connections), core)
    straight = f"{upstream}/chat/completions" if launch.chat else ""
    found["paced"] = _paced(server, plan, straight, launch.pace, core)
    if launch.chat:
        streams = msgspec.structs.replace(
            _with(plan, STREAMS), body=streamed(launch.body), expect=PIECES[-1]
        )
        found["stream"] = _saturated(server, streams, core)
    return found


def _with(plan: Plan, connections: int) -> Plan:
    warm = -(-WARM // connections)
    return msgspec.structs.replace(plan, connections=connections, warm=warm)


def _saturated(server: Server, plan: Plan, core: int) -> dict[str, Any]:
    """Every connection asks as soon as it was answered."""
    outcome, spent = drive(plan, core, server.process.pid)
    server.process.check()
    asked = outcome.requests + sum(outcome.errors.values())
    return {
        "cpu_us": round(spent / asked * 1e6, 1),
        "per_second": round(outcome.requests / outcome.seconds, 1),
        "loaded_mb": resident_mb(server.process.pid),
        **_seen(outcome),
    }


def _paced(server: Server, plan: Plan, straight: str, rate: float, core: int) -> dict[str, Any]:
    """Requests at a steady rate; between them the same ones go straight to the provider."""
    paced = msgspec.structs.replace(
        _with(plan, PACED_CONNECTIONS),
        rate=rate,
        seconds=plan.seconds * PACED_LONGER,
        straight=straight,
    )
    outcome, _ = drive(paced, core, server.process.pid)
    server.process.check()
    found = {
        "rate": rate,
        "per_second": round(outcome.requests / outcome.seconds, 1),
        "late_ms": outcome.late_ms,
        **_seen(outcome),
    }
    if outcome.straight is not None:
        found["straight"] = msgspec.to_builtins(outcome.straight)
        found["overhead"] = overhead(outcome)
    return found


def overhead(outcome: Outcome) -> dict[str, float]:
    """What a server adds: quantiles of its latency less those of the provider asked straight."""
    through, straight = outcome.latency, outcome.straight
    assert through is not None and straight is not None
    return {
        name: round(getattr(through, name) - getattr(straight, name), 3)
        for name in Times.__struct_fields__
    }


def _seen(outcome: Outcome) -> dict[str, Any]:
    """What the users saw.

    Raises:
        NotMeasured: not one good answer.
    """
    if outcome.latency is None:
        raise NotMeasured(f"no good answer: {next(iter(outcome.errors), 'no time')}")
    seen = {
        "requests": outcome.requests,
        "errors": sum(outcome.errors.values()),
        "client_us": outcome.cpu_us,
        "latency": msgspec.to_builtins(outcome.latency),
        "first_byte": msgspec.to_builtins(outcome.first_byte),
    }
    if outcome.told is not None:
        seen["told"] = msgspec.to_builtins(outcome.told)
    if outcome.errors:
        seen["failures"] = outcome.errors
    return seen


def drive(plan: Plan, core: int, pid: int) -> tuple[Outcome, float]:
    """Let users carry out a plan; what came of it, and the CPU seconds of process `pid` meanwhile.

    Raises:
        NotMeasured: the users got nowhere.
    """
    command = [sys.executable, "-m", load.__name__, msgspec.json.encode(plan).decode()]
    with (
        pinned(core),
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as users,
    ):
        assert users.stdout is not None
        if users.stdout.readline() != b"ready\n":
            _, said = users.communicate()
            raise NotMeasured(f"no users: {said.decode(errors='replace').strip()[-500:]}")
        # What the first requests put off is not the later ones' cost.
        before = settled(pid)
        try:
            out, said = users.communicate(b"go\n", plan.seconds + _ENDS_WITHIN_S)
        except subprocess.TimeoutExpired as error:
            users.kill()
            raise NotMeasured(f"not answered within {error.timeout:.0f} s") from error
        if users.returncode:
            raise NotMeasured(f"no users: {said.decode(errors='replace').strip()[-500:]}")
    return msgspec.json.decode(out, type=Outcome), settled(pid) - before
