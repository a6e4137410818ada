"""WNUT-2017 (D7, D9): its published shape, the traps in its files, what curation makes of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from greenlight.core import tagging
from greenlight.core.curation import Row
from greenlight.core.errors import Tampered
from greenlight.datasets import Places, PublicSource, load, wnut17
from greenlight.ports import Example
from tests.datasets.conftest import Mirror
from tests.stages.preparing import Place, manifest_counts


def test_sentences_end_at_a_lone_tab_too() -> None:
    """HABITS: a reader that misses them makes one sentence of 46,486 words."""
    text = "a\tO\n\t\nParis\tB-location\n\nb\tO\n \t \nc\tO"
    assert wnut17.parse(text.encode(), "f") == [
        Example("a", "O"),
        Example("Paris", "B-location"),
        Example("b", "O"),
        Example("c", "O"),
    ]


def test_a_hashtag_is_no_comment() -> None:
    found = wnut17.parse(b"#Rio\tB-location\r\n2016\tI-location\r\n", "f")
    assert found == [Example("#Rio 2016", "B-location I-location")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a", "no word, tab and tag"),
        ("a O", "no word, tab and tag"),
        ("\tO\tO", "no word, tab and tag"),
        ("a\tB-planet", "no such tag; there are B-corporation"),
        ("a\tO,B-person", "no such tag"),
        ("a\tO\tO", "more than one tag"),
        ("a\u2028b\tO", "the word holds white space"),
        ("a\u00a0\tO", "the word holds white space"),
    ],
)
def test_another_shape_is_refused(line: str, message: str) -> None:
    """A word with white space would count as two; U+2028 ends no line."""
    with pytest.raises(Tampered, match=f"f: line 2: .*{message}"):
        wnut17.parse(f"x\tO\n{line}\n".encode(), "f")


@pytest.fixture(scope="module")
def given() -> PublicSource:
    return load("wnut17")


def rows_of(given: PublicSource) -> dict[str, list[Example]]:
    return {"train": given.train, "validation": given.validation, "test": given.test}


@pytest.mark.needs("data")
def test_published_counts(given: PublicSource) -> None:
    """Table 2 of the shared task: 3,394, 1,009 and 1,287 posts; as many words as tags in each."""
    found = rows_of(given)
    for rows in found.values():
        for row in rows:
            tagging.check(row.text, row.label)
    counted = {
        split: (len(rows), sum(len(row.text.split()) for row in rows))
        for split, rows in found.items()
    }
    assert counted == {
        "train": (3_394, 62_730),
        "validation": (1_009, 15_733),
        "test": (1_287, 23_394),
    }
    entities = {
        split: sum(len(tagging.spans(tagging.tags(row.label))) for row in rows)
        for split, rows in found.items()
    }
    assert entities == {"train": 1_975, "validation": 836, "test": 1_079}
    assert max(len(row.text.split()) for row in given.train) < 50


@pytest.mark.needs("data")
def test_a_tagger_that_says_o_everywhere_would_be_right_nine_times_in_ten(
    given: PublicSource,
) -> None:
    """HABITS: the share of O tags is no score; what a project reported as F1, 0.9376, is this."""
    for rows in rows_of(given).values():
        tags = tagging.of_words(row.label for row in rows)
        assert 0.9 < tags.count(tagging.OUTSIDE) / len(tags) < 0.97


@pytest.mark.needs("data")
def test_it_comes_from_its_address_into_the_cache(
    given: PublicSource, mirror: Mirror, tmp_path: Path
) -> None:
    for file, _ in wnut17.FILES.values():
        data = Path(os.environ["GREENLIGHT_DATASETS"], "wnut17", file).read_bytes()
        mirror.files[f"/{file}"] = data
    where = Places(folder=None, cache=tmp_path, base_url=mirror.url)
    assert load("wnut17", where) == given
    assert load("wnut17", where) == given
    assert len(mirror.asked) == 3


@pytest.mark.needs("data")
def test_what_curation_makes_of_it(given: PublicSource, tmp_path: Path) -> None:
    """D6, D7: what stands twice and what contradicts itself goes, from test nothing; no post is in
    two splits, and one of dev differs from one of test in punctuation alone. Five telephone numbers
    of train are gone, word by word."""
    place = Place(tmp_path)
    made = place.prepare(given, kind="tag")
    assert made.manifest["counts"] == {"train": 3_280, "validation": 1_004, "test": 1_287}
    assert manifest_counts(made, "exclusions") == {"contradiction": 28, "duplicate": 91}
    assert made.manifest["overlaps"] == {"exact": 0, "lower": 0, "words": 1}
    assert made.manifest["changed"] == {"text": 0, "label_whitespace": 0}
    assert made.manifest["pii"] == {"scrubbed": {"phone": 5}, "rows": 5, "unresolved": 0}
    assert made.manifest["labels"] == sorted(wnut17.TAGS)
    assert place.rows(made, "test") == [Row(row.text, row.label) for row in given.test]
    came = {row.text: row.label for row in [*given.train, *given.validation]}
    for split in ("train", "validation"):
        for row in place.rows(made, split):
            tagging.check(row.text, row.label)
            assert came.get(row.text, row.label) == row.label
    assert {name: sum(of.values()) for name, of in made.manifest["per_label"].items()} == {
        "train": 1_884,
        "validation": 832,
        "test": 1_079,
    }


@pytest.mark.needs("data")
def test_its_splits_are_these_bytes(given: PublicSource, tmp_path: Path) -> None:
    """D9: the official splits, on every machine."""
    assert Place(tmp_path).prepare(given, kind="tag").manifest["files"] == {
        "train.jsonl": "sha256:7e54210f3be7d5f7909b3e2f2e2665b14a6e30ae5825596646523c30a0eaf991",
        "validation.jsonl": "sha256:"
        "857de57c41cf0733176c6bad3b0e2cf56d31dcd6cf5c21664107ec935f818ce1",
        "test.jsonl": "sha256:6b04263d443a53c910f585ef47080deeec01262300cb31354305e6afbdabe658",
    }
