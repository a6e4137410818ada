"""A drill's own installation (O6): the policy of the real one, and nothing that reaches it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenlight import artifacts, config, wiring
from greenlight.adapters.runtimes.faulty import FaultyRuntime
from greenlight.adapters.trainers import TRAINERS
from greenlight.config import Settings
from greenlight.core.errors import MissingData, Refused
from greenlight.core.records import SECOND, Version
from greenlight.core.states import VersionStatus
from greenlight.entrypoints.drill.house import House, facts
from greenlight.entrypoints.showing import Stage
from greenlight.lookup import everything, find_version, newest_prepared
from greenlight.models import bundle
from greenlight.ports import Example
from greenlight.wiring.models import open_runtime
from tests.cli.project import Project
from tests.models import tiny

MORE = """
[notify.oncall]
kind = "webhook"
url = "https://ops.acme.example/hook"
secret = "env:ACME_HOOK_SECRET"
[gateway]
poll = "100ms"
[controller]
interval = "2s"
[tasks.intent.approval]
quorum = { ml_lead = 2, product_owner = 1 }
release_window = "Mon 00:00-00:01 UTC"
[tasks.intent.rollout]
shadow = "15m"
horizon = "2d"
fast_window = "1s"
unit_source = "header"
[tasks.intent.evidence]
alpha_harm = 0.02
[tasks.intent.alarms]
server_error_rate = { over = 0.01, for = "2m" }
"""


@pytest.fixture
def real(project: Project, tmp_path: Path) -> Project:
    """A project that lives of a bundle which was adopted, without any data set."""
    made = TRAINERS["tfidf-linear"]().train(
        train=tiny.examples(90, 1),
        validation=tiny.examples(30, 2),
        labels=sorted(tiny.THEMES),
        config={},
        seed=0,
        out=str(tmp_path / "bundle"),
        progress=lambda *_: None,
    )
    project.file.write_text(project.file.read_text() + MORE)
    project.ok("adopt", "intent", made.folder, "-m", "it runs", "--label", "intent@7", by="ana")
    return project


def opened(project: Project) -> Any:
    return wiring.open_app(config.load(project.file, {}))


def house(app: wiring.App, folder: Path) -> tuple[House, Settings]:
    made = House(app, "intent", folder, Stage(quiet=True))
    return made, config.load(made.file, {})


def test_the_policy_is_that_of_production_and_the_waits_are_short(
    real: Project, tmp_path: Path
) -> None:
    """Nobody is told of a drill, no key of its people lies anywhere, and no window delays it."""
    with opened(real) as app:
        made, own = house(app, tmp_path / "own")
        theirs = app.settings
    task, before = own.tasks["intent"], theirs.tasks["intent"]
    assert (task.evidence, task.alarms, task.metrics) == (before.evidence, before.alarms, {})
    rules = task.rollout
    assert (rules.feedback_window, rules.fast_window, rules.grace) == (5 * SECOND, SECOND, 500_000)
    assert made.shortened == {"feedback_window": 5 * SECOND, "grace": 500_000}
    assert (rules.steps, rules.horizon) == (before.rollout.steps, before.rollout.horizon)
    assert (rules.unit_source, task.approval.release_window, own.notify) == (None, None, {})
    assert (own.controller, own.gateway.poll) == (theirs.controller, theirs.gateway.poll)
    assert own.gateway.port != theirs.gateway.port
    assert [person.roles for person in own.people.values()] == [
        ("ml_lead",),
        ("ml_lead",),
        ("product_owner",),
    ]
    assert not own.people.keys() & theirs.people.keys()
    assert own.store_path.is_relative_to(made.folder)
    assert all(
        b"glp_" not in file.read_bytes() for file in made.folder.rglob("*") if file.is_file()
    )


def test_the_live_version_is_control_and_without_data_it_tells_the_truth(
    real: Project, tmp_path: Path
) -> None:
    """By the same stages as ever: adopted, evaluated, signed; and the fault is in the runtime."""
    with opened(real) as app:
        made, own = house(app, tmp_path / "own")
        with wiring.open_app(own) as rehearsed:
            control = made.furnish(rehearsed)
            live = find_version(app.store, "intent@7")
            assert (control.bundle, control.label) == (live.bundle, "intent@7")
            assert "no prepared data set" in made.notes[0]
            dataset = newest_prepared(rehearsed.store, "intent")
            assert dataset is not None
            rows = artifacts.read_rows(rehearsed.datasets.path(dataset.digest), "test", Example)
            model = bundle.load(rehearsed.bundles.path(control.bundle))
            assert len(rows) == 2000
            found = model.predict([row.text for row in rows[:20]])
            assert [row.label for row in rows[:20]] == [answer.label for answer in found]

            faulty = wiring.add_drill(rehearsed, "intent", "errors", 0.5, initiator="drill")
            assert wiring.judge_for_drill(rehearsed, faulty, lambda *_: None) is None
            made.approve(rehearsed, faulty)
            faulty = find_version(rehearsed.store, faulty.digest)
            assert (faulty.label, faulty.status) == (
                "intent@drill-errors",
                VersionStatus.APPROVED,
            )
            assert isinstance(open_runtime(rehearsed, faulty), FaultyRuntime)
            wiring.authorise(rehearsed, faulty.digest)
            with pytest.raises(Refused, match="never serves as control"):
                wiring.authorise(rehearsed, faulty.digest, as_control=True)
            other = wiring.add_drill(rehearsed, "intent", "errors", 0.2, initiator="drill")
            assert other.label == "intent@drill-errors-2"
            assert wiring.add_drill(rehearsed, "intent", "errors", 0.2, initiator="x") == other
        assert [version.label for version in everything(app.store, Version)] == ["intent@7"]


def test_what_answers_elsewhere_is_not_asked_for_a_drill(project: Project, tmp_path: Path) -> None:
    """Traffic that is made for a drill must not reach, or cost at, a model server in earnest."""
    words = ("--url", "http://models.example:9000", "-m", "it runs")
    project.ok("adopt", "intent", *words, by="ana")
    with opened(project) as app:
        made, own = house(app, tmp_path / "own")
        with (
            wiring.open_app(own) as rehearsed,
            pytest.raises(Refused, match=r"answers somewhere else.* --live"),
        ):
            made.furnish(rehearsed)


@pytest.mark.parametrize(
    ("dataset", "source", "path"),
    [
        ('source = "file"\npath = "rows.csv"', "file", "rows.csv"),
        ('source = "banking77"', "banking77", None),
        ('source = "feedback"', "sample", None),
    ],
)
def test_data_is_found_from_another_folder(
    project: Project, tmp_path: Path, dataset: str, source: str, path: str | None
) -> None:
    """What people said of answers is in the real store alone: the sample takes its place."""
    text = project.file.read_text().replace('source = "sample"', dataset)
    project.file.write_text(
        text.replace('backend = "tfidf-linear"', 'backend = "char-ngram"\nschedule = "0 2 * * 0"')
    )
    with opened(project) as app:
        _, own = house(app, tmp_path / "own")
    found, train = own.tasks["intent"].dataset, own.tasks["intent"].train
    assert found.source == source
    assert found.path == (str(project.folder / path) if path else None)
    assert (train.schedule, train.backend) == (
        None,
        "tfidf-linear" if source == "sample" else "char-ngram",
    )


def test_what_is_shortened_is_on_record_where_the_sample_takes_its_place(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data that is not here is no reason to forget what else is not as in production."""

    def no_data(*_: Any, **__: Any) -> None:
        raise MissingData("the rows are not on this machine")

    text = project.file.read_text().replace('source = "sample"', 'source = "banking77"')
    project.file.write_text(text)
    monkeypatch.setattr(wiring, "turn", no_data)
    with opened(project) as app:
        made, own = house(app, tmp_path / "own")
        before = facts(made)["shortened_s"]
        with wiring.open_app(own) as rehearsed, pytest.raises(MissingData):
            made.furnish(rehearsed)
    assert config.load(made.file, {}).tasks["intent"].dataset.source == "sample"
    assert before["feedback_window"] == 5.0
    assert facts(made)["shortened_s"] == before
