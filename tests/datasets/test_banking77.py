"""BANKING77 (D7, D9): its published shape, its ways in, and the leaks that are known in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from greenlight.core import curation
from greenlight.core.curation import Row
from greenlight.core.errors import NotFound, Tampered
from greenlight.datasets import Places, PublicSource, banking77, load
from greenlight.ports import Example
from tests.datasets.conftest import Mirror

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
    with pytest.raises(NotFound, match="banking77, sample"):
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


@pytest.mark.needs("data")
def test_known_leaks_are_found_and_taken_out(given: PublicSource) -> None:
    train, test = ([Row(row.text, row.label) for row in part] for part in (given.train, given.test))
    found = curation.curate(train, test, 2025)
    assert found.overlaps == {"exact": 0, "lower": 7, "words": 25}
    assert found.exclusions == {"empty": 0, "duplicate": 4, "contradiction": 0, "in_test": 7}
    assert len(found.train) + len(found.validation) == 10_003 - 11
    assert len(found.validation) == 1_000
    assert len({row.label for row in found.validation}) == 77
    assert len(found.test) == 3_080


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
