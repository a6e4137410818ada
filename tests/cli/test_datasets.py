"""`greenlight datasets` and `greenlight purge`."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from greenlight import artifacts, wiring
from greenlight.core import ids, jsonl
from greenlight.core.curation import Row
from greenlight.core.labelling import pseudonym
from greenlight.core.records import DAY, HOUR, MINUTE, Run
from greenlight.core.states import RolloutStatus
from greenlight.entrypoints.cli import main
from greenlight.recording import finish_dataset
from greenlight.serving.segments import encode
from greenlight.testing import step
from greenlight.wiring import retention
from tests.cli.project import Project
from tests.contracts.making import feedback, inference
from tests.stages.office import Office, rollout

ANA = "ana.smith@example.com"


class Archive:
    """A project with data sets."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.made = 0

    def add(self, *rows: Row, parent: str | None = None, **about: Any) -> str:
        """Seal rows as a run would; returns the digest."""
        self.made += 1
        folder = self.project.folder / "making"
        folder.mkdir()
        split = "rows" if parent is None else "train"
        (folder / f"{split}.jsonl").write_bytes(jsonl.encode(rows))
        labels = {label: sum(row.label == label for row in rows) for label in ("card", "pin")}
        body = {
            "name": "feedback",
            "task": "intent",
            "origin": "feedback",
            "licence": "internal",
            "counts": {split: len(rows)},
            "per_label": {split: labels},
            **about,
            **({"parent": parent} if parent else {}),
        }
        with self.project.opened() as (settings, office), wiring.open_app(settings) as app:
            result = finish_dataset(
                app.store,
                app.datasets if parent else app.raw,
                folder,
                body,
                step=step("collect", run=f"intent#{self.made}"),
                report={},
                now=office.clock.now(),
            )
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        return result.output["dataset"]


@pytest.fixture
def archive(project: Project) -> Archive:
    return Archive(project)


def rows(*texts: str, label: str = "card", unit: str = "") -> list[Row]:
    made = [Row(text, label, pseudonym("intent", unit) if unit else "") for text in texts]
    return [Row(r.text, r.label, r.unit, ids.uuid7(1, bytes(10)) if unit else "") for r in made]


def test_data_sets_are_listed(archive: Archive) -> None:
    """D8: collected and prepared ones, and whether their rows are there."""
    project = archive.project
    assert project.json("datasets", "list") == []
    raw = archive.add(*rows("a", "b"))
    prepared = archive.add(*rows("a"), parent=raw)
    listed = project.ok("datasets", "list", "intent").splitlines()
    assert [line.split()[0] for line in listed[1:]] == [raw[7:19], prepared[7:19]]
    assert [line.split()[3:5] for line in listed[1:]] == [["collected", "2"], ["prepared", "1"]]
    shelf = project.folder / "data" / "raw" / raw.removeprefix("sha256:")
    shelf.rename(shelf.with_name("elsewhere"))
    assert [d["state"] for d in project.json("datasets", "list")] == ["missing", "there"]
    assert "there are: intent" in project.refused(2, "datasets", "list", "intents")


def test_a_data_set_is_shown(archive: Archive) -> None:
    """D8: source, window, filter, exclusions, personal data, what it was made of and into."""
    project = archive.project
    raw = archive.add(
        *rows("a", "b"),
        window={"since": 0, "until": DAY},
        filter="engagement_rate > 0.06",
        exclusions={"unjudged": 12, "masked": 0},
        pii={"scrubbed": {"email": 2}, "rows": 1, "unresolved": 0},
    )
    prepared = archive.add(*rows("a"), parent=raw)
    with project.opened() as (_, office):
        lineage = {"run": office.run().id, "dataset": prepared}
        office.register(office.store.scan(Run)[0], lineage=lineage)
    shown = project.ok("datasets", "show", raw[7:15])
    for line in (
        "window         1970-01-01T00:00:00Z to 1970-01-02T00:00:00Z",
        "filter         engagement_rate > 0.06",
        "personal data  2 × email scrubbed, in 1 rows; 0 left",
        f"made into      {prepared}",
        "versions       intent@1",
        "unjudged    12",
        "rows           there",
    ):
        assert line in shown
    assert "masked" not in shown
    assert f"made of   {raw}" in project.ok("datasets", "show", prepared)
    assert project.json("datasets", "show", raw)["children"] == [prepared]
    assert "greenlight datasets list" in project.refused(2, "datasets", "show", "0000")


