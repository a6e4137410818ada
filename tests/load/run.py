"""A load test of a running gateway by Locust, and whether it keeps the service level of S4.

    python -m tests.load.run --url http://127.0.0.1:8400 --rate 2 --minutes 10 --out slo.json

Prints a table, writes the summary as JSON, and ends with 1 if the service level was missed.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.load.summary import Sample, Summary, steady, summarise, table

PATIENCE = 10.0
"""Seconds after which an answer comes too late to be one."""
INTERVAL = 4.0
"""Seconds between two requests of a user: slower answers than that would slow the users down."""


class NotMeasured(Exception):
    """Locust is not there, or failed."""


def measure(url: str, task: str, *, rate: float, ramp: float, seconds: float) -> Summary:
    """Put a gateway under load and sum up.

    Args:
        url: where it listens.
        task: of the kind `classify`.
        rate: requests a second once all users are there.
        ramp: seconds in which they come, which do not count.
        seconds: how long the rate is kept up.

    Raises:
        NotMeasured: Locust is not there, or failed.
    """
    if importlib.util.find_spec("locust") is None:
        raise NotMeasured("needs Locust: pip install -c constraints.txt -e '.[load]'")
    users = math.ceil(rate * INTERVAL)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "samples.jsonl")
        told = {
            "LOAD_TASK": task,
            "LOAD_PACE": str(rate / users),
            "LOAD_PATIENCE": str(PATIENCE),
            "LOAD_SAMPLES": str(file),
        }
        options = {
            "--host": url,
            "--users": users,
            "--spawn-rate": users / max(ramp, 1.0),
            "--run-time": f"{math.ceil(ramp + seconds)}s",
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
    return summarise(steady(samples, ramp, seconds), rate=rate, seconds=seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as told; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.load.run")
    parser.add_argument("--url", default="http://127.0.0.1:8400", help="where the gateway listens")
    parser.add_argument("--task", default="intent", help="a task of the kind classify")
    parser.add_argument("--rate", type=float, default=2.0, help="requests a second")
    parser.add_argument("--ramp", type=float, default=1.0, help="minutes until the rate is reached")
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes at the rate")
    parser.add_argument("--out", type=Path, help="where the summary goes, as JSON")
    given = parser.parse_args(arguments)
    try:
        summary = measure(
            given.url,
            given.task,
            rate=given.rate,
            ramp=given.ramp * 60,
            seconds=given.minutes * 60,
        )
    except NotMeasured as error:
        print(error, file=sys.stderr)
        return 2
    print(table(summary, given.rate))
    if given.out is not None:
        given.out.write_bytes(msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
    return 0 if summary.met else 1


if __name__ == "__main__":
    sys.exit(main())
