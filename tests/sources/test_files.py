"""Files: what is read, and what is said of those that cannot be."""

from __future__ import annotations

import gzip
import importlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from greenlight.core import fingerprint
from greenlight.core.curation import Row
from greenlight.core.errors import BadInput, MissingData, Tampered
from greenlight.core.labelling import pseudonym
from greenlight.sources.rows import OVER, Bounds, Columns
from tests.sources.reading import rows, source

HEAD = b"text,label\n"
PACKED = gzip.compress(HEAD, mtime=0)


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def parquet(path: Path, table: dict[str, list[Any]], **options: Any) -> Path:
    arrow, files = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    files.write_table(arrow.table(table), path, **options)
    return path


# What is read


def test_csv_passes_through_untouched(tmp_path: Path) -> None:
    """Texts keep line breaks, quotes and white space; curation says what becomes of them."""
    data = b'\xef\xbb\xbfid,label,text\r\n1, card ,"a ""b"",\r\nc "\r\n\r\n2,x,\xc3\xa9\n3,,'
    assert rows(write(tmp_path, "a.csv", data)) == [
        Row('a "b",\r\nc ', " card "),
        Row("é", "x"),
        Row("", ""),
    ]


def test_json_lines_pass_through_untouched(tmp_path: Path) -> None:
    data = b'{"label": "x", "text": " \\u00e9\\n", "more": [1]}\n\n  \n{"text":"b","label":"y"}'
    assert rows(write(tmp_path, "a.jsonl", data)) == [Row(" é\n", "x"), Row("b", "y")]


def test_parquet_is_read_in_batches(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(2500)]
    table = {"more": list(range(2500)), "text": texts, "label": ["x"] * 2500}
    path = parquet(tmp_path / "a.parquet", table, row_group_size=700)
    chunks = [list(chunk) for _, chunk in source(path).chunks(lambda: 999)]
    assert [len(chunk) for chunk in chunks] == [999, 999, 502]
    assert [row.text for chunk in chunks for row in chunk] == texts


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_columns_go_by_other_names_and_units_become_pseudonyms(tmp_path: Path, suffix: str) -> None:
    """D11: a data set does not hold who somebody is."""
    path = tmp_path / f"a.{suffix}"
    named = {"q": ["a", "b"], "intent": ["x", "y"], "customer": ["ana", ""]}
    if suffix == "csv":
        path.write_text("q,intent,customer\na,x,ana\nb,y,\n")
    elif suffix == "jsonl":
        lines = [
            dict(zip(named, cells, strict=True)) for cells in zip(*named.values(), strict=True)
        ]
        path.write_text("\n".join(json.dumps(line) for line in lines))
    else:
        parquet(path, named | {"customer": ["ana", None]})
    found = rows(path, Columns("q", "intent", "customer"))
    assert found == [Row("a", "x", pseudonym("intent", "ana")), Row("b", "y")]
    assert rows(path, Columns("q", "intent")) == [Row("a", "x"), Row("b", "y")]


def test_a_source_tells_what_it_is(tmp_path: Path) -> None:
    """D8: the manifest names the file by its content, and nothing of this machine."""
    path = write(tmp_path, "a.csv", HEAD + b"a,x\n" * 5)
    made = source(path, bounds=Bounds(most=3))
    chunks = list(made.chunks(lambda: 2))
    assert [(split, len(chunk)) for split, chunk in chunks] == [("rows", 2), ("rows", 1)]
    assert dict(made.exclusions) == {OVER: 2} and made.queries == 0 and not made.own_split
    assert made.details == {
        "file": fingerprint.digest_bytes(path.read_bytes()),
        "columns": {"text": "text", "label": "label", "unit": None},
    }
    assert str(tmp_path) not in f"{made.name} {made.origin} {made.details}"


