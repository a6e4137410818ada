"""A load test of a running gateway by Locust, and whether it keeps the service level of S4.

    python -m tests.load.run --url http://127.0.0.1:8400 --rate 2 --minutes 10 --out slo.json

Prints a table, writes the summary as JSON, and ends with 1 if the service level was missed.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import harness
from greenlight.core.load import Summary
from tests.load.summary import Plan, Sample, steady, summarise, table

PATIENCE = 10.0
"""Seconds after which an answer comes too late to be one."""
INTERVAL = 4.0
"""Seconds between two requests of a user: slower answers than that would slow the users down."""


class NotMeasured(Exception):
    """Locust is not there, or failed."""


def measure(url: str, plan: Plan, provenance: Mapping[str, Any]) -> Summary:
    """Put a gateway under load and sum up.

    Args:
        url: where it listens.
        plan: what is asked of it.
        provenance: as `came_from` gives it.

    Raises:
        NotMeasured: Locust is not there, or failed.
    """
    if importlib.util.find_spec("locust") is None:
        raise NotMeasured("needs Locust: pip install -c constraints.txt -e '.[load]'")
    users = math.ceil(plan.rate * INTERVAL)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "samples.jsonl")
        told = {
            "LOAD_TASK": plan.task,
            "LOAD_PACE": str(plan.rate / users),
            "LOAD_PATIENCE": str(PATIENCE),
            "LOAD_SAMPLES": str(file),
        }
        options = {
            "--host": url,
            "--users": users,
            "--spawn-rate": users / max(plan.ramp, 1.0),
            "--run-time": f"{math.ceil(plan.ramp + plan.seconds)}s",
            "--stop-timeout": f"{PATIENCE:.0f}s",
            "--exit-code-on-error": 0,
            "--loglevel": "WARNING",
            "--locustfile": Path(__file__).with_name("locustfile.py"),
        }
        words = [str(word) for option in options.items() for word in option]
        done = subprocess.run(
            [sys.executable, "-m", "locust", "--headless", "--only-summary", *words],
            env={**os.environ, **told},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not file.exists():
            raise NotMeasured(f"Locust failed: {done.stderr.strip() or done.stdout.strip()}")
        lines = file.read_bytes().splitlines()
    samples = [msgspec.json.decode(line, type=Sample) for line in lines]
    return summarise(steady(samples, plan.ramp, plan.seconds), plan, provenance)


def came_from(arguments: Sequence[str]) -> dict[str, Any]:
    """Machine, commit and command, as with every benchmark, and how busy the machine is already.

    Raises:
        NotMeasured: git cannot say which commit this is.
    """
    try:
        came = harness.provenance()
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotMeasured(f"git cannot say which commit this is ({error}): use a clone") from error
    command = shlex.join(["python", "-m", "tests.load.run", *arguments])
    return {**came, "command": command, "load_average": round(os.getloadavg()[0], 2)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as told; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.load.run")
    parser.add_argument("--url", default="http://127.0.0.1:8400", help="where the gateway listens")
    parser.add_argument("--task", default="intent", help="a task of the kind classify")
    parser.add_argument("--rate", type=float, default=2.0, help="requests a second")
    parser.add_argument("--ramp", type=float, default=1.0, help="minutes until the rate is reached")
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes at the rate")
    parser.add_argument("--out", type=Path, help="where the summary goes, as JSON")
    parser.add_argument("--note", default="", help="what else is to be known, for the summary")
    words = sys.argv[1:] if arguments is None else arguments
    given = parser.parse_args(words)
    if given.out is not None and not given.out.parent.is_dir():
        parser.error(f"--out {given.out}: there is no folder {given.out.parent}; make it first")
    plan = Plan(
        task=given.task,
        rate=given.rate,
        ramp=given.ramp * 60,
        seconds=given.minutes * 60,
        note=given.note,
    )
    try:
        summary = measure(given.url, plan, came_from(words))
    except NotMeasured as error:
        print(error, file=sys.stderr)
        return 2
    print(table(summary))
    if given.out is not None:
        given.out.write_bytes(msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
    return 0 if summary.met else 1


if __name__ == "__main__":
    sys.exit(main())
