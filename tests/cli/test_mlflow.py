"""`greenlight mlflow`, what `doctor` says of it, and work that goes on without it (R2, T8, G2)."""

from __future__ import annotations

import dataclasses
import logging
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight import config, wiring
from greenlight.adapters.mirrors import mlflow
from greenlight.core.errors import StoreError
from greenlight.core.records import DAY, SECOND, Approval, Run, Version
from greenlight.core.states import VersionStatus
from greenlight.entrypoints import mirroring as beside
from greenlight.ports.mirror import NotMirrored
from greenlight.testing import FakeClock
from greenlight.testing.mirror import FakeMirror
from greenlight.wiring import mirroring as wired
from tests.cli.examining import bare, edit, examined, only
from tests.cli.project import Project
from tests.contracts.mlflows import look, stub
from tests.stages.office import POLICY

pytestmark = [
    pytest.mark.needs("mlflow"),
    # MLflow's tables are declared with it, and SQLAlchemy 2.1 takes exception.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
]

__all__ = ["bare"]


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy stands between MLflow's client and its server."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def mirrored(project: Project, *lines: str) -> None:
    with project.file.open("a", encoding="utf-8") as file:
        file.write("\n".join(["[mlflow]", *lines, ""]))


def away(_what: str) -> None:
    raise NotMirrored("mlflow.acme.example: cannot be reached: start it", retry=True)


@pytest.fixture
def fake(project: Project, monkeypatch: pytest.MonkeyPatch) -> FakeMirror:
    """What the project's MLflow is."""
    mirrored(project, 'url = "https://mlflow.acme.example"')
    made = FakeMirror()
    monkeypatch.setattr(mlflow, "MlflowMirror", lambda *_args, **_options: made)
    return made


@pytest.fixture
def app(project: Project) -> Iterator[wiring.App]:
    with wiring.open_app(config.load(project.file, {})) as opened:
        yield opened


# Commands


def documented() -> Callable[[str, str], bool]:
    """What the documentation tells other teams to ask, as it stands there."""
    text = (Path(__file__).parents[2] / "docs/how-to/mirror-to-mlflow.md").read_text("utf-8")
    [code] = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    scope: dict[str, Any] = {}
    exec(code, scope)
    found: Callable[[str, str], bool] = scope["may_deploy"]
    return found


