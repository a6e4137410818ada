"""D1: labelled rows go out in the shape that fine-tuning takes, without personal data."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenlight.core.curation import Row
from greenlight.core.errors import BadInput, MissingData
from greenlight.stages.export import export

ROWS = [
    [Row("where is it, please?", "card", "unit", "i1"), Row(" ", "card")],
    [Row("mail jo@example.com", "mail")],
]


@pytest.mark.parametrize("form", ["openai-chat", "jsonl", "csv"])
def test_rows_are_written_without_personal_data(tmp_path: Path, form: str) -> None:
    target = tmp_path / "folder" / "rows"
    written = export(ROWS, form, target)
    data = target.read_bytes()
    assert written.digest == "sha256:" + hashlib.sha256(data).hexdigest()
    assert (written.rows, written.empty, written.personal_data) == (2, 1, {"email": 1})
    assert b"jo@example" not in data and b"[EMAIL]" in data and b"unit" not in data
    if form == "csv":
        found = list(csv.reader(data.decode().splitlines()))
        assert found == [
            ["text", "label"],
            ["where is it, please?", "card"],
            ["mail [EMAIL]", "mail"],
        ]
    else:
        lines = [json.loads(line) for line in data.splitlines()]
        contents = [
            [message["content"] for message in line["messages"]]
            if form == "openai-chat"
            else [line["prompt"], line["completion"]]
            for line in lines
        ]
        assert contents == [["where is it, please?", "card"], ["mail [EMAIL]", "mail"]]


def test_nobody_sees_half_a_file(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    target.write_text("before")

    def broken() -> Iterator[list[Row]]:
        yield ROWS[0]
        raise MissingData("too few")

    with pytest.raises(MissingData, match="too few"):
        export(broken(), "csv", target)
    with pytest.raises(MissingData, match="no rows to export"):
        export([[Row("", "x")]], "csv", target)
    with pytest.raises(BadInput, match="a label holds personal data") as error:
        export([[Row("a", "jo@example.com")]], "csv", target)
    assert "jo@" not in str(error.value)
    assert target.read_text() == "before" and list(tmp_path.iterdir()) == [target]


def test_personal_data_goes_word_by_word_where_words_have_tags(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    rows = [[Row("call 07700 900123, Ana", "O O O B-person")]]
    export(rows, "csv", target, "tag")
    assert target.read_text() == "text,label\ncall [PHONE] [PHONE] Ana,O O O B-person\n"
    with pytest.raises(BadInput, match="a label holds personal data"):
        export([[Row("Ana", "B-jo@example.com")]], "csv", target, "tag")
