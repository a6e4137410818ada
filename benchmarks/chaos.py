"""The demo under siege, seed by seed: what SIGKILL at random moments costs, and what it does not.

    python -m benchmarks.chaos --seeds 3

Each seed is played twice, undisturbed and under siege: a seeded monkey kills gateway, controller
and the process that carries out the pipeline again and again, a supervisor begins them again, and
users ask again and keep a book of what was acknowledged. Then the store is held against the book,
and versions and verdicts against those of the undisturbed run. Nothing is left out or run again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import books
from benchmarks.harness import provenance, save
from benchmarks.siege import Siege, Victim
from greenlight import config, wiring
from greenlight.adapters.clock import SystemClock
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.errors import GreenlightError
from greenlight.core.records import SECOND, RunProgress
from greenlight.entrypoints import demo
from greenlight.entrypoints.demo.conductor import ACKNOWLEDGED, Result
from greenlight.entrypoints.demo.project import TASK
from greenlight.lookup import everything

VICTIMS = {
    "gateway": Victim(gap=(1.0, 24.0)),
    "controller": Victim(gap=(0.5, 12.0)),
    "pipeline": Victim(gap=(0.0, 5.0), working=True, most=4),
}
"""A step soaks for 10 s from when the gateway last took it over, so it needs that long in peace."""


class AtWork:
    """Whether a run has shown a sign of life since its process was begun."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store: SqlStore | None = None
        self._clock = SystemClock()

    def __call__(self, since: float) -> bool:
        """Whether the newest sign is younger than so many seconds."""
        if self._store is None:
            self._store = SqlStore(config.load(self._folder / config.FILE, {}).store_url)
        signs = [told.at for told in everything(self._store, RunProgress, {"task": TASK})]
        return max(signs, default=0) > self._clock.now() - since * SECOND

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()


@contextmanager
def at_work(folder: Path) -> Iterator[AtWork]:
    """The probe of the demo's pipeline; closed in the end."""
    probe = AtWork(folder)
    try:
        yield probe
    finally:
        probe.close()


def options(folder: Path, seed: int, source: str, kills_expected: bool = False) -> demo.Options:
    """The demo's options, quiet."""
    given = {"folder": str(folder), "seed": seed, "source": source, "quiet": True}
    return msgspec.convert(given | {"kills_expected": kills_expected}, demo.Options)


def undisturbed(seed: int, source: str) -> dict[str, Any]:
    """What the demo comes to in peace."""
    with tempfile.TemporaryDirectory() as folder:
        return ends(demo.run(options(Path(folder, "demo"), seed, source)))


def besieged(seed: int, source: str) -> dict[str, Any]:
    """What the demo comes to under siege, and what the books say."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "demo").resolve()
        sieges: list[Siege] = []

        def begin(logs: Path) -> Siege:
            sieges.append(Siege(logs, VICTIMS, seed, {"pipeline": probe}))
            return sieges[-1]

        with at_work(folder) as probe:
            result = demo.run(options(folder, seed, source, kills_expected=True), begin)
        with wiring.open_app(config.load(folder / config.FILE, {})) as app:
            settled = books.settle(app.store, folder / ACKNOWLEDGED)
            twice = books.done_twice(app.store)
        return {
            **ends(result),
            "processes": sieges[-1].report(),
            "books": settled,
            "asked_again": sum(seen["again"] for seen in result.traffic.values()),
            "done_twice": twice,
            "audit": audit(folder),
        }


def ends(result: Result) -> dict[str, Any]:
    """What must be the same in peace and under siege, and how long it took."""
    return {
        "dataset": result.summary.dataset,
        "seconds": round(result.seconds, 1),
        "versions": [
            {"label": version.label, "bundle": version.bundle, "status": version.status}
            for version in result.summary.versions
        ],
        "rollouts": [
            {
                "candidate": rollout.candidate,
                "status": rollout.status,
                "code": rollout.code,
                "seconds": round(rollout.seconds, 1),
            }
            for rollout in result.summary.rollouts
        ],
        "failed": sum(seen["failed"] + seen["feedback_failed"] for seen in result.traffic.values()),
    }


def audit(folder: Path) -> str:
    """What `greenlight audit verify` says: "ok", or its complaint."""
    command = ["-m", "greenlight.entrypoints.cli", "-C", str(folder), "audit", "verify"]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    return "ok" if done.returncode == 0 else (done.stdout + done.stderr).strip()


def faults(peace: dict[str, Any], war: dict[str, Any]) -> list[str]:
    """What is not as it must be; empty if the siege has changed nothing."""
    found = [
        f"{name}: {count}"
        for name, count in war["books"].items()
        if count and name.endswith(("lost", "doubled"))
    ]
    found += war["done_twice"]
    if war["audit"] != "ok":
        found.append(f"audit: {war['audit']}")
    if war["versions"] != peace["versions"]:
        found.append("other versions than in peace")
    verdicts = [
        [(rollout["candidate"], rollout["status"]) for rollout in run["rollouts"]]
        for run in (peace, war)
    ]
    if verdicts[0] != verdicts[1]:
        found.append("other verdicts than in peace")
    return found


def play(seed: int, source: str) -> dict[str, Any]:
    """One seed, in peace and under siege."""
    try:
        peace, war = undisturbed(seed, source), besieged(seed, source)
    except GreenlightError as error:
        return {"seed": seed, "faults": [str(error)]}
    return {"seed": seed, "faults": faults(peace, war), "undisturbed": peace, "besieged": war}


def main() -> None:
    """Run the seeds, write the result, and fail if anything was lost, doubled or decided
    otherwise."""
    began = provenance()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--source", choices=["banking77", "sample"], default="banking77")
    given = parser.parse_args()
    runs = []
    for seed in range(1, given.seeds + 1):
        runs.append(play(seed, given.source))
        print(f"seed {seed}: {'; '.join(runs[-1]['faults']) or 'nothing lost, same verdicts'}")
    save("chaos", began, {"runs": runs})
    if any(run["faults"] for run in runs):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
