"""Curation where words have tags (D7, D8): every word keeps its tag, and its case."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenlight.core import curation, tagging
from greenlight.core.curation import SPLITS, TEST, TRAIN, VALIDATION, Row
from greenlight.core.errors import BadInput, MissingData
from greenlight.core.records import Dataset
from tests.stages.preparing import Place, Rows, manifest_counts, unit

SEED = 2025
TRAIN_ROWS = [Row("Ana in Rome", "B-person O B-place"), Row("no name here", "O O O")]
TEST_ROWS = [Row("ask Bea Lima", "O B-person I-person")]
CHECK_ROWS = [Row("to Oslo", "O B-place")]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def prepared(place: Place, **rows: list[Row]) -> Dataset:
    """Curated beside the rows above."""
    given = {"train": TRAIN_ROWS, "test": TEST_ROWS} | {"validation": CHECK_ROWS}
    source = Rows(**{split: [*given[split], *rows.get(split, ())] for split in given})
    return place.prepare(source, kind="tag")


def test_the_manifest_tells_tags_and_entities(place: Place) -> None:
    """D8: labels are tags, `O` among them, and of every type both; counts are of entities."""
    made = prepared(place)
    assert made.manifest["kind"] == "tag"
    assert made.manifest["labels"] == ["B-person", "B-place", "I-person", "I-place", "O"]
    assert made.manifest["counts"] == {"train": 2, "validation": 1, "test": 1}
    assert made.manifest["per_label"] == {
        "train": {"person": 1, "place": 1},
        "validation": {"place": 1},
        "test": {"person": 1},
    }
    assert "kind" not in place.prepare(Rows(train=TRAIN_ROWS, test=[Row("x", "O O O")])).manifest


def test_words_stay_as_many_and_keep_their_case(place: Place) -> None:
    """D7: NFC, and white space as one space; within a word nothing counts as white space."""
    came = [
        Row(" ANA\t\u00a0Le\u0301a \n", " B-person  I-person "),
        Row("a\x00b \x1b of\u200bf", "B-place O O"),
    ]
    made = prepared(place, train=came)
    assert place.rows(made, "train")[2:] == [
        Row("ANA Léa", "B-person I-person"),
        Row("a\ufffdb \ufffd of\u200bf", "B-place O O"),
    ]
    assert made.manifest["changed"] == {"text": 2, "label_whitespace": 1}


def test_a_row_that_its_tags_do_not_fit_is_left_out_and_counted(place: Place) -> None:
    """HABITS: too few, too many, or something that is no tag; a stray I begins an entity."""
    came = [
        Row("two words", "O"),
        Row("one", "O O"),
        Row("Ana", "person"),
        Row("Ana", "B-"),
        Row("", "O"),
        Row("nothing", " "),
        Row("Lima", "I-person"),
    ]
    made = prepared(place, train=came)
    assert manifest_counts(made, "exclusions") == {"misfit": 4, "empty": 1, "empty_label": 1}
    assert place.rows(made, "train")[2:] == [Row("Lima", "I-person")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Row("two words", "O"), "test: row 2 is not tagged: 1 tags for 2 words"),
        (Row("Ana", "person"), "test: row 2 is not tagged: tag 'person'"),
        (Row(" ", "O"), "test: row 2 has no text; a benchmark row cannot be left out"),
    ],
)
def test_a_benchmark_that_is_not_tagged_is_refused(place: Place, row: Row, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        prepared(place, test=[row])
    assert place.nothing_is_left()


def test_one_text_is_in_one_place_whatever_its_case(place: Place) -> None:
    """D7: as for labels; other tags on the same words contradict, and test is left alone."""
    made = prepared(
        place,
        train=[
            Row("ASK bea LIMA", "O O O"),
            Row("to oslo", "O B-place"),
            Row("no Name here", "O O O"),
            Row("May came", "B-person O"),
            Row("may came", "O O"),
        ],
        validation=[Row("to OSLO", "O B-place"), Row("ask Bea Lima", "O B-person I-person")],
        test=[Row("ask bea lima", "O O B-place")],
    )
    assert manifest_counts(made, "exclusions") == {
        "contradiction": 4,
        "in_validation": 1,
        "duplicate": 2,
    }
    assert place.rows(made, "train") == TRAIN_ROWS
    assert place.rows(made, "validation") == CHECK_ROWS
    assert len(place.rows(made, "test")) == 2
    assert made.manifest["overlaps"] == {"exact": 1, "lower": 3, "words": 3}


def test_a_type_that_is_not_learnt(place: Place) -> None:
    """What cannot be right is not judged; in a benchmark it ends the run."""
    made = prepared(place, validation=[Row("the Wide Sargasso Sea", "O B-book I-book I-book")])
    assert manifest_counts(made, "exclusions") == {"unknown_label": 1}
    assert "B-book" not in made.manifest["labels"]
    with pytest.raises(BadInput, match="train: no row to learn from for book"):
        prepared(place, test=[Row("Emma", "B-book")])


def test_one_type_is_enough_and_none_is_not(place: Place) -> None:
    only = Rows(train=[Row("Ana", "B-person"), Row("x y", "O O")], test=[Row("Bea", "B-person")])
    assert place.prepare(only, kind="tag").manifest["labels"] == ["B-person", "I-person", "O"]
    with pytest.raises(BadInput, match="train: no row to learn from for any entity"):
        place.prepare(Rows(train=[Row("x y", "O O")], test=[Row("z", "O")]), kind="tag")


# --- validation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classify", "tag"])
def test_a_validation_split_of_its_own_stays_that(place: Place, kind: curation.Kind) -> None:
    """D9: no tenth is split off, and nobody's rows move into it."""
    labels = ("a", "b") if kind == "classify" else ("B-a O", "O B-b")
    train = [Row(f"train {n}", labels[n % 2]) for n in range(40)]
    train += [Row(f"said {n}", labels[n % 2], unit(str(n))) for n in range(40)]
    held = [Row(f"held {n}", labels[0]) for n in range(3)]
    source = Rows(train=train, validation=held, test=[Row("test 1", labels[1])])
    made = place.prepare(source, kind=kind, size=lambda: 7)
    assert place.rows(made, "train") == train
    assert place.rows(made, "validation") == held
    assert made.manifest["counts"] == {"train": 80, "validation": 3, "test": 1}
    with pytest.raises(MissingData, match=r"validation: no row of 1 .left out: in_test 1.; each"):
        place.prepare(
            Rows(train=train, validation=[Row("Test 1", labels[1])], test=source.test), kind=kind
        )


