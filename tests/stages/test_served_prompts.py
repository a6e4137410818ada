"""Rows with the instructions that served them, from collection to a trainer (D4, D7, D8)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenlight import artifacts, testing
from greenlight.adapters.blobs import FolderBlobs
from greenlight.core.curation import Row
from greenlight.core.errors import BadInput
from greenlight.core.records import Dataset
from greenlight.ports import Example, Progress, Trained
from greenlight.ports.source import NO_PROMPTS, Prompts
from greenlight.stages.train import train
from tests.stages.preparing import Place, Rows, manifest_counts
from tests.stages.test_curate import BASE, CHECK, JUDGE, LEARN

PROMPTS = {"sha256:p": {"kind": "prompt", "template": "mail jo@example.com: {input}"}}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def served(text: str, label: str, unit: str, **fields: str) -> Row:
    return Row(text, label, unit, prompt="sha256:p", **fields)


def prepared(place: Place, *rows: Row) -> Dataset:
    return place.prepare(Rows(rows=[*BASE, *rows], prompts=PROMPTS))


def test_what_was_asked_is_kept_to_the_letter_and_compared_by_its_form(place: Place) -> None:
    """D4 against D7: white space and form stay; what is a duplicate or a leak does not hang on
    them."""
    made = prepared(
        place,
        served("  Two\n\nlines e\u0301", "a", LEARN[1], answer="a: because"),
        served("two lines \u00c9", "a", LEARN[2]),
        served(" judged\n", "b", JUDGE[1]),
        served("Judged", "b", LEARN[1]),
        Row(" plain\ttext ", "a", LEARN[1]),
        served(" \n", "a", LEARN[1]),
    )
    assert [row for row in place.rows(made, "train") if row not in BASE] == [
        served("  Two\n\nlines e\u0301", "a", LEARN[1], answer="a: because"),
        Row("plain text", "a", LEARN[1]),
    ]
    assert served(" judged\n", "b", JUDGE[1]) in place.rows(made, "test")
    assert manifest_counts(made, "exclusions") == {"duplicate": 1, "in_test": 1, "empty": 1}


def test_personal_data_goes_from_what_is_to_be_said_too(place: Place) -> None:
    """D6: and the instructions stay as people wrote them."""
    made = prepared(place, served("hello", "a", CHECK[1], answer="a: write to jo@example.com"))
    assert served("hello", "a", CHECK[1], answer="a: write to [EMAIL]") in place.rows(
        made, "validation"
    )
    assert artifacts.read_prompts(place.processed.path(made.digest)) == PROMPTS
    assert made.manifest["files"].keys() >= {"prompts.json", "train.jsonl"}
    assert made.manifest["pii"]["scrubbed"] == {"email": 1}


def test_a_dataset_that_nobody_was_asked_for_has_no_such_file(place: Place) -> None:
    made = place.prepare(Rows(rows=BASE))
    folder = Path(place.processed.path(made.digest))
    assert not (folder / "prompts.json").exists() and artifacts.read_prompts(folder) == {}


def test_instructions_that_are_not_readable_are_refused(tmp_path: Path) -> None:
    (tmp_path / "prompts.json").write_text("[]")
    with pytest.raises(BadInput, match=r"prompts\.json: not readable"):
        artifacts.read_prompts(tmp_path)


class Witness:
    """A trainer that keeps what it was given."""

    name = "witness"
    free = True

    def train(
        self,
        *,
        train: list[Example],
        validation: list[Example],
        labels: list[str],
        config: dict[str, Any],
        seed: int,
        out: str,
        progress: Progress,
        prompts: Prompts = NO_PROMPTS,
    ) -> Trained:
        self.train_rows, self.prompts = train, prompts
        Path(out).mkdir()
        artifacts.seal(out, {"labels": labels})
        return Trained(folder=out, report={})


def test_a_trainer_is_given_what_was_asked(place: Place, tmp_path: Path) -> None:
    made = prepared(place, served(" as served", "a", LEARN[1], answer="a: yes"))
    witness = Witness()
    train(
        place.records,
        place.processed,
        FolderBlobs(tmp_path / "bundles"),
        witness,  # type: ignore[arg-type]
        step=testing.step("train", task="intent", run="intent#9"),
        dataset_digest=made.digest,
        config={},
        seed=1,
        workdir=place.work,
        now=lambda: 3,
        progress=lambda share, words: None,
    )
    assert Example(" as served", "a", "sha256:p", "a: yes") in witness.train_rows
    assert witness.prompts == PROMPTS
