"""A run that is killed in training, in a process of its own, and gone on with in this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.errors import Refused
from greenlight.core.records import SECOND, Run
from greenlight.stages.pipeline import LEASE_TTL
from greenlight.testing import FakeClock
from scripts.diagrams import tiny
from scripts.diagrams.tracing import Message, Trace, acting, renamed
from scripts.diagrams.works import Works

KILLED = {"Pipeline": "Process A", "Stage": "Process A"}
RESUMED = {"Pipeline": "Process B", "Stage": "Process B"}
_WRITTEN = "messages.jsonl"


def killed_and_resumed(root: Path) -> list[Message]:
    """What both processes did.

    Raises:
        RuntimeError: the first process did not die of SIGKILL.
    """
    root.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, str(root)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != -signal.SIGKILL:
        raise RuntimeError(f"it ended with {done.returncode}: {done.stderr}")
    lines = (root / _WRITTEN).read_bytes().splitlines()
    before = [msgspec.json.decode(line, type=Message) for line in lines]
    end = Message("Process A", "Process A", "SIGKILL", "note")
    return [*renamed(before, KILLED), end, *renamed(_resume(root), RESUMED)]


def _resume(root: Path) -> list[Message]:
    trace, clock = Trace(), FakeClock()
    with closing(SqlStore(f"sqlite:///{root}/store.db")) as store:
        works = Works(trace, root, store, clock)
        (run,) = store.scan(Run)
        pipeline = works.pipeline("process B")
        with trace.scene() as told, works.stages_seen(), acting("Person"):
            clock.advance(SECOND)
            trace.note("Pipeline", "a second later")
            with suppress(Refused):
                pipeline.take(run)
            clock.advance(LEASE_TTL)
            trace.note("Pipeline", f"{LEASE_TTL // SECOND} s later, the lease has run out")
            pipeline.take(run).carry_out(lambda *_: None)
        end = next(n for n, message in enumerate(told) if "StageResult (train)" in message.text)
        rest = Message("Pipeline", "Pipeline", "and so on, as in a run that nobody killed", "note")
        return [*told[: end + 1], rest]


def _die(root: Path) -> None:
    """Begin a run, and be killed in the middle of its training."""
    with (root / _WRITTEN).open("ab", buffering=0) as file:
        trace, clock = Trace(lambda told: _write(file.fileno(), told)), FakeClock()
        store = SqlStore(f"sqlite:///{root}/store.db")
        works = Works(trace, root, store, clock)
        works.meanwhile = lambda: os.kill(os.getpid(), signal.SIGKILL)
        pipeline = works.pipeline("process A")
        with trace.scene(), works.stages_seen(), acting("Person"):
            run = pipeline.begin(tiny.TASK, tiny.plan(), trigger="manual", initiator="eve")
            pipeline.take(run).carry_out(lambda *_: None)


def _write(file: int, told: Message) -> None:
    os.write(file, msgspec.json.encode(told) + b"\n")


if __name__ == "__main__":
    _die(Path(sys.argv[1]))
