"""D6, HABITS: every format that is ingested is read by the pass over personal data, or refused."""

from __future__ import annotations

import contextlib
import csv
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pyarrow
import pyarrow.parquet
import pytest

from greenlight import artifacts
from greenlight.config.dataset import KEYS, PUBLIC, SUFFIXES, DatasetSettings
from greenlight.core import messages, pii, tagging
from greenlight.core.curation import Kind, Row
from greenlight.core.errors import BadInput
from greenlight.core.labelling import LabelPolicy
from greenlight.core.messages import Message
from greenlight.datasets import PublicSource
from greenlight.ports import Example
from greenlight.ports.source import Source
from greenlight.sources.sql import SqlSource
from tests.sources import reading
from tests.sources.test_feedback import GOOD, Desk
from tests.stages.preparing import Place

MAIL, PHONE, CARD = "jo@example.com", "07700 900 123", "4111 1111 1111 1111"
IBAN = "GB29 NWBK 6016 1331 9268 19"
TEXTS = [
    f"write to {MAIL} in Rome",
    f"call ({PHONE}), Ana",
    f"{CARD}\u00a0and\t{IBAN}",
    f"{MAIL.replace('@', chr(0xFF20))} again",
    "nothing here",
]
KINDS: tuple[Kind, ...] = ("classify", "tag")
"""Those whose texts are texts; of chats below."""
Maker = Callable[[Path, list[tuple[str, str]]], Source]


def _csv(folder: Path, rows: list[tuple[str, str]]) -> Source:
    with (folder / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return reading.source(folder / "a.csv")


def _jsonl(folder: Path, rows: list[tuple[str, str]]) -> Source:
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    (folder / "a.jsonl").write_text("\n".join(lines))
    return reading.source(folder / "a.jsonl")


def _parquet(folder: Path, rows: list[tuple[str, str]]) -> Source:
    columns = dict(zip(("text", "label"), map(list, zip(*rows, strict=True)), strict=True))
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "a.parquet")
    return reading.source(folder / "a.parquet")


def _conll(folder: Path, rows: list[tuple[str, str]]) -> Source:
    sentences = [
        "".join(f"{w}\t{t}\n" for w, t in zip(text.split(), label.split(), strict=True))
        for text, label in rows
    ]
    (folder / "a.conll").write_text("\t\n".join(sentences))
    return reading.source(folder / "a.conll")


def _sql(folder: Path, rows: list[tuple[str, str]]) -> Source:
    with contextlib.closing(sqlite3.connect(folder / "a.db")) as database:
        database.execute("CREATE TABLE t (text TEXT, label TEXT)")
        database.executemany("INSERT INTO t VALUES (?, ?)", rows)
        database.commit()
    return SqlSource(
        "sqlite:///a.db",
        password=None,
        root=folder,
        query="SELECT text, label FROM t",
        task="intent",
        columns=reading.Columns(),
        bounds=reading.Bounds(),
        licence="CC0",
        citation="nobody",
        progress=lambda share, words: None,
    )


def _feedback(folder: Path, rows: list[tuple[str, str]]) -> Source:
    desk = Desk()
    for text, label in rows:
        desk.answer(text, GOOD, output=label)
    kind: Kind = "tag" if "O" in rows[0][1] else "classify"
    kind = "chat" if rows[0][0].startswith("[{") else kind
    return desk.source(policy=LabelPolicy(kind=kind))


def _public(folder: Path, rows: list[tuple[str, str]]) -> Source:
    some = [Example(*row) for row in rows]
    fine = [Example("x", rows[-1][1].split()[0])]
    return PublicSource(
        name="p", origin="o", licence="l", citation="c", train=some, validation=some, test=fine
    )


FORMATS: dict[str, Maker] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
    ".conll": _conll,
    "sql": _sql,
    "feedback": _feedback,
    "public": _public,
}


def test_no_format_is_forgotten() -> None:
    """A new one is to be added above."""
    sources: dict[str, Any] = {name: None for name in KEYS if name not in (*PUBLIC, "file")}
    assert set(FORMATS) == {*sources, *SUFFIXES, "public"}
    assert set(get_args(get_type_hints(DatasetSettings)["source"])) == {*sources, *PUBLIC, "file"}


