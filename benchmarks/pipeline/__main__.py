"""Measure the pipeline beside its baselines; write benchmarks/results/pipeline.json.

python -m benchmarks.pipeline [--quick] [--only PART,…] [--folder FOLDER]
"""

from __future__ import annotations

import argparse

from benchmarks.harness import provenance, save
from benchmarks.pipeline.measure import PARTS, QUICK, Effort, measure
from benchmarks.pipeline.page import report


def main() -> None:
    """Run it and write the result; a part of it only prints."""
    began = provenance()
    given = _parser().parse_args()
    parts = given.only.split(",") if given.only else list(PARTS)
    if unknown := sorted(set(parts) - set(PARTS)):
        raise SystemExit(f"unknown: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    found = measure(parts, QUICK if given.quick else Effort(), given.folder)
    print(report(found))
    if not given.quick and not given.only:
        save("pipeline", began, found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.pipeline")
    parser.add_argument(
        "--quick", action="store_true", help="few of everything; nothing is written"
    )
    parser.add_argument(
        "--only", default="", help=f"parts with commas, of {', '.join(PARTS)}; nothing is written"
    )
    parser.add_argument("--folder", help="where stores and rows are made meanwhile")
    return parser


if __name__ == "__main__":
    main()