def test_a_difference_is_counted_row_by_row(archive: Archive) -> None:
    """D8: added, removed, relabelled, by text and label, each as often as it stands there."""
    project = archive.project
    first = archive.add(*rows("a", "a", "b", "same", "same"), *rows("c", label="pin"))
    second = archive.add(
        *rows("same", "same", "same", "new"), *rows("a", "b", label="lost"), *rows("x" * 99)
    )
    found = project.json("datasets", "diff", first, second[:12], "--show", "5")
    counts = [found[name] for name in ("rows", "unchanged", "added", "removed", "relabelled")]
    assert counts == [[6, 7], 2, 3, 2, 2]
    assert found["labels_added"] == ["lost"] and found["labels_removed"] == ["pin"]
    assert found["per_label"] == {"lost": [0, 2], "pin": [1, 0]}
    texts = {name: [c["text"] for c in changes] for name, changes in found["examples"].items()}
    assert texts == {
        "added": ["new", "same", "x" * 99],
        "removed": ["a", "c"],
        "relabelled": ["a", "b"],
    }
    assert found["examples"]["relabelled"][1] == {
        "text": "b",
        "before": ["card"],
        "after": ["lost"],
    }
    shown = project.ok("datasets", "diff", first, second, "--show", "1")
    assert "6 rows → 7 rows" in shown and "labels gone: pin" in shown and "ADDED" in shown
    assert "ADDED" not in project.ok("datasets", "diff", first, second)
    assert project.json("datasets", "diff", first, first)["unchanged"] == 6


def test_data_sets_of_tagged_words(archive: Archive) -> None:
    """D8: counted are entities by type; rows are rows, and a row with other tags is relabelled."""
    project = archive.project
    same, was, now = Row("x", "O"), Row("in Rome", "O O"), Row("in Rome", "O B-place")
    about = {"kind": "tag", "per_label": {"rows": {"place": 1}}}
    first = archive.add(same, was, Row("to Rome", "O B-city"), **about)
    second = archive.add(same, now, Row("New York " * 30, "B-place I-place " * 30), **about)
    found = project.json("datasets", "diff", first, second, "--show", "5")
    counts = [found[name] for name in ("rows", "unchanged", "added", "removed", "relabelled")]
    assert counts == [[3, 3], 1, 1, 1, 1]
    assert (found["labels_added"], found["labels_removed"]) == (["place"], ["city"])
    assert found["per_label"] == {"city": [1, 0], "place": [0, 31]}
    assert [c["after"] for c in found["examples"]["relabelled"]] == [["O B-place"]]
    shown = project.ok("datasets", "diff", first, second, "--show", "5")
    assert "labels new: place" in shown and "3 rows → 3 rows" in shown
    assert max(map(len, shown.splitlines())) < 200
    assert "place     1" in project.ok("datasets", "show", second)


def test_rows_that_were_erased_are_not_called_missing(archive: Archive) -> None:
    """D11: who needs them later is told when they went, and where that stands."""
    project = archive.project
    raw = archive.add(*rows("a", unit=ANA))
    other = archive.add(*rows("b", unit="ben"))
    gone = project.json("purge", "intent", "--unit", ANA, "--yes")
    assert gone["found"]["folders"] == [raw]
    message = project.refused(2, "datasets", "diff", raw, other)
    assert message.count("erased by purge on") == 1 and f"ledger entry {gone['entry']}" in message
    assert "erased: purge of" in project.ok("datasets", "show", raw)
    states = {d["digest"]: d["state"] for d in project.json("datasets", "list")}
    assert states == {raw: "erased", other: "there"}


# Purge


def fill(office: Office) -> int:
    """Answers to Ana and Ben, today and long ago; returns the time."""
    now = office.clock.now()
    office.store.ingest(
        [
            inference("i1", unit=ANA, at=now, rollout=None, input="I am Ana"),
            inference("i2", unit=ANA, at=now - 100 * DAY, rollout=None),
            inference("i3", unit="ben", at=now - 100 * DAY, rollout=None),
        ],
        [feedback("f1", "i1", comment="call Ana", at=now)],
    )
    return now


def names(project: Project) -> list[str]:
    with contextlib.closing(sqlite3.connect(project.folder / ".greenlight/greenlight.db")) as store:
        return [unit for (unit,) in store.execute("SELECT unit FROM inferences ORDER BY id")]


def test_a_unit_is_erased(project: Project) -> None:
    """D11: asked first; a dry run and a No change nothing; the ledger stays intact."""
    with project.opened() as (_, office):
        fill(office)
    planned = project.ok("purge", "intent", "--unit", ANA, "--dry-run")
    assert "2 inferences, 1 feedback" in planned
    runner = CliRunner()
    command = ["-C", str(project.folder), "purge", "intent", "--unit", "-"]
    declined = runner.invoke(main, command, input=f"{ANA}\nn\n")
    assert declined.exit_code == 1 and "erase this for good?" in declined.output
    assert names(project).count(ANA) == 2
    erased = runner.invoke(main, command, input=f"{ANA}\ny\n")
    assert erased.exit_code == 0, erased.output
    assert erased.output.rstrip().splitlines()[-1].startswith("erased; ledger entry ")
    assert names(project) == ["ben"]
    files = [path for path in project.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if ANA.encode() in path.read_bytes()]
    assert project.ok("audit", "verify").rstrip().splitlines()[-1].count("intact")


def test_what_is_older_is_erased(project: Project) -> None:
    """D11."""
    with project.opened() as (_, office):
        fill(office)
    found = project.json("purge", "intent", "--older-than", "90d", "--yes")
    assert found["found"]["rows"] == {"inferences": 2} and found["entry"] > 0
    assert names(project) == [ANA]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "--unit UNIT or --older-than AGE"),
        (["--unit", "a", "--older-than", "90d"], "--unit UNIT or --older-than AGE"),
        (["--older-than", "90"], "expected a duration with its unit"),
        (["--unit", ""], "a unit has a name"),
        (["--unit", "a", "--json"], "add --yes"),
    ],
)
def test_a_purge_that_is_not_clear_is_refused(
    project: Project, words: list[str], says: str
) -> None:
    assert says in project.refused(2, "purge", "intent", *words)


