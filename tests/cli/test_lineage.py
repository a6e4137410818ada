"""`greenlight versions show --lineage`: from a version back to the answers it learnt from (R1)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from greenlight import artifacts, config, wiring
from greenlight.core.records import Dataset
from greenlight.recording import record
from tests.cli.project import Project, flip

LABELS = ["card", "money", "pin"]


def sealed(folder: Path, splits: dict[str, int], **body: str) -> Path:
    """A folder of rows as curation leaves it: all but two of train came from answers."""
    folder.mkdir()
    for split, count in splits.items():
        rows = [
            {"text": f"t{number}", "label": "card", "inference": f"{split}-{number}"}
            for number in range(count)
        ]
        if split == "train":
            rows[5:7] = [{"text": "from elsewhere", "label": "pin"}] * 2
        lines = [json.dumps(row) + "\n" for row in rows]
        (folder / f"{split}.jsonl").write_text("".join(lines))
    artifacts.seal(folder, {"labels": LABELS, "counts": splits, **body})
    return folder


@pytest.fixture
def learnt(project: Project, tmp_path: Path) -> tuple[Project, str]:
    """intent@1 was trained on a dataset of 25 answers and 2 rows from elsewhere."""
    with project.opened() as (settings, office), wiring.open_app(settings) as app:
        raw = sealed(tmp_path / "raw", {"rows": 30}, origin="feedback", window="7d")
        parent = app.raw.add(str(raw))
        splits = {"train": 20, "validation": 3, "test": 4}
        folder = sealed(tmp_path / "prepared", splits, parent=parent, source="feedback")
        prepared = app.datasets.add(str(folder))
        shelves = ((parent, app.raw, 1), (prepared, app.datasets, 2))
        for digest, shelf, at in shelves:
            made = Dataset(
                digest=digest,
                task="intent",
                name="answers",
                manifest=artifacts.unseal(shelf.path(digest), digest),
                at=at,
            )
            record(app.store, [], append=[made], now=at)
        run = office.run()
        office.register(run, lineage={"run": run.id, "dataset": prepared})
    return project, prepared


def test_from_the_version_to_the_answers(learnt: tuple[Project, str]) -> None:
    project, _ = learnt
    shown = project.ok("versions", "show", "intent@1", "--lineage")
    assert "intent#1, manual by eve" in shown
    assert "window" in shown and "7d" in shown
    assert "25, the first 10:" in shown


def test_every_id_in_json(learnt: tuple[Project, str]) -> None:
    project, prepared = learnt
    told = json.loads(project.ok("versions", "show", "intent@1", "--lineage", "--json"))
    assert (told["count"], len(told["inferences"])) == (25, 25)
    assert {"split": "validation", "id": "validation-2"} in told["inferences"]
    assert told["datasets"][0]["digest"] == prepared
    assert [stage["name"] for stage in told["stages"]] == ["train"]


@pytest.mark.parametrize(
    ("purged", "says"), [(True, "purged (ledger entry "), (False, "restore it from a backup")]
)
def test_rows_that_are_gone(learnt: tuple[Project, str], purged: bool, says: str) -> None:
    """D11: what was purged is said to be."""
    project, prepared = learnt
    with project.opened() as (settings, office), wiring.open_app(settings) as app:
        app.datasets.remove(prepared)
        if purged:
            record(app.store, [("purge", {"folders": [prepared]})], now=office.clock.now())
    shown = project.ok("versions", "show", "intent@1", "--lineage")
    assert says in shown and "not to be told: their rows are gone" in shown
    told = json.loads(project.ok("versions", "show", "intent@1", "--lineage", "--json"))
    assert (told["count"], told["inferences"]) == (None, [])


def test_rows_that_were_changed(learnt: tuple[Project, str]) -> None:
    """R3."""
    project, prepared = learnt
    with wiring.open_app(config.load(project.file, {})) as app:
        flip(Path(app.datasets.path(prepared), "test.jsonl"))
    message = project.refused(1, "versions", "show", "intent@1", "--lineage")
    assert "not as sealed: test.jsonl" in message


def test_without_a_run(project: Project) -> None:
    project.ok("versions", "add", "intent", "--url", "http://ours.example", "-m", "ours", by="eve")
    shown = project.ok("versions", "show", "intent@1", "--lineage")
    assert "source      added" in shown and "inferences  0" in shown
