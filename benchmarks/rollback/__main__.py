"""Measure rollbacks with real processes; write benchmarks/results/rollback.json.

python -m benchmarks.rollback [--quick] [--only PART,…] [--runs N] [--seed S] [--json]
"""

from __future__ import annotations

import argparse
import json

from benchmarks.harness import provenance, save
from benchmarks.rollback import results
from benchmarks.rollback.measure import PARTS, QUICK, Effort, measure


def main() -> None:
    """Run it and write the result; a part of it only prints."""
    began = provenance()
    given = _parser().parse_args()
    parts = given.only.split(",") if given.only else list(PARTS)
    if unknown := sorted(set(parts) - set(PARTS)):
        raise SystemExit(f"unknown: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    effort = QUICK if given.quick else Effort(runs=given.runs)
    found = measure(parts, effort, given.seed)
    print(json.dumps(found, indent=2) if given.json else results.report(found))
    if not given.quick and not given.only:
        save("rollback", began, found)
    if any(goal["met"] is False for goal in found["goals"]):
        raise SystemExit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.rollback")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="everything once, alarms of one minute; nothing is written",
    )
    parser.add_argument(
        "--only", default="", help=f"parts with commas, of {', '.join(PARTS)}; nothing is written"
    )
    parser.add_argument("--runs", type=int, default=Effort().runs, help="of each candidate")
    parser.add_argument("--seed", type=int, default=1, help="of users and models")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


if __name__ == "__main__":
    main()
