"""BANKING77 (D7, D9): its published shape, its ways in, and the leaks that are known in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from greenlight.core import pii
from greenlight.core.errors import NotFound, Tampered
from greenlight.datasets import Places, PublicSource, banking77, load
from greenlight.ports import Example
from tests.datasets.conftest import Mirror
from tests.stages.preparing import Place, manifest_counts

HEAD = b"text,category\r\n"


def test_a_text_may_hold_commas_quotes_and_line_breaks() -> None:
    rows = banking77.parse(HEAD + b'"a ""b"",\nc ",x?\r\n\xc3\xa9,Y\r\n', "train.csv")
    assert rows == [Example('a "b",\nc ', "x?"), Example("é", "Y")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the first line must be text,category"),
        (b"category,text\r\n", "the first line must be text,category"),
        (HEAD + b"only\r\n", "row 1 has 1 fields"),
        (HEAD + b"a,b\r\na,b,c\r\n", "row 2 has 3 fields"),
        (HEAD + b'"a" b,c\r\n', "train.csv: line"),
    ],
)
def test_another_shape_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(Tampered, match=message):
        banking77.parse(data, "train.csv")


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(NotFound, match="banking77, wnut17, sample, sample-entities"):
        load("banking78")


@pytest.fixture(scope="module")
def given() -> PublicSource:
    return load("banking77")


@pytest.mark.needs("data")
def test_published_counts(given: PublicSource) -> None:
    assert (len(given.train), len(given.test)) == (10_003, 3_080)
    assert len({row.label for row in given.train}) == 77
    assert {row.label for row in given.test} == {row.label for row in given.train}
    assert sum("\n" in row.text for row in [*given.train, *given.test]) == 13
    assert sum(row.text != row.text.strip() for row in [*given.train, *given.test]) == 12


@pytest.mark.needs("data")
def test_known_leaks_are_found_and_taken_out(given: PublicSource, tmp_path: Path) -> None:
    """D7: 0 overlaps as it came, 7 without case and white space, 25 by letters and digits; no text
    with line breaks or stray white space is left, and two odd names of labels are as they were."""
    place = Place(tmp_path)
    made = place.prepare(given)
    assert made.manifest["overlaps"] == {"exact": 0, "lower": 7, "words": 25}
    assert manifest_counts(made, "exclusions") == {"duplicate": 4, "in_test": 7}
    assert made.manifest["counts"] == {"train": 8_992, "validation": 1_000, "test": 3_080}
    assert len(made.manifest["per_label"]["validation"]) == 77
    assert made.manifest["changed"] == {"text": 569, "label_whitespace": 0}
    assert made.manifest["pii"] == {"scrubbed": {}, "rows": 0, "unresolved": 0}
    rows = [row for split in made.manifest["counts"] for row in place.rows(made, split)]
    assert not [row for row in rows if row.text != " ".join(row.text.split())]
    assert {"Refund_not_showing_up", "reverted_card_payment?"} < set(made.manifest["labels"])
    assert {row.label for row in rows} == {row.label for row in [*given.train, *given.test]}


@pytest.mark.needs("data")
def test_its_splits_are_these_bytes(given: PublicSource, tmp_path: Path) -> None:
    """D9: the canonical split, and validation drawn with seed 2025, on every machine."""
    assert Place(tmp_path).prepare(given).manifest["files"] == {
        "train.jsonl": "sha256:37349133cdc57e07ab1f614471323d76e6140bf8a2f3d6eff9eb9915e2afaafe",
        "validation.jsonl": "sha256:"
        "aa0a1a766d8c0f91bddeeeaa760a5f6bdb7e24af24185363d0a6c4070eb9b395",
        "test.jsonl": "sha256:13d1bacf4e381a0a5599e4e1e43fe0f24804470b1805853dfa137bd6ebcf0327",
    }


@pytest.mark.needs("data")
def test_no_question_or_label_is_taken_for_personal_data(given: PublicSource) -> None:
    """D6: amounts, dates and card types are none; nothing is scrubbed for nothing."""
    rows = [*given.train, *given.test]
    assert [row.text for row in rows if pii.find(row.text)] == []
    assert not any(pii.find(label) for label in {row.label for row in rows})


@pytest.mark.needs("data")
def test_it_comes_from_its_address_into_the_cache(
    given: PublicSource, mirror: Mirror, tmp_path: Path
) -> None:
    folder = Path(os.environ["GREENLIGHT_DATASETS"], "banking77")
    for split in banking77.DIGESTS:
        mirror.files[f"/{split}.csv"] = (folder / f"{split}.csv").read_bytes()
    where = Places(folder=None, cache=tmp_path, base_url=mirror.url)
    shares: list[float] = []
    fetched = load("banking77", where, lambda share, _: shares.append(share))
    assert fetched == given
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    cached = Places(folder=None, cache=tmp_path, base_url="http://x.invalid")
    assert load("banking77", cached) == given
    assert sorted(mirror.asked) == ["/test.csv", "/train.csv"]
