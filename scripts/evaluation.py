"""`make eval`: encoder-head on BANKING77, evaluated and sealed under artifacts/eval.

The project that it works in lies under build/eval and is kept, so that what was done is not done
again. What is sealed stays: `make clean` takes it away.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / "build" / "eval"
OUT = ROOT / "artifacts" / "eval"
TASK = "intent"

CONFIG = """\
[project]
name = "greenlight-eval"

[tasks.intent]
kind = "classify"
[tasks.intent.dataset]
source = "banking77"
[tasks.intent.train]
backend = "encoder-head"
[tasks.intent.gates]
accuracy = { min = 0.92 }
train_val_gap = { warn = 0.03 }
sanity_accuracy = { max = 0.05 }
"""


def greenlight(*words: str, quiet: bool = False) -> str:
    """Run a command in the project; what it prints, if it is to be `quiet`.

    Raises:
        SystemExit: it did not go well.
    """
    command = [sys.executable, "-m", "greenlight.entrypoints.cli", "-C", str(PROJECT), *words]
    ran = subprocess.run(command, stdout=subprocess.PIPE if quiet else None, text=True, check=False)
    if ran.returncode:
        raise SystemExit(ran.returncode)
    return ran.stdout or ""


def main() -> None:
    """Make the version, measure the parts, seal them."""
    PROJECT.mkdir(parents=True, exist_ok=True)
    (PROJECT / "greenlight.toml").write_text(CONFIG, encoding="utf-8")
    print("training encoder-head on BANKING77 (about a minute)", flush=True)
    version = json.loads(greenlight("run", TASK, "--json", quiet=True))["version"]["label"]
    for step in ("run", "seal"):
        greenlight("eval", step, version, "-o", str(OUT))


if __name__ == "__main__":
    main()
