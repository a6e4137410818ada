"""Collecting (D5, D6): no personal data is ever written, and nothing is held."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from greenlight import artifacts
from greenlight.core import pii
from greenlight.core.curation import Row
from greenlight.core.errors import BadInput
from greenlight.core.records import Dataset
from tests.peaks import peaks
from tests.stages.preparing import Place, Rows, unit

MAIL = "ana@mail.example"
CLEAN = Row("where is my parcel", "a")
TEST = [Row("a", "a")]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def kept(place: Place, dataset: Dataset, split: str) -> list[Row]:
    return artifacts.read_rows(place.raw.path(dataset.digest), split, Row)


def test_personal_data_never_reaches_the_disk(place: Place) -> None:
    """D6: scrubbed before the first byte is written, counted by kind, nothing unresolved."""
    rows = [
        CLEAN,
        Row(f"write to {MAIL}, or to bea@mail.example", "a", unit("u"), "id1"),
        Row(f"{MAIL} or 07700 900123", "b"),
    ]
    dataset = place.collect(Rows(rows=rows))
    assert dataset.manifest["pii"] == {
        "scrubbed": {"email": 3, "phone": 1},
        "rows": 2,
        "unresolved": 0,
    }
    assert kept(place, dataset, "rows") == [
        CLEAN,
        Row("write to [EMAIL], or to [EMAIL]", "a", unit("u"), "id1"),
        Row("[EMAIL] or [PHONE]", "b"),
    ]
    files = [path for path in place.root.rglob("*") if path.is_file()]
    assert not any(b"mail.example" in path.read_bytes() for path in files)
    assert place.results[-1].report["pii"] == dataset.manifest["pii"]


def test_it_stays_in_the_manifest_of_what_is_made_of_it(place: Place) -> None:
    """D8"""
    train = [Row(f"mail {MAIL}", "a"), Row("other", "b")]
    made = place.prepare(Rows(train=train, test=[Row("x", "a")]))
    assert made.manifest["pii"]["scrubbed"] == {"email": 1}


def test_what_a_scrubber_misses_stops_the_run(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D6: what was written is read again, and one finding is one too many."""
    monkeypatch.setattr(pii, "scrub", lambda text, **_: pii.Scrubbed(text, {"email": 1}))
    with pytest.raises(BadInput, match=r"train: row 2: personal data was left in it \(email\)"):
        place.collect(Rows(train=[CLEAN, Row(f"to {MAIL}", "a")], test=TEST))
    assert place.nothing_is_left()
    assert not place.records.scan(Dataset)


def test_what_cannot_be_scrubbed_stops_the_run(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D6: the message names the row and repeats none of it."""
    scrub = pii.scrub
    monkeypatch.setattr(pii, "scrub", lambda text, **_: scrub(text, rounds=0))
    with pytest.raises(BadInput, match="test: row 2: personal data is left") as refused:
        place.collect(Rows(train=[CLEAN], test=[*TEST, Row(f"to {MAIL}", "a")]))
    assert MAIL not in str(refused.value)
    assert place.nothing_is_left()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Rows(train=[CLEAN, Row("x", MAIL)], test=TEST), r"train: row 2: .* the label \(email\)"),
        (Rows(train=[CLEAN], test=TEST, name=MAIL), r"in name \(email\); name the source"),
        (Rows(train=[CLEAN], test=TEST, origin=f"https://{MAIL}/x"), r"in origin \(email\)"),
        (Rows(train=[CLEAN], test=TEST, citation=f"Ana, {MAIL}"), r"in citation \(email\)"),
        (
            Rows(train=[CLEAN], test=TEST, details={"filter": {"where": ["x", MAIL]}}),
            r"in filter\.where 2 \(email\)",
        ),
        (Rows(rows=[CLEAN, Row("x", "a", "ana")]), "rows: row 2: the unit is no pseudonym"),
        (Rows(rows=[Row("x", "a\ud800")]), "rows: row 1: the label has characters"),
    ],
)
def test_personal_data_where_none_can_be_scrubbed_stops_the_run(
    place: Place, source: Rows, message: str
) -> None:
    """D6: labels, names and settings are shown to everyone."""
    with pytest.raises(BadInput, match=message) as refused:
        place.collect(source)
    assert MAIL not in str(refused.value)
    assert place.nothing_is_left()


def test_what_a_source_knows_only_in_the_end_is_in_the_manifest(place: Place) -> None:
    """D8: the digest of a file, how many rows were labelled how; and D6 holds of it too."""

    class Late(Rows):
        def chunks(self, size: Callable[[], int]) -> Iterator[tuple[str, Sequence[Row]]]:
            yield from super().chunks(size)
            self.details = {"file": found}

    found = unit("a file")
    assert place.collect(Late(rows=[CLEAN])).manifest["file"] == found
    found = MAIL
    with pytest.raises(BadInput, match=r"personal data in file \(email\)"):
        place.collect(Late(rows=[Row("other", "a")]))


def test_an_answer_that_stops_the_run_is_named(place: Place) -> None:
    """Nobody could relabel it otherwise."""
    with pytest.raises(BadInput, match=r"rows: row 1 \(answer id7\): personal data in the label"):
        place.collect(Rows(rows=[Row("x", MAIL, "", "id7")]))


def test_digests_in_the_manifest_are_no_telephone_numbers(place: Place) -> None:
    """However many digits stand in a row in one of them."""
    files = [unit(str(number)) for number in range(2000)]
    dataset = place.collect(Rows(train=[CLEAN], test=TEST, details={"seen": files}))
    assert dataset.manifest["seen"] == files


def test_a_label_column_that_is_none_is_noticed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenlight.stages.collect.MAX_LABELS", 5)
    rows = [Row(f"text {n}", f"label {n}") for n in range(6)]
    with pytest.raises(BadInput, match="row 6: more than 5 labels; is this the right column"):
        place.collect(Rows(rows=rows))


def test_characters_that_no_file_can_hold_are_replaced_and_counted(place: Place) -> None:
    """The row stays; NUL and the like are white space once curated."""
    train = [Row("half \ud83d a face", "a"), Row("nul\x00 \x1b here", "b"), Row("né", "b")]
    raw = place.collect(Rows(train=train, test=[Row("x\x00", "a")]))
    assert raw.manifest["unreadable"] == 1
    assert kept(place, raw, "train")[0].text == "half \ufffd a face"
    assert kept(place, raw, "train")[1:] == train[1:]
    made = place.curate(raw.digest)
    assert made.manifest["unreadable"] == 1
    rows = [*place.rows(made, "train"), *place.rows(made, "validation")]
    assert {row.text for row in rows} == {"half \ufffd a face", "nul here", "né"}
    assert place.rows(made, "test") == [Row("x", "a")]


class Endless(Rows):
    """A source that makes its rows as it goes."""

    count: int = 0

    @property
    def own_split(self) -> bool:
        return False

    def chunks(self, size: Callable[[], int]) -> Iterator[tuple[str, Sequence[Row]]]:
        for start in range(0, self.count, 200):
            some = range(start, min(start + 200, self.count))
            yield "rows", [Row(f"text {n}", "ab"[n % 2], unit(str(n % 50))) for n in some]


def prepare_endless(count: int) -> None:
    with TemporaryDirectory() as folder:
        Place(Path(folder)).prepare(Endless(count=count), size=lambda: 200)


def test_memory_does_not_grow_with_the_rows() -> None:
    """D5: four times the rows, the same peak; the long form is benchmarks/curation.py."""
    few, many = peaks(prepare_endless, 2000, 8000)
    assert many < 1.3 * few