def test_too_few_rows_are_too_few(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", HEAD + b"a,x\n" * 5)
    with pytest.raises(MissingData, match=r"a\.csv: 5 rows, min_rows asks for 6"):
        rows(path, bounds=Bounds(least=6))
    assert len(rows(path, bounds=Bounds(least=5))) == 5


# What cannot be read


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", "a.csv: the file is empty"),
        ("a.jsonl", b"", "a.jsonl: the file is empty"),
        ("a.csv", b"\xef\xbb\xbf", "the file is empty; the first line names the columns"),
        ("a.csv", HEAD, "a.csv: the file has no rows"),
        ("a.jsonl", b"\n \n", "a.jsonl: the file has no rows"),
        # encoding
        (
            "a.csv",
            HEAD + b"a,x\n" + "café,y\n".encode("latin-1"),
            "row 2 (line 3): byte 4 of the line (0xE9) is no UTF-8; save the file as UTF-8",
        ),
        ("a.csv", HEAD + b"a,x\n\xe9", "row 2 (line 3): byte 1 of the line (0xE9)"),
        ("a.jsonl", b'{"text": "\xe9"}\n', "row 1 (line 1): byte 11 of the line (0xE9)"),
        ("a.csv", "text,label\na,x\n".encode("utf-16"), "it is UTF-16; save it as UTF-8"),
        ("a.csv", HEAD + b"a\0b,x\n", "row 1 (line 2): byte 2 of the line is NUL"),
        ("a.jsonl", b'{"text":\0}', "row 1 (line 1): byte 9 of the line is NUL"),
        # columns
        ("a.csv", b"txt,label\na,x\n", "a.csv: no column 'text'; did you mean 'txt'?"),
        ("a.csv", b"a,b\na,x\n", "no column 'text'; there are: a, b; no column 'label'"),
        ("a.csv", b"text;label\na;x\n", "its columns stand apart by ';', save it with commas"),
        ("a.csv", b"text,label,text\na,x,b\n", "2 columns go by the name 'text'"),
        ("a.csv", HEAD + b"a,x\na, b,x\n", "row 2 (line 3): 3 fields, expected 2 (text,label); a"),
        ("a.csv", HEAD + b"a,x\nb\n", "row 2 (line 3): 1 fields, expected 2"),
        # quotes
        ("a.csv", HEAD + b'"a" b,x\n', "row 1 (line 2): ',' expected after '\"'; a double quote"),
        ("a.csv", HEAD + b'a,x\n"b,y\nc,z\n', "a double quote is opened and never closed"),
        ("a.csv", HEAD + b'"' + b"b\n" * 100_000, "row 1 (line 65538): field larger"),
        ("a.csv", HEAD + b"b" * 140_000 + b",x\n", "limit (131072); shorten the text, or close"),
        ("a.csv", HEAD + b"a\rb,x\n", "a carriage return in a text without quotes"),
        ("a.csv", HEAD + b"x" * 2_000_000, "line 2 is longer than 1048576 bytes"),
        # JSON
        ("a.jsonl", b'{"text":"a","label":"x"}\n[1]\n', "row 2 (line 2): no JSON object; write"),
        ("a.jsonl", b"\ntext,label\n", "row 1 (line 2): no JSON (JSON is malformed"),
        (
            "a.jsonl",
            b'{"text":"a","lable":"x"}',
            "row 1 (line 1): no 'label'; did you mean 'lable'?",
        ),
        ("a.jsonl", b'{"text":"a","label":3}', "'label' is a number, not text; write it in quotes"),
        ("a.jsonl", b'{"text":null,"label":"x"}', "'text' is empty, not text"),
        # what it is
        ("a.csv", PACKED, "a.csv: it is packed with gzip; unpack it with gunzip"),
        ("a.csv", b"PK\x03\x04....", "it is packed with ZIP (or a workbook); unpack it, or save"),
        ("a.csv", b"PAR1....", "a.csv: it is Parquet; give it the suffix of what it is"),
        ("a.parquet", HEAD + b"a,x\n", "a.parquet: it is no Parquet"),
        ("a.parquet", b"PAR1" * 9, "a.parquet: no readable Parquet ("),
        ("a.xlsx", HEAD, "no kind of file that can be read; there are: .csv, .jsonl, .parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_why(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    """D5, D6: nothing is guessed; the message names the row, what is wrong and what to do."""
    with pytest.raises(BadInput, match=re.escape(message)):
        rows(write(tmp_path, name, data))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"text": ["a"]}, "no column 'label'; there are: text"),
        ({"text": ["a", "b"], "label": ["x", None]}, "row 2: 'label' is empty, not text"),
        ({"text": ["a"], "label": [3]}, "row 1: 'label' is a number, not text"),
        ({"text": [], "label": []}, "the file has no rows"),
    ],
)
def test_parquet_that_is_not_in_order(
    tmp_path: Path, table: dict[str, list[Any]], message: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        rows(parquet(tmp_path / "a.parquet", table))


def test_parquet_with_a_name_twice_is_refused(tmp_path: Path) -> None:
    """As for CSV: nobody knows which of the two is meant."""
    arrow, files = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    table = arrow.Table.from_arrays([["a"]] * 3, names=["text", "label", "text"])
    files.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(BadInput, match="2 columns go by the name 'text'; rename one"):
        rows(tmp_path / "a.parquet")


def test_without_pyarrow_one_is_told_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = parquet(tmp_path / "a.parquet", {"text": ["a"], "label": ["x"]})

    def absent(name: str) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingData, match=re.escape("pip install 'greenlight-ml[parquet]'")):
        rows(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"a\.csv: no such file"):
        rows(tmp_path / "a.csv")
    with pytest.raises(BadInput, match=r"folder: this is a folder; name a file"):
        (tmp_path / "folder").mkdir()
        rows(tmp_path / "folder")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(BadInput, match="no file with rows"):
        rows(tmp_path / "pipe.csv")


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", HEAD + b"a,x\n")
    path.chmod(0)
    mighty = os.geteuid() == 0
    if mighty:
        os.seteuid(65534)
    try:
        with pytest.raises(BadInput, match=r"a\.csv: no permission to read it"):
            rows(path)
    finally:
        if mighty:
            os.seteuid(0)


# A file that changes while it is read


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"late,x\n")


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    os.replace(other, path)


def overwritten(path: Path) -> None:
    """In place, with the same size and the time of change set back."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"B")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (appended, "its size"),
        (replaced, "another file took its place"),
        (overwritten, "its bytes"),
        (Path.unlink, "it is gone"),
        (os.utime, "the time of its last change"),
    ],
)
@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, change: Any, what: str, late: bool
) -> None:
    """D8: what goes in is known to the byte."""
    path = write(tmp_path, "a.csv", HEAD + b"aaaaaaaa,x\n" * 150_000)
    chunks = source(path).chunks(lambda: 1000)
    for _ in range(149 if late else 1):
        next(chunks)
    change(path)
    if change is overwritten and late:  # what was read is what was named; what is there is not
        path.touch()
        what = "the time of its last change"
    with pytest.raises(Tampered, match=rf"a\.csv: changed while it was read \({what}\); copy it"):
        for _ in chunks:
            pass