def test_a_tenth_is_split_off_where_there_is_none(place: Place) -> None:
    """Of all rows, for hardly two have the same tags; what is learnt of one row stays in train."""
    train = [
        Row(f"{n} " + "x " * n + "Ana", " ".join(["O"] * (n + 1) + ["B-person"])) for n in range(40)
    ]
    rare = [Row(f"rare {n}", f"O B-type{n}") for n in range(10)]
    made = place.prepare(Rows(train=[*train, *rare], test=TEST_ROWS[:1]), kind="tag")
    held = place.rows(made, "validation")
    assert 1 <= len(held) <= 5 and not {row.text for row in held} & {row.text for row in rare}
    assert place.rows(made, "train") == [row for row in [*train, *rare] if row not in held]
    assert len(made.manifest["per_label"]["train"]) == 11


# --- sources that are split by unit ---------------------------------------------------------------

LABELS = st.sampled_from(["B-a", "O", "B-a I-a", "O O", "B-b O", "x", ""])
ROWS = st.builds(
    Row,
    st.text(alphabet="aAé \x00\u0301\u00a0", max_size=4),
    LABELS,
    st.sampled_from(["", *(unit(name) for name in "abcdefghijkl")]),
)


def _named(split: int) -> str:
    names = (unit(str(number)) for number in range(10_000))
    return next(name for name in names if curation.place(SEED, Row("", "", name)) == split)


BASE = [
    Row("base learn", "B-a O", _named(TRAIN)),
    Row("base check", "B-a O", _named(VALIDATION)),
    Row("base judge", "B-a O", _named(TEST)),
]


@settings(max_examples=15)
@given(st.lists(ROWS, max_size=40))
def test_every_row_that_stays_is_tagged_and_none_is_lost(some: list[Row]) -> None:
    """D7, whatever comes: as many words as tags; in one split, or counted once."""
    rows = [*BASE, *some]
    with tempfile.TemporaryDirectory() as root:
        place = Place(Path(root))
        made = place.prepare(Rows(rows=rows), kind="tag", size=lambda: 9)
        parts = [place.rows(made, split) for split in SPLITS]
    kept = [row for part in parts for row in part]
    assert len(kept) + sum(made.manifest["exclusions"].values()) == len(rows)
    assert len({curation.lower(row.text) for row in kept}) == len(kept)
    for number, part in enumerate(parts):
        assert all(curation.place(SEED, row) == number for row in part)
    for row in kept:
        tagging.check(row.text, row.label)
        assert curation.clean(row, "tag") is row
    known = set(made.manifest["labels"])
    assert all(known.issuperset(row.label.split()) for part in parts[:2] for row in part)
