"""The demo itself, seed by seed, in real time: what it came to, as it came out.

    python -m benchmarks.demo --seeds 5
    python -m benchmarks.demo --seeds 5 --candidate same

Every run is `greenlight demo` in a fresh folder. Nothing is left out or run again.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks.harness import provenance, save


def run(seed: int, candidate: str) -> dict[str, Any]:
    """One demo; its result, without the paths."""
    with tempfile.TemporaryDirectory() as folder:
        call = [sys.executable, "-m", "greenlight.entrypoints.cli", "demo", "--json"]
        options = [
            "--seed",
            str(seed),
            "--candidate",
            candidate,
            "--dir",
            str(Path(folder, "demo")),
        ]
        done = subprocess.run([*call, *options], capture_output=True, text=True)
    if done.returncode != 0:
        return {"seed": seed, "error": done.stderr.strip().splitlines()[-1]}
    result = json.loads(done.stdout)
    return {
        "seed": seed,
        "seconds": round(result["seconds"], 1),
        "dataset": result["summary"]["dataset"],
        "versions": [_version(version) for version in result["summary"]["versions"]],
        "rollouts": [_rollout(rollout) for rollout in result["summary"]["rollouts"]],
        "traffic": result["traffic"],
    }


def _version(version: dict[str, Any]) -> dict[str, Any]:
    return {name: version[name] for name in ("label", "backend", "accuracy", "live", "status")}


def _rollout(rollout: dict[str, Any]) -> dict[str, Any]:
    names = (
        "candidate",
        "aa",
        "status",
        "code",
        "max_weight",
        "outcomes",
        "requests_served",
        "units_exposed",
        "seconds",
        "log_e",
    )
    return {name: rollout[name] for name in names}


def main() -> None:
    """Run the seeds and write the result."""
    began = provenance()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--candidate", choices=["better", "same"], default="better")
    given = parser.parse_args()
    seeds = range(1, given.seeds + 1)
    runs = [run(seed, given.candidate) for seed in track(seeds, f"demo, {given.candidate}")]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    save(f"demo-{given.candidate}", began, {"largest_process_mb": round(peak / 1024), "runs": runs})


if __name__ == "__main__":
    main()
