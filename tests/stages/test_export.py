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
MORE = [[Row(f"text {n}", "card") for n in range(8)]]
"""As many as a provider wants, with `ROWS`."""
PROMPT = {
    "kind": "prompt",
    "template": "Which of {labels} is it?\n{input}",
    "model": "small",
    "labels": ["card", "mail"],
    "settings": {},
}
CHAT = {"kind": "chat", "model": "small", "system": "be brief", "defaults": {}}


@pytest.mark.parametrize("form", ["openai-chat", "jsonl", "csv"])
def test_rows_are_written_without_personal_data(tmp_path: Path, form: str) -> None:
    target = tmp_path / "folder" / "rows"
    written = export(ROWS + MORE, form, target)
    data = target.read_bytes()
    assert written.digest == "sha256:" + hashlib.sha256(data).hexdigest()
    assert (written.rows, written.empty, written.personal_data) == (10, 1, {"email": 1})
    assert written.tokens.low < written.tokens.likely == 124 < written.tokens.high
    assert b"jo@example" not in data and b"[EMAIL]" in data and b"unit" not in data
    if form == "csv":
        found = list(csv.reader(data.decode().splitlines()))
        assert found[:3] == [
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
        assert contents[:2] == [["where is it, please?", "card"], ["mail [EMAIL]", "mail"]]


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


def test_rows_go_out_as_they_were_served(tmp_path: Path) -> None:
    """D4: with the instructions of the version that answered, and all that was said."""
    target = tmp_path / "rows.jsonl"
    known: dict[str, dict[str, object]] = {}

    def chunks() -> Iterator[list[Row]]:
        yield MORE[0]
        known["sha256:p"] = PROMPT
        yield [Row("where {is} it", "card", prompt="sha256:p")]
        known["sha256:q"] = PROMPT | {"template": "{input} {labels}"}
        yield [
            Row("mail jo@example.com", "mail", prompt="sha256:q", answer="mail: to jo@example.com")
        ]

    written = export(chunks(), "openai-chat", target, prompts=lambda: known)
    lines = [json.loads(line)["messages"] for line in target.read_text().splitlines()]
    assert lines[8:] == [
        [
            {"role": "user", "content": "Which of card\nmail is it?\nwhere {is} it"},
            {"role": "assistant", "content": "card"},
        ],
        [
            {"role": "user", "content": "mail [EMAIL] card\nmail"},
            {"role": "assistant", "content": "mail: to [EMAIL]"},
        ],
    ]
    assert written.personal_data == {"email": 2}


def test_a_chat_goes_out_message_by_message(tmp_path: Path) -> None:
    """D1, D6: roles as they were, the version's instructions before them, no personal data."""
    target = tmp_path / "rows.jsonl"
    text = json.dumps([{"role": "user", "content": "I am jo@example.com\n\u00e9"}])
    rows = [Row(text, "hello jo@example.com", prompt="sha256:c"), Row(text, "hi")]
    found = export([rows * 5], "openai-chat", target, "chat", lambda: {"sha256:c": CHAT})
    first, second, *_ = (json.loads(line)["messages"] for line in target.read_text().splitlines())
    assert first == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "I am [EMAIL]\n\u00e9"},
        {"role": "assistant", "content": "hello [EMAIL]"},
    ]
    assert [one["role"] for one in second] == ["user", "assistant"]
    assert found.personal_data == {"email": 15}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([Row("a", "x")] * 9, "export: 9 rows, and a provider trains on 10 or more"),
        ([Row("a" * 300_000, "x")] * 10, "export row 1: messages: some 75010 tokens"),
        ([Row("a", "x", prompt="sha256:gone")] * 10, "sha256:gone: the dataset does not hold"),
    ],
)
def test_what_no_provider_takes_is_not_written(tmp_path: Path, rows: list[Row], told: str) -> None:
    """D1: said before anything is uploaded, and before there is a file."""
    with pytest.raises(BadInput, match=told):
        export([rows], "openai-chat", tmp_path / "rows.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["openai-chat", "jsonl", "csv"])
def test_a_chat_with_a_message_of_white_space_is_not_in_the_file(tmp_path: Path, form: str) -> None:
    rows = [
        Row(json.dumps([{"role": "user", "content": words}]), "Hello!")
        for words in [*(f"hi {n}" for n in range(10)), " "]
    ]
    written = export([rows], form, tmp_path / "rows", "chat")
    assert (written.rows, written.empty) == (10, 1)
