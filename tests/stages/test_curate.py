"""Curation (D7, D8): one text is in one place, one unit in one split, every exclusion counted."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenlight.core import curation
from greenlight.core.curation import SPLITS, TEST, TRAIN, VALIDATION, Row
from greenlight.core.errors import BadInput, MissingData
from greenlight.core.records import Dataset
from tests.stages.preparing import Place, Rows, manifest_counts, unit

SEED = 2025
TEXTS = st.text(alphabet="aAäbß .\n\t!1\u0301\u00a0", max_size=5)
ROWS = st.lists(st.builds(Row, TEXTS, st.sampled_from("xy")), min_size=1, max_size=40)
UNITS = st.sampled_from(["", *(unit(name) for name in "abcdefghijkl")])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def named(split: int, count: int) -> list[str]:
    """Units that land in a split."""
    names = (unit(str(number)) for number in range(10_000))
    found = (name for name in names if curation.place(SEED, Row("", "", name)) == split)
    return [next(found) for _ in range(count)]


def held(name: str) -> bool:
    """Whether a unit is held out beside a benchmark."""
    return curation.is_held_out(SEED, name)


LEARN, CHECK, JUDGE = (named(split, 3) for split in (TRAIN, VALIDATION, TEST))
BASE = [
    *(Row(f"base {label} {n}", label, LEARN[0]) for label in "ab" for n in range(2)),
    Row("base check", "a", CHECK[0]),
    Row("base judge", "b", JUDGE[0]),
]
"""A row of each split at least, and two labels."""


def texts(place: Place, made: Dataset, split: int) -> set[str]:
    return {row.text for row in place.rows(made, SPLITS[split])} - {row.text for row in BASE}


# --- sources with a split of their own ------------------------------------------------------------


def test_every_reason_is_counted_once(place: Place) -> None:
    train = [
        Row("Where is it", "a"),
        Row("where  is it", "a"),
        Row(" \n", "a"),
        Row("Stands in TEST", "b"),
        Row("two minds", "a"),
        Row("Two minds", "b"),
        Row("keep me", "b"),
        Row("no label", " \t"),
    ]
    test = [Row("stands in test", "b"), Row("fresh", "a")]
    found = place.prepare(Rows(train=train, test=test, exclusions={"too_old": 3}))
    assert found.manifest["exclusions"] == {
        "empty": 1,
        "empty_label": 1,
        "contradiction": 2,
        "in_test": 1,
        "in_validation": 0,
        "duplicate": 1,
        "unknown_label": 0,
        "too_old": 3,
    }
    kept = [*place.rows(found, "train"), *place.rows(found, "validation")]
    assert sorted(kept) == [Row("Where is it", "a"), Row("keep me", "b")]
    assert found.manifest["overlaps"] == {"exact": 0, "lower": 1, "words": 1}
    assert found.manifest["labels"] == ["a", "b"]


def test_labels_are_in_code_point_order(place: Place) -> None:
    train = [Row("one", "b"), Row("two", "Z"), Row("three", "a?")]
    made = place.prepare(Rows(train=train, test=[Row("four", "Z")]))
    assert made.manifest["labels"] == ["Z", "a?", "b"]


def test_white_space_around_labels_goes_and_is_counted(place: Place) -> None:
    train = [Row("one", " a"), Row("two", "a"), Row("three", "b\n"), Row("One", "a")]
    made = place.prepare(Rows(train=train, test=[Row("four", "\tb ")]))
    assert made.manifest["labels"] == ["a", "b"]
    assert made.manifest["changed"] == {"text": 0, "label_whitespace": 3}
    assert manifest_counts(made, "exclusions") == {"duplicate": 1}
    assert place.rows(made, "test") == [Row("four", "b")]


def test_test_rows_stay_even_if_they_repeat(place: Place) -> None:
    test = [Row("again", "a"), Row("Again ", "a"), Row("again", "b")]
    made = place.prepare(Rows(train=[Row("x", "a"), Row("y", "b")], test=test))
    assert place.rows(made, "test") == [Row("again", "a"), Row("Again", "a"), Row("again", "b")]


def test_a_tenth_of_every_label_is_held_out(place: Place) -> None:
    train = [Row(f"{label} {number}", label) for label in "ab" for number in range(50)]
    train += [Row(f"c {number}", "c") for number in range(2)] + [Row("d", "d")]
    made = place.prepare(Rows(train=train, test=[Row("x", "a")]))
    assert made.manifest["per_label"]["validation"] == {"a": 5, "b": 5, "c": 1}
    held = place.rows(made, "validation")
    assert place.rows(made, "train") == [row for row in train if row not in held]
    assert held == [row for row in train if row in held]


def test_what_is_held_out_depends_on_the_seed_and_not_on_the_order(place: Place) -> None:
    train = [Row(f"text {number}", "ab"[number % 2]) for number in range(60)]
    test = [Row("x", "a")]
    first = place.rows(place.prepare(Rows(train=train, test=test)), "validation")
    turned = place.rows(place.prepare(Rows(train=train[::-1], test=test)), "validation")
    assert turned == first[::-1]
    other = place.prepare(Rows(train=train, test=test), seed=SEED + 1)
    assert set(place.rows(other, "validation")) != set(first)


def test_a_unit_is_held_out_whole_or_not_at_all(place: Place) -> None:
    """D7: feedback beside a benchmark leaks no unit from train into validation."""
    train = [Row(f"base {n}", "ab"[n % 2]) for n in range(100)]
    train += [Row(f"said {n}", "ab"[n % 2], unit(str(n % 50)), f"id{n}") for n in range(500)]
    train += [Row("only there", "c", next(u for u in map(unit, "klmnopqrstuvwxyz") if held(u)))]
    made = place.prepare(Rows(train=train, test=[Row("x", "a")]))
    parts = [{row.unit for row in place.rows(made, split)} - {""} for split in SPLITS]
    learnt, checked, _ = parts
    assert learnt and checked and not learnt & checked
    nobodys = [row for row in place.rows(made, "validation") if not row.unit]
    assert len(nobodys) == 10
    assert manifest_counts(made, "exclusions") == {"unknown_label": 1}
    assert made.manifest["labels"] == ["a", "b"]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([Row("x", "a"), Row("z", "c")], [Row("y", "b")], "no row to learn from for b"),
        ([Row(" ", "a")], [Row("y", "a")], "no row to learn from for a"),
        ([Row("x", "a")], [Row("y", "a")], "every row has the label 'a'; with one label"),
        ([Row("x", "a")], [Row("y", "a"), Row(" ", "a")], "test: row 2 has no text"),
        ([Row("x", "a")], [Row("y", " ")], "test: row 1 has no label"),
    ],
)
def test_what_cannot_be_learnt_from_is_named(
    place: Place, train: list[Row], test: list[Row], message: str
) -> None:
    raw = place.collect(Rows(train=train, test=test))
    with pytest.raises(BadInput, match=message):
        place.curate(raw.digest)
    assert place.nothing_is_left()


def reference(train: list[Row], test: list[Row]) -> tuple[list[Row], Counter[str]]:
    """What stays of training rows, and why the others go: the rule in its shortest form."""
    seen, out, kept = {curation.lower(row.text) for row in test}, Counter[str](), []
    labels: dict[str, set[str]] = defaultdict(set)
    for row in train:
        labels[curation.lower(row.text)].add(row.label)
    judged = set(seen)
    for row in train:
        key = curation.lower(row.text)
        if not key:
            out["empty"] += 1
        elif len(labels[key]) > 1:
            out["contradiction"] += 1
        elif key in seen:
            out["in_test" if key in judged else "duplicate"] += 1
        else:
            seen.add(key)
            kept.append(curation.clean(row))
    return kept, out


@settings(max_examples=60)
@given(ROWS, st.lists(st.builds(Row, TEXTS, st.sampled_from("xy")), min_size=1, max_size=8))
def test_the_index_decides_as_the_rule_does(train: list[Row], test: list[Row]) -> None:
    """D7: what streams through the index comes out as if all were held in memory."""
    train += [Row("learnt x", "x"), Row("learnt y", "y")]
    kept, out = reference(train, test)
    labels = {row.label for row in kept}
    fine = all(curation.normalise(row.text) for row in test)
    with tempfile.TemporaryDirectory() as root:
        place = Place(Path(root))
        raw = place.collect(Rows(train=train, test=test))
        if not fine:
            with pytest.raises(BadInput):
                place.curate(raw.digest, size=lambda: 7)
            return
        made = place.curate(raw.digest, size=lambda: 7)
        parts = {split: place.rows(made, split) for split in SPLITS}
    assert sorted([*parts["train"], *parts["validation"]]) == sorted(kept)
    assert manifest_counts(made, "exclusions") == dict(out)
    assert parts["test"] == [curation.clean(row) for row in test]
    for key in ("lower", "words"):
        by = getattr(curation, key)
        held = {by(row.text) for row in test}
        there = [row for row in train if curation.normalise(row.text)]
        assert made.manifest["overlaps"][key] == sum(by(row.text) in held for row in there)
    for label in labels:
        count = sum(row.label == label for row in kept)
        assert made.manifest["per_label"]["validation"].get(label, 0) == curation.held_out(count)


# --- sources that are split by unit ---------------------------------------------------------------


def test_a_unit_is_in_one_split_only(place: Place) -> None:
    """D9: 80/10/10 of the units; a row without a unit counts as a unit of its own."""
    rows = [Row(f"row {n}", "ab"[n % 2], unit(str(n % 300)), f"id{n}") for n in range(1200)]
    rows += [Row(f"nobody's {n}", "ab"[n % 2]) for n in range(300)]
    made = place.prepare(Rows(rows=rows))
    parts = [place.rows(made, split) for split in SPLITS]
    assert sorted(row for part in parts for row in part) == sorted(rows)
    units = [{row.unit for row in part if row.unit} for part in parts]
    assert sum(map(len, units)) == 300
    for found, share in zip(parts, (0.8, 0.1, 0.1), strict=True):
        assert abs(len(found) / 1500 - share) < 0.05
    nobodys = [sum(not row.unit for row in part) for part in parts]
    assert all(nobodys)
    again = place.prepare(Rows(rows=rows), seed=SEED + 1)
    assert again.manifest["counts"] != made.manifest["counts"]


def test_a_text_is_in_the_highest_split_where_it_stands(place: Place) -> None:
    """D7: the leak check holds between all three splits; one copy stays."""
    rows = [
        *BASE,
        Row("in all", "a", LEARN[1]),
        Row("In  all", "a", CHECK[1]),
        Row("IN ALL", "a", JUDGE[1]),
        Row("in all", "a", JUDGE[2]),
        Row("in two", "a", LEARN[1]),
        Row("in two", "a", LEARN[2]),
        Row("In two", "a", CHECK[1]),
        Row("learnt twice", "a", LEARN[1]),
        Row("learnt twice", "a", LEARN[2]),
    ]
    made = place.prepare(Rows(rows=rows))
    assert texts(place, made, TRAIN) == {"learnt twice"}
    assert texts(place, made, VALIDATION) == {"In two"}
    assert texts(place, made, TEST) == {"IN ALL"}
    assert manifest_counts(made, "exclusions") == {
        "in_test": 2,
        "in_validation": 2,
        "duplicate": 2,
    }
    assert made.manifest["overlaps"] == {"exact": 1, "lower": 4, "words": 4}


def test_a_text_under_two_labels_goes_from_every_split(place: Place) -> None:
    rows = [*BASE, Row("torn", "a", LEARN[1]), Row("Torn", "b", JUDGE[1]), Row("torn", "a")]
    made = place.prepare(Rows(rows=rows))
    assert manifest_counts(made, "exclusions") == {"contradiction": 3}
    assert made.manifest["counts"] == {"train": 4, "validation": 1, "test": 1}


def test_rows_of_a_label_that_is_not_learnt_are_left_out_and_counted(place: Place) -> None:
    rows = [*BASE, Row("new", "c", CHECK[1]), Row("newer", "c", JUDGE[1]), Row("ok", "a", JUDGE[1])]
    made = place.prepare(Rows(rows=rows))
    assert manifest_counts(made, "exclusions") == {"unknown_label": 2}
    assert made.manifest["labels"] == ["a", "b"]
    assert texts(place, made, TEST) == {"ok"}


def test_too_few_units_are_refused(place: Place) -> None:
    """A dataset that nothing can be judged on is none."""
    raw = place.collect(Rows(rows=[row for row in BASE if row.unit != JUDGE[0]]))
    with pytest.raises(MissingData, match=r"test: no row of 5; .* rows of more units"):
        place.curate(raw.digest)


@settings(max_examples=40)
@given(st.lists(st.builds(Row, TEXTS, st.sampled_from(["x", " y", ""]), UNITS), max_size=60))
def test_no_text_is_in_two_places_and_none_is_lost(some: list[Row]) -> None:
    """D7, whatever comes: every row is in one split or counted once."""
    rows = [*BASE, *some]
    with tempfile.TemporaryDirectory() as root:
        place = Place(Path(root))
        made = place.prepare(Rows(rows=rows), size=lambda: 9)
        parts = [place.rows(made, split) for split in SPLITS]
    kept = [row for part in parts for row in part]
    assert len(kept) + sum(made.manifest["exclusions"].values()) == len(rows)
    assert len({curation.lower(row.text) for row in kept}) == len(kept)
    for number, part in enumerate(parts):
        assert all(curation.place(SEED, row) == number for row in part)
    assert all(curation.clean(row) is row for row in kept)