def test_an_unknown_task_is_refused_but_a_former_one_is_not(project: Project) -> None:
    """D11: what was left behind by a task that nobody serves any more can be erased too."""
    assert "there are: intent" in project.refused(2, "purge", "former", "--unit", "a", "--yes")
    with project.opened() as (_, office):
        office.store.ingest([inference("i1", task="former", unit="a", rollout=None)], [])
    assert project.json("purge", "former", "--unit", "a", "--yes")["found"]["rows"]


def test_a_unit_in_a_running_rollout_is_refused(evaluated: Project) -> None:
    """D11: the message says when to come back."""
    with evaluated.opened() as (_, office):
        now = fill(office)
        begun = rollout(office.evaluated(), "eve", now)
        assert begun.status is RolloutStatus.RUNNING
        office.store.commit(append=[begun])
        office.store.ingest([inference("i9", unit=ANA, at=now, rollout=begun.id)], [])
    message = evaluated.refused(2, "purge", "intent", "--unit", ANA, "--yes")
    assert f"rollout {begun.id} is running" in message and "at the latest" in message
    kept = evaluated.ok("purge", "intent", "--older-than", "1m", "--yes")
    assert "kept: 1 inferences that a running rollout rests on" in kept


def test_what_would_come_back_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """D11: the spool of a gateway that died still holds an answer."""
    monkeypatch.setattr("greenlight.wiring.retention.PATIENCE", 0)
    spool = project.folder / ".greenlight" / "spool"
    with project.opened() as (_, office):
        now = fill(office)
    spool.mkdir()
    (spool / "dead-00000001.jsonl").write_bytes(encode(inference("i9", unit=ANA, at=now - HOUR)))
    message = project.refused(2, "purge", "intent", "--unit", ANA, "--yes")
    assert "it would come back" in message and "dead-00000001.jsonl" in message
    assert names(project).count(ANA) == 2
    later = now + HOUR + MINUTE
    (spool / "dead-00000001.jsonl").write_bytes(encode(inference("i9", unit=ANA, at=later)))
    project.ok("purge", "intent", "--unit", ANA, "--yes")


@pytest.mark.parametrize(
    ("words", "asked", "refused"),
    [
        (["--unit", ANA], 0, True),
        (["--unit", "ben"], 0, False),
        (["--older-than", "90d"], 100 * DAY, True),
        (["--older-than", "90d"], DAY, False),
    ],
)
def test_a_drill_that_kept_a_copy_is_deleted_first(
    project: Project, words: list[str], asked: int, refused: bool
) -> None:
    """D11: a failed drill keeps its installation, and a data set with what users wrote in it."""
    with project.opened() as (settings, office):
        now = fill(office)
    place = settings.state / retention.DRILLS
    row = Row("hello", "card", pseudonym("intent", ANA), ids.uuid7(now - asked, bytes(10)))
    folder = place / "d-1" / "data" / "processed" / ("0" * 64)
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_bytes(jsonl.encode([row]))
    artifacts.seal(folder, {"task": "intent", "counts": {"test": 1}})
    if not refused:
        project.ok("purge", "intent", *words, "--yes")
        return
    for how in ("--dry-run", "--yes"):
        said = project.refused(2, "purge", "intent", *words, how)
        assert f"a drill keeps a copy of what is to be erased: {place / 'd-1'}" in said
        assert "nothing was erased" in said and "delete the folder" in said
    assert len(names(project)) == 3
    shutil.rmtree(place / "d-1")
    project.ok("purge", "intent", *words, "--yes")


def test_copies_that_people_made_are_pointed_out(project: Project) -> None:
    """D11: imports and exports are for people to look at."""
    with project.opened() as (_, office):
        fill(office)
    copy = project.folder / "data" / "imported" / "rows.csv"
    copy.parent.mkdir(parents=True)
    copy.write_text(f"text,label,unit\nhello,card,{ANA}\n")
    shown = project.ok("purge", "intent", "--unit", ANA, "--yes")
    assert f"look at {copy}" in shown and Path(copy).exists()


@pytest.mark.parametrize("name", ["base.csv", "data/imported/rows.csv"])
def test_a_file_that_the_next_run_would_collect_is_pointed_out(project: Project, name: str) -> None:
    """D11: or the unit's rows come back unnoticed; told once, wherever the file lies."""
    with project.opened() as (_, office):
        fill(office)
    path = project.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"text,label,unit\nhello,card,{ANA}\n")
    table = f'source = "feedback"\nbase = "{name}"\nunit = "unit"'
    text = project.file.read_text(encoding="utf-8").replace('source = "sample"', table)
    project.file.write_text(text, encoding="utf-8")
    found = project.json("purge", "intent", "--unit", ANA, "--dry-run")
    assert found["copies"] == [str(path)]
