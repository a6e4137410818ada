"""When a worker begins runs, and what it goes on with (T1, T2)."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from greenlight import config, wiring
from greenlight.core.records import DAY, HOUR, MINUTE, SECOND, Run
from greenlight.core.states import RunStatus
from greenlight.entrypoints import worker
from greenlight.ports import Progress
from greenlight.testing import FakeClock
from greenlight.wiring import App
from greenlight.wiring.pipeline import open_pipeline, plan_of
from greenlight.wiring.worker import due, times
from tests.contracts.making import feedback, inference
from tests.pipeline.killing import CONFIG

SUNDAY = 1_800_144_000 * SECOND  # 2027-01-17T00:00:00Z
WEEKLY = '[tasks.intent.train]\nschedule = "0 2 * * 0"'


@pytest.fixture
def app(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[App]:
    """An installation whose training settings the test gives, early on a Sunday."""
    extra = getattr(request, "param", "")
    path = tmp_path / config.FILE
    path.write_text(CONFIG.replace("[tasks.intent.train]", extra or "[tasks.intent.train]"))
    with wiring.open_app(config.load(path, {})) as opened:
        yield dataclasses.replace(opened, clock=FakeClock(SUNDAY))


def begun(app: App, at: int, status: RunStatus = RunStatus.FINISHED) -> None:
    run = Run(
        id=f"intent#{at}",
        task="intent",
        number=1,
        trigger="manual",
        initiator="ana",
        plan={},
        environment={},
        status=status,
        at=at,
        ended_at=at,
    )
    app.store.commit(append=[run])


class TestDue:
    def test_by_hand_only(self, app: App) -> None:
        assert due(app, "intent", since=0) is None

    @pytest.mark.parametrize("app", [WEEKLY], indirect=True)
    def test_a_time_that_came(self, app: App) -> None:
        clock = app.clock
        assert isinstance(clock, FakeClock)
        assert due(app, "intent", since=SUNDAY) is None
        clock.advance(2 * HOUR)
        assert due(app, "intent", since=SUNDAY) == "schedule"
        begun(app, clock.now())
        assert due(app, "intent", since=SUNDAY) is None

    @pytest.mark.parametrize("app", [WEEKLY], indirect=True)
    def test_a_missed_time_is_made_up_for_once(self, app: App) -> None:
        """But not where no run was ever made: nobody missed it."""
        assert due(app, "intent", since=SUNDAY) is None
        begun(app, SUNDAY - 20 * DAY)
        assert due(app, "intent", since=SUNDAY) == "schedule"
        begun(app, SUNDAY)
        assert due(app, "intent", since=SUNDAY) is None

    @pytest.mark.parametrize("app", [WEEKLY], indirect=True)
    def test_a_run_from_before_the_clock_was_set_back_holds_up_nothing(self, app: App) -> None:
        clock = app.clock
        assert isinstance(clock, FakeClock)
        begun(app, SUNDAY + 300 * DAY)
        clock.advance(2 * HOUR)
        assert due(app, "intent", since=SUNDAY) == "schedule"

    @pytest.mark.parametrize("app", ["[tasks.intent.train]\nnew_feedback = 3"], indirect=True)
    def test_enough_new_feedback(self, app: App) -> None:
        made = [inference(f"i{n}", at=SUNDAY + n) for n in range(4)]
        said = [feedback(f"f{n}", f"i{n}", at=SUNDAY + n) for n in range(4)]
        app.store.ingest(made, said[:2])
        assert due(app, "intent", since=0) is None
        app.store.ingest([], said[2:3])
        assert due(app, "intent", since=0) == "feedback"
        assert isinstance(app.clock, FakeClock)
        app.clock.advance(3)
        begun(app, SUNDAY + 3)
        app.store.ingest([], said[3:])
        assert due(app, "intent", since=0) is None

    def test_times_are_utc(self) -> None:
        assert times("0 2 * * 0", after=SUNDAY, count=2) == [
            SUNDAY + 2 * HOUR,
            SUNDAY + 7 * DAY + 2 * HOUR,
        ]
        assert times("*/5 * * * *", after=SUNDAY, count=1) == [SUNDAY + 5 * MINUTE]


def test_a_worker_goes_on_with_a_run_and_outlives_one_that_fails(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T2: left off by another process; then one whose source is gone; neither ends the worker."""
    plan = plan_of(app.settings.task("intent"))
    open_pipeline(app).begin("intent", plan, trigger="manual", initiator="ana")
    stop = threading.Event()
    really = wiring.work
    looks: list[str] = []

    def work(app: App, task: str, *, since: int, progress: Progress) -> object:
        looks.append(task)
        if len(looks) == 2:
            gone = msgspec.structs.replace(plan, dataset={"source": "gone"})
            open_pipeline(app).begin("intent", gone, trigger="manual", initiator="ana")
        if len(looks) == 3:
            stop.set()
        return really(app, task, since=since, progress=progress)

    monkeypatch.setattr(wiring, "work", work)
    monkeypatch.setattr(stop, "wait", lambda _seconds: None)
    worker.attend(app, stop)
    statuses = {run.id: run.status for run in app.store.scan(Run)}
    assert statuses == {"intent#1": RunStatus.FINISHED, "intent#2": RunStatus.FAILED}


@pytest.mark.parametrize(("parent", "closed"), [(False, False), (True, False), (True, True)])
def test_a_worker_ends_when_it_is_told_to(tmp_path: Path, parent: bool, closed: bool) -> None:
    """By SIGTERM, or with the process that started it, whose end closes its standard input."""
    (tmp_path / config.FILE).write_text(CONFIG)
    command = [sys.executable, "-m", "greenlight.entrypoints.cli", "-C", str(tmp_path), "worker"]
    command += ["--with-parent"] if parent else []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"worker: looking every 10 s\n"
        if closed:
            process.stdin.close()
        else:
            os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) == 0
