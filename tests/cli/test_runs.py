"""`run` and `runs`: begin, refuse a second, watch, abort, when by itself (T1, T5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from greenlight import config, wiring
from greenlight.entrypoints.cli import runs
from greenlight.stages.pipeline import InHand
from greenlight.wiring.pipeline import plan_of
from tests.cli.project import Project


@pytest.fixture
def held(project: Project) -> Iterator[InHand]:
    """A run that this process carries out."""
    with wiring.open_app(config.load(project.file, {})) as app:
        works = wiring.open_pipeline(app)
        plan = plan_of(app.settings.task("intent"))
        hand = works.take(works.begin("intent", plan, trigger="manual", initiator="eve"))
        hand.beat()
        yield hand


def test_a_second_run_is_refused_with_the_id_of_the_first(project: Project, held: InHand) -> None:
    said = project.refused(2, "run", "intent")
    assert "run intent#1 is being carried out by another process" in said
    assert "greenlight runs show 'intent#1'" in said


def test_looking_at_a_run_and_ending_it(project: Project, held: InHand) -> None:
    assert "intent#1  running  collect 0%  manual   eve" in project.ok("runs", "list")
    shown = project.ok("runs", "show", "intent#1")
    assert "trigger       manual, by eve" in shown
    assert "intent#1 will end in a moment" in project.ok("runs", "abort", "intent#1")
    held.clean_up()
    held.let_go()
    assert project.json("runs", "show", "intent#1")["status"] == "aborted"
    assert "is aborted" in project.refused(2, "runs", "abort", "intent#1")
    assert "no such id" in project.refused(2, "runs", "show", "intent#9")


def test_watching_a_run_until_its_end(
    project: Project, held: InHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(_seconds: float) -> None:
        project.ok("runs", "abort", "intent#1")
        held.clean_up()

    monkeypatch.setattr("greenlight.entrypoints.cli.runs.sleep", wait)
    assert "status       aborted" in project.ok("runs", "show", "intent#1", "--watch")


def test_a_run_whose_process_is_gone_says_how_to_go_on(
    project: Project, held: InHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T1, T2: also to who watches it."""
    assert "sign of life  20" in project.ok("runs", "show", "intent#1")
    monkeypatch.setattr("greenlight.entrypoints.cli.runs.SILENCE", 0)
    gone = "its process is gone, and greenlight run intent goes on"
    assert gone in project.ok("runs", "show", "intent#1")
    told: list[str] = []

    @contextmanager
    def bar(*_: object) -> Iterator[Callable[[float, str], None]]:
        yield lambda _share, words: told.append(words)

    def wait(_seconds: float) -> None:
        held.clean_up()

    monkeypatch.setattr("greenlight.entrypoints.progress.bar", bar)
    monkeypatch.setattr("greenlight.entrypoints.cli.runs.sleep", wait)
    project.ok("runs", "abort", "intent#1")
    project.ok("runs", "show", "intent#1", "--watch")
    assert len(told) == 1 and gone in told[0]


def test_a_stage_on_record_is_not_told_as_under_way() -> None:
    """The process was killed before it told of the next one."""
    progress = {"stage": "collect", "share": 0.0}
    view = {"status": "running", "progress": progress, "stages": [{"name": "collect"}]}
    assert runs._at(view) == "after collect"


def test_no_run_yet(project: Project) -> None:
    assert "greenlight run TASK" in project.ok("runs", "list")
    assert project.json("runs", "list") == []


def test_when_runs_begin_by_themselves(project: Project) -> None:
    assert "by hand only" in project.ok("run", "intent", "--schedule")
    text = project.file.read_text(encoding="utf-8")
    train = 'backend = "tfidf-linear"\nschedule = "0 2 * * 0"\nnew_feedback = 500'
    project.file.write_text(text.replace('backend = "tfidf-linear"', train), encoding="utf-8")
    said = project.ok("run", "intent", "--schedule")
    assert "once 500 more answers are judged" in said
    assert said.count("T02:00:00Z") == 5
    found = project.json("run", "intent", "--schedule")
    assert (found["schedule"], found["new_feedback"], len(found["next"])) == ("0 2 * * 0", 500, 5)


def test_a_run_that_was_left_off_comes_first(project: Project, held: InHand) -> None:
    """T2: and what is asked of a new one is not passed over in silence."""
    held.let_go()
    said = project.refused(2, "run", "intent", "--force")
    assert "run intent#1 was left off and comes first" in said
    text = project.file.read_text(encoding="utf-8")
    project.file.write_text(text.replace("min = 0.9", "min = 0.5"), encoding="utf-8")
    result = project.call("run", "intent")
    assert "made by intent#1" in result.stdout
    assert "intent#1 had been left off" in result.stdout
    assert "below the least allowed, 0.9" in result.stdout  # as it was configured when it began
    assert result.exit_code == 1
    again = project.ok("run", "intent")
    assert "intent@1 (" in again and "made again by intent#2" in again


def test_what_cannot_be_asked(project: Project) -> None:
    assert "leave out --from" in project.refused(2, "run", "intent", "--force", "--from", "train")
    assert "there are collect, curate" in project.refused(2, "run", "intent", "--from", "cook")
    assert project.json("runs", "list") == []