def test_parquet_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"text": ["a"] * 5000, "label": ["x"] * 5000})
    chunks = source(path).chunks(lambda: 100)
    next(chunks)
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(Tampered, match="its bytes"):
        for _ in chunks:
            pass


# A broken row far down


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_row_10001_is_broken(tmp_path: Path, suffix: str) -> None:
    """D5: the message names the row. The long form, row 1,000,001, is in test_slow_files.py."""
    path = tmp_path / f"a.{suffix}"
    with path.open("wb") as file:
        broken_at(file, suffix, 10_001)
    taken = 0
    line = 10_002 if suffix == "csv" else 10_001
    with pytest.raises(BadInput, match=rf"a\.{suffix}: row 10001 \(line {line}\): "):
        for _, chunk in source(path).chunks(lambda: 1000):
            taken += len(chunk)
    assert taken == 10_000


def broken_at(file: Any, suffix: str, number: int) -> None:
    """Write good rows, then a broken one, then good ones."""
    head, good, bad = {
        "csv": (HEAD, b"where is my card?,card_arrival\n", b"where, is my card?,card_arrival\n"),
        "jsonl": (b"", b'{"text":"where is my card?","label":"card_arrival"}\n', b'{"text":"a",\n'),
    }[suffix]
    file.write(head)
    block, rest = divmod(number - 1, 1000)
    for _ in range(block):
        file.write(good * 1000)
    file.write(good * rest + bad + good * 5)
