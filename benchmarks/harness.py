"""What every benchmark writes beside its numbers: machine, commit, command, time."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from greenlight.adapters.clock import SystemClock
from greenlight.core.records import SECOND

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
CHANGED = " + changes"
"""After a commit, where the tree was not that commit's."""


def provenance() -> dict[str, Any]:
    """Where, on what and by which command numbers come about: ask before they do, for the tree may
    change while they are made. Results of other benchmarks are no change of what is measured."""
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    dirty = subprocess.run(
        [*git, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results"],
        capture_output=True,
        text=True,
        check=True,
    )
    script = Path(sys.argv[0])
    name = script.parent.name if script.stem == "__main__" else script.stem
    return {
        "command": " ".join(["python -m", f"benchmarks.{name}", *sys.argv[1:]]),
        "commit": commit.stdout.strip() + (CHANGED if dirty.stdout.strip() else ""),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "cpu": _cpu(),
        "at": datetime.fromtimestamp(SystemClock().now() // SECOND, tz=UTC).isoformat(),
    }


def save(name: str, began: dict[str, Any], numbers: dict[str, Any]) -> Path:
    """Write benchmarks/results/NAME.json and say so; `began` is the provenance."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    body = json.dumps({"provenance": began, **numbers}, indent=2)
    path.write_text(body + "\n", encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}")
    return path


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
