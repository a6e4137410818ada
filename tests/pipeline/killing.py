"""Runs of the pipeline in forked processes that kill themselves at a chosen event.

Every file opened for writing, every commit and every word of progress is an event; they are
numbered, so that a run can be killed at any of them, again and again the same. Forking from a
process that has loaded everything makes a run cost a fraction of a second.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from greenlight import config, wiring
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.records import HOUR, Evaluation, Run, StageResult
from greenlight.datasets import PublicSource
from greenlight.lookup import everything, run_view
from greenlight.ports import Example
from greenlight.stages.pipeline import InHand
from greenlight.testing import FakeClock
from greenlight.wiring import pipeline as wired

LABELS = ("card", "cash", "top-up")
CONFIG = """\
[project]
name = "killed"
[tasks.intent]
kind = "classify"
[tasks.intent.dataset]
source = "sample"
[tasks.intent.train]
backend = "tfidf-linear"
[tasks.intent.gates]
accuracy = { min = 0.5 }
"""


def source(*_: object) -> PublicSource:
    """Some ninety texts; their words tell the labels apart."""
    rows = [Example(f"{label} question {n} please", label) for label in LABELS for n in range(24)]
    test = [Example(f"about {label} number {n}", label) for label in LABELS for n in range(8)]
    return PublicSource(
        name="tiny",
        origin="https://data.example/tiny",
        licence="CC0-1.0",
        citation="Nobody",
        train=[*rows, rows[0]],
        test=test,
    )


class Point(msgspec.Struct, frozen=True):
    """Something that happened: its number, the stage under way, and what it was."""

    number: int
    stage: str
    what: str


class Witness:
    """Numbers what happens, writes it down, and kills the process at the event asked for."""

    def __init__(self, fatal: int | None) -> None:
        self.points: list[Point] = []
        self.begun: list[str] = []
        self.stage = ""
        self._fatal = fatal
        self._open = False

    def see(self, what: str) -> None:
        point = Point(len(self.points), self.stage, what)
        self.points.append(point)
        if point.number == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def progress(self, _share: float, words: str) -> None:
        self.see(f"progress: {words}")

    def audit(self, event: str, given: tuple[Any, ...]) -> None:
        if self._open and event == "open" and isinstance(given[2], int) and given[2] & os.O_WRONLY:
            self.see("open")

    def install(self, store: SqlStore) -> None:
        """Look over the shoulder of this process; there is no way back, so do it in a fork."""
        commit, empty_folder = SqlStore.commit, InHand._empty_folder

        def watched_commit(this: SqlStore, **given: Any) -> None:
            changed = [new for _, new in given.get("swap", ())]
            kinds = [type(record).__name__ for record in (*given.get("append", ()), *changed)]
            if set(kinds) <= {"RunProgress"}:  # from the heartbeat, at any time
                return commit(this, **given)
            self.see(f"before commit: {kinds}")
            commit(this, **given)
            self.see(f"after commit: {kinds}")

        def watched_folder(this: InHand, stage: str) -> str:
            self.begun.append(stage)
            self.stage = stage
            return empty_folder(this, stage)

        vars_of: Any = SqlStore
        vars_of.commit = watched_commit
        hand: Any = InHand
        hand._empty_folder = watched_folder
        sys.addaudithook(self.audit)
        self._open = True


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run left on record, without what may differ between two runs (times)."""

    status: str
    outputs: dict[str, dict[str, str]]
    results: str
    begun: list[str]
    points: list[Point]
    modules: list[str]


def carry_out(root: Path, fatal: int | None, *, later: bool) -> Outcome:
    """Begin a run, or go on with the one that is there; `later` is when its lease has run out."""
    settings = config.load(root / config.FILE, {})
    replaced: Any = wired
    replaced.load_source = source
    witness = Witness(fatal)
    with wiring.open_app(settings) as app:
        if later:
            app = dataclasses.replace(app, clock=FakeClock(app.clock.now() + HOUR))
        witness.install(app.store)
        made = wiring.turn(app, "intent", initiator="ana", progress=witness.progress)
        view = run_view(app.store, made.run)
        return Outcome(
            status=view["status"],
            outputs={stage["name"]: stage["output"] for stage in view["stages"]},
            results=made.evaluation.document["results_digest"],
            begun=witness.begun,
            points=witness.points,
            modules=list(sys.modules),
        )


def in_fork(work: Callable[[], Outcome], answer: Path) -> Outcome | None:
    """Do it in a forked process; None if that was killed by SIGKILL."""
    pid = os.fork()
    if pid == 0:
        try:
            answer.write_bytes(msgspec.json.encode(work()))
        except BaseException:
            answer.with_suffix(".error").write_text(traceback.format_exc())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    error = answer.with_suffix(".error")
    if error.exists():
        raise AssertionError(error.read_text())
    return msgspec.json.decode(answer.read_bytes(), type=Outcome)


def finished(root: Path) -> dict[str, str]:
    """Stage → the run that finished it, as the store has it."""
    settings = config.load(root / config.FILE, {})
    with wiring.open_app(settings) as app:
        return {done.name: done.run for done in everything(app.store, StageResult)}


def on_record(root: Path) -> dict[str, int]:
    """How many runs and evaluations there are."""
    settings = config.load(root / config.FILE, {})
    with wiring.open_app(settings) as app:
        return {kind.__name__: len(app.store.scan(kind)) for kind in (Run, Evaluation)}


def project(folder: Path) -> Path:
    """An empty project; its store is a copy of one that was opened before."""
    template = folder.parent / "template"
    if not template.exists():
        template.mkdir()
        (template / config.FILE).write_text(CONFIG, encoding="utf-8")
        with wiring.open_app(config.load(template / config.FILE, {})):
            pass
    shutil.copytree(template, folder)
    return folder


def kill_at(root: Path, point: Point) -> dict[str, Any]:
    """Kill a fresh run at an event, go on with it in another process, and say what came of it."""
    place = project(root / f"killed-{point.number}")
    killed = in_fork(
        lambda: carry_out(place, point.number, later=False), root / f"{point.number}.json"
    )
    done = finished(place)
    resumed = in_fork(
        lambda: carry_out(place, None, later=True), root / f"{point.number}-resumed.json"
    )
    assert resumed is not None
    return {
        "point": msgspec.to_builtins(point),
        "killed": killed is None,
        "finished_before": sorted(done),
        "begun_after": resumed.begun,
        "outputs": resumed.outputs,
        "results": resumed.results,
        "status": resumed.status,
        "on_record": on_record(place),
        "left": sorted(path.name for path in (place / ".greenlight/work").iterdir()),
    }


def main(root: Path, every: int) -> None:
    """Kill a run at its events, resume it each time, and print what was seen as JSON.

    Args:
        root: an empty folder.
        every: of the events within a stage take each so-manieth; commits are all taken.
    """

    plain = in_fork(
        lambda: carry_out(project(root / "plain"), None, later=False), root / "plain.json"
    )
    assert plain is not None
    for name in plain.modules:  # what is loaded here need not be loaded by every fork
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    again = in_fork(lambda: carry_out(root / "plain", None, later=True), root / "again.json")
    assert again is not None
    kills = [
        kill_at(root, point)
        for point in plain.points
        if "commit" in point.what or point.number % every == 0
    ]
    report = {"plain": msgspec.to_builtins(plain), "again": msgspec.to_builtins(again)}
    print(json.dumps({**report, "kills": kills}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
