"""How the long forms of tests ended: kills, outages, malformed requests by the thousand.

python -m benchmarks.slow [PYTEST ARGUMENTS …]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.harness import ROOT, provenance, save

COMMAND = ("-m", "pytest", "-n", "2", "--dist", "worksteal", "-m", "slow")


def outcomes(junit: str) -> list[dict[str, Any]]:
    """Each test of a JUnit report: its name, `passed`, `failed` or `skipped`, and its seconds."""
    found = []
    for case in ElementTree.fromstring(junit).iter("testcase"):
        ends = {child.tag for child in case}
        outcome = "failed" if ends & {"failure", "error"} else "passed"
        place = str(case.get("classname", "")).removeprefix("tests.").replace(".", "/")
        found.append(
            {
                "test": f"{place}: {case.get('name')}",
                "outcome": "skipped" if "skipped" in ends else outcome,
                "seconds": round(float(case.get("time", 0)), 1),
            }
        )
    return sorted(found, key=lambda row: str(row["test"]))


def main() -> int:
    """Run them, and put on record how they ended; returns pytest's exit code."""
    began = provenance()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        command = [sys.executable, *COMMAND, f"--junitxml={report}", *sys.argv[1:]]
        ended = subprocess.run(command, cwd=ROOT, check=False).returncode
        tests = outcomes(report.read_text(encoding="utf-8"))
    save("slow", began, {"tests": tests})
    return ended


if __name__ == "__main__":
    raise SystemExit(main())
