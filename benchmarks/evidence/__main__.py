"""Measure the evidence engine and write benchmarks/results/evidence.json.

python -m benchmarks.evidence [--quick] [--only WORD]
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import msgspec
from rich.progress import Progress

from benchmarks.evidence.pieces import PIECES, QUICK, Measured, measure
from benchmarks.harness import provenance, save

SLOW_FIRST = ("null", "size", "curve", "errors", "latency")
"""What takes longest begins first, so that no process waits for another at the end."""


def main() -> None:
    """Run the pieces and write the result; the quick form only prints."""
    began = provenance()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller counts, nothing is written")
    parser.add_argument("--only", default="", help="pieces whose name has this; nothing is written")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    names = [name for name in (QUICK if given.quick else PIECES) if given.only in name]
    found = run(names, given.quick, given.workers)
    numbers = results(found)
    report(numbers)
    if not given.quick and not given.only:
        save("evidence", began, numbers)


def run(names: list[str], quick: bool, workers: int) -> list[Measured]:
    """Carry out pieces in several processes; in the order of `names`."""
    slow = sorted(names, key=lambda name: not name.startswith(SLOW_FIRST))
    with ProcessPoolExecutor(workers) as pool, Progress() as progress:
        task = progress.add_task("evidence", total=len(names))
        futures = [pool.submit(measure, name, quick) for name in slow]
        done = {}
        for future in as_completed(futures):
            made = future.result()
            done[made.name] = made
            progress.update(task, advance=1, description=made.name)
    return [done[name] for name in names]


def results(found: list[Measured]) -> dict[str, Any]:
    """The numbers as they are saved."""
    rows = [row for made in found for row in made.rows]
    traps = [trap for made in found for trap in made.traps]
    judged = [row for row in rows if row.met is not None]
    return {
        "cpu_seconds": {made.name: round(made.seconds, 1) for made in found},
        "goals": {"met": sum(bool(row.met) for row in judged), "of": len(judged)},
        "rows": msgspec.to_builtins(rows),
        "traps": msgspec.to_builtins(traps),
    }


def report(numbers: dict[str, Any]) -> None:
    """Say what was missed, and how long it took."""
    for row in numbers["rows"]:
        if row.get("met") is False:
            where = f"{row['scenario']}: {row['method']}, {row['measure']}"
            print(f"missed: {where}: {row['value']} (goal {row['goal']:.4g})")
    for trap in numbers["traps"]:
        kept = "" if trap["kept"] else "  NOT KEPT"
        print(f"trap: {trap['name']}: {trap['before']:.1%} → {trap['after']:.1%}{kept}")
    goals, spent = numbers["goals"], sum(numbers["cpu_seconds"].values())
    print(f"{goals['met']} of {goals['of']} goals met in {spent:.0f} s of CPU")


if __name__ == "__main__":
    main()
