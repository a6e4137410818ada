"""Measure the gateway beside its floor and its peers; write benchmarks/results/gateway.json.

python -m benchmarks.gateway [--quick] [--only NAME,…] [--rounds N] [--seconds S]
"""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from benchmarks.gateway.goals import HEADLINE
from benchmarks.gateway.measure import Effort
from benchmarks.gateway.rounds import QUICK, SERVERS, compare
from benchmarks.harness import provenance, save

QUICK_REQUESTS = 300


def main() -> None:
    """Run it and write the result; a part of it only prints."""
    began = provenance()
    given = _parser().parse_args()
    names = list(QUICK if given.quick else SERVERS)
    if given.only:
        names = given.only.split(",")
    if unknown := sorted(set(names) - SERVERS.keys()):
        raise SystemExit(f"unknown: {', '.join(unknown)}; there are {', '.join(SERVERS)}")
    effort = Effort(seconds=given.seconds, requests=QUICK_REQUESTS if given.quick else 0)
    rounds = 1 if given.quick else given.rounds
    numbers: dict[str, Any] = msgspec.to_builtins(compare(names, rounds, effort))
    report(numbers)
    if not given.quick and not given.only:
        save("gateway", began, numbers)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.gateway")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK_REQUESTS} requests each, floor and ours; nothing is written",
    )
    parser.add_argument("--only", default="", help="names with commas; nothing is written")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    return parser


def report(numbers: dict[str, Any]) -> None:
    """Say what it came to."""
    for name, server in numbers["servers"].items():
        run, paced = server[HEADLINE], server["paced"]
        print(
            f"{name}: {run['cpu_us']:,.0f} µs of CPU, {run['per_second']:,.0f} requests/s at "
            f"{HEADLINE} connections; at {paced['rate']:g}/s p50 {paced['latency']['p50']} ms, "
            f"p99 {paced['latency']['p99']} ms; errors {_errors(server)}"
        )
    for goal in numbers["goals"]:
        met = {True: "met", False: "missed", None: "could not be measured"}[goal["met"]]
        bound = f"{'≥' if goal.get('least') else '≤'} {goal['bound']:g} {goal['unit']}"
        print(f"{met}: {goal['name']}: {goal['value']} ({bound})")


def _errors(server: dict[str, Any]) -> int:
    return sum(run["errors"] for run in server.values() if isinstance(run, dict))


if __name__ == "__main__":
    main()
