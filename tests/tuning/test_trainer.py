"""The process that trains, seen from the server, with a small program in its place."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight.testing import FakeClock
from greenlight.tuning import jobs, runner
from greenlight.tuning.bases import PLAIN, Base
from greenlight.tuning.catalog import Catalog
from greenlight.tuning.faults import Faults
from greenlight.tuning.orders import Learnt, Said, Told
from greenlight.tuning.runner import Runner
from greenlight.tuning.state import State
from greenlight.tuning.trainer import Trainer
from greenlight.tuning.wire import Event, FileObject, Job, JobRequest, Metrics
from tests.tuning import desk

PROGRAM = """
import json, os, sys
for line in sys.stdin:
    print({told!r}, flush=True)
    if not os.path.exists({mark!r}):
        open({mark!r}, "w").close()
        {first}
    out = json.loads(line)["out"]
    os.mkdir(out)
    open(out + "/model", "w").close()
    print({learnt!r}, flush=True)
"""
"""Does something else with its first order than with those that come after."""
HANG, DIE, WORK = "sys.stdin.read()", "os._exit(9)", "pass"


def trainer(mark: Path, first: str) -> Trainer:
    metrics = Metrics(step=1, train_loss=0.5, train_mean_token_accuracy=1)
    learnt = Learnt(answers=2, tokens=1, best=metrics, steps=[metrics])
    lines = [Said(told=Told(message="a step")), Said(learnt=learnt)]
    told, done = (msgspec.json.encode(line).decode() for line in lines)
    return Trainer(
        [sys.executable, "-c", PROGRAM.format(told=told, learnt=done, mark=str(mark), first=first)]
    )


class Unasked(Catalog):
    """Models that are none: what the small program writes cannot be loaded."""

    def warm(self, folder: Path) -> None:
        assert (folder / "model").exists()


class House:
    """A runner on a state of its own, with a file to train on."""

    def __init__(self, folder: Path, first: str) -> None:
        self.state = State(folder / "state", now=FakeClock().now, random=os.urandom)
        self.catalog = Unasked(self.state, [Base(name=PLAIN)], encoder=False)
        self.runner = Runner(self.state, self.catalog, Faults(), trainer(folder / "mark", first))

    def upload(self) -> None:
        content = desk.jsonl(desk.rows(12))
        (self.state.files / "file-1").write_bytes(content)
        self.state.add(
            FileObject(id="file-1", bytes=1, created_at=0, filename="t", purpose="fine-tune")
        )

    def begin(self) -> str:
        asked = JobRequest(model=PLAIN, training_file="file-1")
        return jobs.create(self.state, self.catalog, self.runner, asked).id

    def job(self, id: str) -> Job:
        return self.state.get(Job, id)

    def ended(self, id: str) -> Job:
        desk.until(lambda: self.job(id).finished_at)
        return self.job(id)

    def full_once(self, monkeypatch: pytest.MonkeyPatch, method: str, when: str) -> None:
        """Have the disk be full once, at the call of a method of the state with that argument."""
        kept: Any = getattr(self.state, method)
        left = [sqlite3.OperationalError("database or disk is full")]

        def keep(*given: Any, **more: Any) -> Any:
            if when in given and left:
                raise left.pop()
            return kept(*given, **more)

        monkeypatch.setattr(self.state, method, keep)

    def told(self, id: str) -> list[str]:
        return [event.message for event in self.state.list(Event, parent=id)]


@contextmanager
def house(folder: Path, first: str) -> Iterator[House]:
    it = House(folder, first)
    it.runner.start()
    try:
        yield it
    finally:
        it.runner.stop()
        it.state.close()


def test_a_job_that_trains_is_cancelled_at_once_and_the_next_is_trained(tmp_path: Path) -> None:
    """The process is ended by force, whatever it does, and another takes the next order."""
    with house(tmp_path, HANG) as it:
        it.upload()
        first = it.begin()
        desk.until(lambda: "a step" in it.told(first))
        second = it.begin()
        desk.until(lambda: it.job(second).status == "queued")
        assert it.job(first).status == "running"
        assert it.runner.cancel(first) is not None
        assert it.runner.cancel(first) is None
        assert it.ended(second).status == "succeeded"
        assert it.job(first).status == "cancelled"
        assert {path.name for path in it.state.models.iterdir()} == {second}


def test_a_process_that_dies_fails_its_job_and_no_other(tmp_path: Path) -> None:
    """Such as one that the system ends because memory is short."""
    with house(tmp_path, DIE) as it:
        it.upload()
        first, second = it.begin(), it.begin()
        error = it.ended(first).error
        assert error is not None
        assert error.code == "server_error"
        assert "ended with code 9" in error.message
        assert it.ended(second).status == "succeeded"


def test_a_server_that_is_stopped_leaves_its_job_to_the_next(tmp_path: Path) -> None:
    """T2: as after a kill, without waiting for the training's end."""
    with house(tmp_path, HANG) as it:
        it.upload()
        id = it.begin()
        desk.until(lambda: "a step" in it.told(id))
    with house(tmp_path, HANG) as it:
        assert it.ended(id).status == "succeeded"
        assert it.told(id).count("a step") == 2
        assert it.job(id).error is None


def test_what_is_left_of_an_order_is_not_heard_as_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T2: the first order's end stands in the pipe, and must not end the second."""
    with house(tmp_path, WORK) as it:
        it.upload()
        it.full_once(monkeypatch, "tell", "a step")
        first, second = it.begin(), it.begin()
        error = it.ended(first).error
        assert error is not None
        assert "disk is full" in error.message
        assert it.ended(second).status == "succeeded"
        assert it.told(second).count("a step") == 1


@pytest.mark.parametrize("lost", [1, 2])
def test_a_disk_that_was_full_for_a_moment_stops_no_later_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """T2: neither the end of a job nor that it failed could be kept; then there is room again."""
    monkeypatch.setattr(runner, "AGAIN_S", 0.01)
    with house(tmp_path, WORK) as it:
        it.upload()
        for status in ("succeeded", "failed")[:lost]:
            it.full_once(monkeypatch, "advance", status)
        first, second = it.begin(), it.begin()
        assert it.ended(first).status == "failed"
        assert it.ended(second).status == "succeeded"


def test_files_that_cannot_be_checked_fail_their_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is the matter, a job does not wait for good."""
    with house(tmp_path, WORK) as it:
        it.upload()
        it.full_once(monkeypatch, "advance", "queued")
        first, second = it.begin(), it.begin()
        assert it.ended(first).status == "failed"
        assert it.ended(second).status == "succeeded"


def test_a_model_is_on_the_disk_when_its_job_has_succeeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T2: a power cut right after the answer loses nothing that it told of."""
    synced: list[int] = []
    known: list[int] = []
    fsync = os.fsync
    with house(tmp_path, WORK) as it:
        it.upload()
        advance = it.state.advance

        def note(file: int) -> None:
            fsync(file)
            synced.append(os.fstat(file).st_ino)

        def keep(id: str, seen: Any, status: Any, *given: Any, **more: Any) -> Job | None:
            if status == "succeeded":
                known.extend(synced)
            return advance(id, seen, status, *given, **more)

        monkeypatch.setattr(os, "fsync", note)
        monkeypatch.setattr(it.state, "advance", keep)
        job = it.ended(it.begin())
        model, state = it.state.models / job.id, it.state
        places = [model, *model.iterdir(), state.models, state.files]
        places.append(state.files / job.result_files[0])
        assert len(places) == 5
        assert {place.stat().st_ino for place in places} <= set(known)