CASES = [
    (name, kind) for name in FORMATS for kind in KINDS if (name, kind) != (".conll", "classify")
]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_it_is_taken_out_whatever_it_came_in(tmp_path: Path, name: str, kind: Kind) -> None:
    """D6: nothing of it on the disk, 0 unresolved; where words have tags each keeps its own."""
    place = Place(tmp_path / "place")
    labels = [" ".join(["O"] * len(text.split())) if kind == "tag" else "a" for text in TEXTS]
    source = FORMATS[name](tmp_path, list(zip(TEXTS, labels, strict=True)))
    made = place.collect(source, kind=kind)
    assert made.manifest["pii"]["unresolved"] == 0
    times = 2 if name == "public" else 1
    assert made.manifest["pii"]["scrubbed"] == {
        "email": 2 * times,
        "phone": times,
        "card": times,
        "iban": times,
    }
    splits = [split for split in made.manifest["counts"] if split != "test"]
    for split in splits:
        found = artifacts.read_rows(place.raw.path(made.digest), split, Row)
        assert len(found) == len(TEXTS)
        assert not any(pii.find(row.text) for row in found)
        if kind == "tag":
            for row in found:
                tagging.check(row.text, row.label)
            first = next(row for row in found if row.text.startswith("call"))
            assert first.text == "call [PHONE] [PHONE] [PHONE] Ana"
    written = b"".join(
        path.read_bytes() for path in (tmp_path / "place").rglob("*") if path.is_file()
    )
    assert not any(one.encode() in written for one in ("example.com", "900123", "1111", "NWBK"))


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in (".conll", "public")])
def test_it_is_taken_out_of_every_message_and_of_the_answer(tmp_path: Path, name: str) -> None:
    """D6: in JSON a line break is two letters, one of which would hide a number behind it."""
    place = Place(tmp_path / "place")
    rows = [
        (messages.write([Message("system", "Be kind."), Message("user", f"Hi\n{text}")]), text)
        for text in TEXTS
    ]
    assert set(get_args(Kind)) == {*KINDS, "chat"}
    made = place.collect(FORMATS[name](tmp_path, rows), kind="chat")
    assert made.manifest["pii"] == {
        "unresolved": 0,
        "rows": 4,
        "scrubbed": {"email": 4, "phone": 2, "card": 2, "iban": 2},
    }
    for row in artifacts.read_rows(place.raw.path(made.digest), "rows", Row):
        system, user = messages.read(row.text)
        assert system.content == "Be kind." and user.content.startswith("Hi\n")
        assert not pii.find(user.content) and not pii.find(row.label)
    written = b"".join(
        path.read_bytes() for path in (tmp_path / "place").rglob("*") if path.is_file()
    )
    assert not any(one.encode() in written for one in ("example.com", "900123", "1111", "NWBK"))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_label_with_personal_data_ends_the_run(tmp_path: Path, name: str, kind: Kind) -> None:
    """D6: it fails closed; what feedback says can only be left out."""
    place = Place(tmp_path / "place")
    label = f"B-{MAIL}" if kind == "tag" else MAIL
    rows = [("fine", "O" if kind == "tag" else "a"), ("odd", label)]
    source = FORMATS[name](tmp_path, rows)
    if name == "feedback":
        made = place.collect(source, kind=kind)
        assert made.manifest["exclusions"] == {"unknown_label": 1}
        return
    with pytest.raises(BadInput, match=r"row 2: personal data in the (label|tags) \(email\)"):
        place.collect(source, kind=kind)
    assert place.nothing_is_left()


def test_a_number_over_several_tags_is_found_too(tmp_path: Path) -> None:
    """D6: the column of the tags was mistaken; each part alone is harmless."""
    place = Place(tmp_path / "place")
    source = _csv(tmp_path, [("a b c d", f"O {PHONE}")])
    with pytest.raises(BadInput, match=r"personal data in the tags \(phone\)"):
        place.collect(source, kind="tag")


def test_words_may_not_move_the_tags_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D6: what is missed is seen when the rows are read again, in tags too."""
    place = Place(tmp_path / "place")
    monkeypatch.setattr(pii, "scrub", lambda text, **_: pii.Scrubbed(text, {"email": 1}))
    with pytest.raises(BadInput, match=r"rows: row 1: personal data was left in it \(email\)"):
        place.collect(_csv(tmp_path, [(MAIL, "O")]), kind="tag")
    assert place.nothing_is_left()
