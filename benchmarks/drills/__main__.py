"""Hold every drill from an empty folder, and keep what came of each.

    python -m benchmarks.drills [--quick]

Each is one command, as a user types it. By alarm a drill takes its real five minutes; `--quick`
leaves those out, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.drills import page
from benchmarks.harness import provenance, save

FAULTS = ("errors", "latency", "quality")
TRIGGERS = ("evidence", "alarm")
TASK = "desk"
GREENLIGHT = (sys.executable, "-m", "greenlight.entrypoints.cli")


def main(arguments: Sequence[str] | None = None) -> int:
    """Hold them; 1 if one did not pass."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drills", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="by evidence only; nothing is kept")
    quick = parser.parse_args(arguments).quick
    began = provenance()
    held = []
    with tempfile.TemporaryDirectory() as folder:
        _greenlight(folder, "init", "--template", "sample")
        for trigger in TRIGGERS[:1] if quick else TRIGGERS:
            for fault in FAULTS:
                print(f"greenlight drill {TASK} --fault {fault} --trigger {trigger}", flush=True)
                found = hold(Path(folder), fault, trigger)
                word = "passed" if found["drill"]["passed"] else "FAILED"
                print(f"  {word}: {found['drill']['why']}", flush=True)
                held.append(found)
        if not quick:
            keep(held)
            save("drills", began, {"drills": held})
    return 0 if all(found["drill"]["passed"] for found in held) else 1


def hold(folder: Path, fault: str, trigger: str) -> dict[str, Any]:
    """One drill: what is on the ledger of it, and what its evidence tells."""
    words = ("drill", TASK, "--fault", fault, "--trigger", trigger, "--json")
    filed = json.loads(_greenlight(folder, *words, fails=True))
    evidence = folder / filed["folder"]
    told = json.loads((evidence / "evidence.json").read_text(encoding="utf-8"))
    return {
        "drill": told["drill"],
        "folder": str(evidence),
        "story": told["story"],
        "timeline": told["timeline"],
        "unknown": told["unknown"],
    }


def keep(held: Sequence[dict[str, Any]]) -> None:
    """Copy the pictures that the page shows; where the folders lay is nobody's business then."""
    for found in held:
        drill, folder = found["drill"], Path(found.pop("folder"))
        if (drill["fault"], drill["trigger"]) == page.SHOWN:
            for name, source in page.PICTURES.items():
                shutil.copyfile(folder / source, page.picture_path(name))


def _greenlight(folder: str | Path, *words: str, fails: bool = False) -> str:
    """What a command prints; it may end with 1 where that is an answer."""
    done = subprocess.run([*GREENLIGHT, *words], cwd=folder, stdout=subprocess.PIPE, text=True)
    if done.returncode not in ((0, 1) if fails else (0,)):
        raise SystemExit(f"greenlight {' '.join(words)} ended with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    raise SystemExit(main())