def test_approvals_come_and_go(evaluated: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """R2, G2: in a file that is not there yet; MLflow itself says nothing on standard output."""
    mirrored(evaluated, 'url = "sqlite:///mlflow.db"', 'experiment = "desk"')
    assert evaluated.json("mlflow", "sync")["put"] == 2
    url = f"sqlite:///{evaluated.folder}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    may_deploy = documented()
    seen = look(url, "desk")
    [digest] = seen.versions
    [version] = seen.versions.values()
    run = seen.runs["intent#1"]
    assert run["status"] == "FINISHED" and version["run"] == run["id"]
    assert version["approved"] == "false" and not may_deploy("intent", digest)
    for who in ("ana", "ben"):
        evaluated.ok("approve", "intent@1", "-m", "looked at it", by=who)
    assert evaluated.ok("mlflow", "sync") == "1 brought in line\n"
    [version] = look(url, "desk").versions.values()
    assert version["approved"] == "true" and version["greenlight.approved_until"] > "2026"
    assert version["greenlight.metric.accuracy"] == "0.9500"
    assert may_deploy("intent", digest) and not may_deploy("intent", "sha256:another")
    evaluated.ok("approve", "intent@1", "--revoke", "-m", "a mistake", by="ben")
    assert evaluated.ok("mlflow", "sync") == "1 brought in line\n"
    [version] = look(url, "desk").versions.values()
    assert version["approved"] == "false" and not may_deploy("intent", digest)
    assert evaluated.ok("mlflow", "sync") == "MLflow is as it should be\n"
    assert "state            ok" in evaluated.ok("mlflow", "status")


def test_without_a_table_there_is_nothing_to_do(project: Project) -> None:
    for command in ("sync", "status"):
        assert "a table [mlflow]" in project.refused(2, "mlflow", command)


def test_nobody_there(evaluated: Project) -> None:
    """T8: it says what to do, and how far it is behind."""
    with stub() as found:
        url = found.url
    mirrored(evaluated, f'url = "{url}"', 'timeout = "1s"')
    assert "begins with the next start" in evaluated.ok("mlflow", "status")
    result = evaluated.call("mlflow", "sync")
    assert result.exit_code == 1
    assert "not mirrored: 127.0.0.1" in result.stderr and "start it" in result.stderr
    told = evaluated.ok("mlflow", "status")
    assert "failed 1 times: 127.0.0.1" in told and "entries of the ledger" in told


def test_a_variable_that_is_not_set(evaluated: Project, bare: None) -> None:
    mirrored(evaluated, 'url = "https://mlflow.acme.example"', 'token = "env:MLFLOW_TOKEN"')
    result = evaluated.call("mlflow", "sync")
    assert result.exit_code == 1
    assert "mlflow.token: the variable MLFLOW_TOKEN is not set" in result.stderr
    found = only(examined(evaluated, "mlflow"))
    assert found.outcome == "fault" and "MLFLOW_TOKEN is not set" in found.what


def test_what_is_refused_is_said(evaluated: Project, fake: FakeMirror) -> None:
    def refuses(what: str) -> None:
        if what.startswith("intent#"):
            raise NotMirrored("INVALID_PARAMETER_VALUE", retry=False)

    fake.before = refuses
    result = evaluated.call("mlflow", "sync")
    assert result.exit_code == 1
    assert result.stderr == "not mirrored, intent#1: INVALID_PARAMETER_VALUE\n"
    assert list(fake.versions)


# The doctor


def test_doctor(evaluated: Project, fake: FakeMirror, bare: None, app: wiring.App) -> None:
    [found] = [one for one in examined(evaluated, "mlflow") if one.outcome == "ok"]
    assert found.what == "in memory"


def test_doctor_of_one_that_is_away(project: Project, bare: None) -> None:
    """Nothing else needs it: a warning."""
    assert examined(project, "mlflow") == []
    with stub(502, "<html>bad gateway</html>") as found:
        mirrored(project, f'url = "{found.url}"')
        told = only(examined(project, "mlflow"))
    assert told.outcome == "warning" and "127.0.0.1" in told.what


def test_doctor_of_one_that_is_behind(evaluated: Project, fake: FakeMirror, bare: None) -> None:
    """An hour and more, since the office is an hour behind."""
    fake.before = lambda what: None if what == "check" else away(what)
    assert evaluated.call("mlflow", "sync").exit_code == 1
    told = only(examined(evaluated, "mlflow"))
    assert "s behind: mlflow.acme.example" in told.what and "greenlight mlflow sync" in str(
        told.fix
    )


# Whose approval stands


def later(app: wiring.App, duration: int) -> wiring.App:
    return dataclasses.replace(app, clock=FakeClock(app.clock.now() + duration))


class TestSignOff:
    """G2: by the rules that the data plane goes by."""

    @pytest.fixture
    def version(self, evaluated: Project, app: wiring.App) -> Version:
        for who in ("ana", "ben"):
            evaluated.ok("approve", "intent@1", "-m", "looked at it", by=who)
        [found] = app.store.scan(Version)
        return found

    def test_until_the_first_signature_expires(self, app: wiring.App, version: Version) -> None:
        found = wired.sign_off_of(app, version)
        assert found.approved and found.evaluation is not None
        first = min(word.at for word in app.store.scan(Approval))
        end = datetime.fromtimestamp((first + POLICY.expiry) // SECOND, tz=UTC)
        assert found.until == end.strftime("%Y-%m-%dT%H:%M:%SZ")
        assert not wired.sign_off_of(later(app, 31 * DAY), version).approved

    def test_what_is_live_does_not_expire(self, app: wiring.App, version: Version) -> None:
        live = msgspec.structs.replace(version, status=VersionStatus.LIVE)
        found = wired.sign_off_of(later(app, 31 * DAY), live)
        assert found.approved and found.until is None

    def test_an_adoption_is_enough_for_what_is_live(self, project: Project) -> None:
        url = "http://127.0.0.1:9"
        project.ok("adopt", "intent", "--url", url, "-m", "it runs today", by="ana")
        with wiring.open_app(config.load(project.file, {})) as app:
            [version] = app.store.scan(Version)
            found = wired.sign_off_of(app, version)
        assert found.approved and found.evaluation is None

    def test_a_record_that_was_changed_has_nobodys(self, app: wiring.App, version: Version) -> None:
        changed = msgspec.structs.replace(version, bundle="another")
        assert not wired.sign_off_of(app, changed).approved

    def test_nor_has_one_of_a_task_that_is_gone(self, app: wiring.App, version: Version) -> None:
        none = msgspec.structs.replace(app.settings, tasks={})
        assert not wired.sign_off_of(dataclasses.replace(app, settings=none), version).approved


# Work goes on without it


def test_a_run_ends_well_without_it_and_warns_once(project: Project, fake: FakeMirror) -> None:
    """T8: its absence degrades, and never fails the run."""
    fake.before = away
    edit(project, "min = 0.9", "min = 0.1")
    result = project.call("run", "intent")
    assert result.exit_code == 0
    assert result.stderr.count("mlflow: mlflow.acme.example: cannot be reached: start it") == 1
    with project.opened() as (_, office):
        assert [run.status for run in office.store.scan(Run)] == ["finished"]
    fake.before = lambda _: None
    project.ok("mlflow", "sync")
    run = fake.runs["intent#1"]
    assert run.params["backend"] == "tfidf-linear" and run.params["code"].startswith("sha256:")
    points = {one.name: one.value for one in run.metrics}
    accuracy = points["intent.test.accuracy"]
    assert points["intent.test.accuracy.low"] <= accuracy <= points["intent.test.accuracy.high"]
    assert {"dataset_raw.json", "dataset_prepared.json", "eval.json"} <= set(run.documents)
    [version] = fake.versions.values()
    assert version.run == run.named and not version.approved


def test_a_run_ends_well_where_the_look_itself_fails(
    project: Project, fake: FakeMirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T8: the version is there, whatever keeps it from being shown."""

    def locked(*_: object) -> None:
        raise StoreError("the database is locked")

    monkeypatch.setattr(wired, "sign_off_of", locked)
    edit(project, "min = 0.9", "min = 0.1")
    result = project.call("run", "intent")
    assert result.exit_code == 0
    assert "warning: mlflow: the look failed (StoreError)" in result.stderr
    assert fake.versions == {}


def test_a_worker_warns_once_goes_on_and_catches_up(
    evaluated: Project, fake: FakeMirror, app: wiring.App, caplog: pytest.LogCaptureFixture
) -> None:
    fake.before = away
    clock = FakeClock(app.clock.now())
    mirroring = wired.Mirroring(dataclasses.replace(app, clock=clock), fake)
    stop = threading.Event()
    rests = iter(range(1, 6))

    def rest() -> None:
        clock.advance(DAY)
        number = next(rests)
        if number == 3:
            fake.before = lambda _: None
        if number == 5:
            stop.set()

    with caplog.at_level(logging.INFO):
        beside.keep(mirroring, stop, rest)
    lines = [record.message for record in caplog.records]
    assert lines == [
        "mlflow: mlflow.acme.example: cannot be reached: start it; work goes on, and this is made "
        "up for later",
        "mlflow: works again",
        "mlflow: 2 brought in line",
    ]
    assert fake.runs and fake.versions


def test_a_worker_ends_although_mlflow_hangs(evaluated: Project) -> None:
    """T8: slow is as good as away; nothing waits for it."""
    with stub(hangs=True) as found:
        mirrored(evaluated, f'url = "{found.url}"', 'timeout = "1m"')
        command = [sys.executable, "-m", "greenlight.entrypoints.cli"]
        command += ["-C", str(evaluated.folder), "worker"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"worker: looking")
            assert found.reached.wait(60)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
