"""D1: lines that fine-tuning takes."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core import finetuning
from greenlight.core.errors import BadInput
from greenlight.core.exporting import SUFFIXES, Lines
from greenlight.core.messages import Message

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(str.strip)
TALK = [Message("system", "be brief"), Message("user", "hello")]


def line(form: str, text: str, label: str) -> bytes:
    """A labelled text that nothing was asked with."""
    return Lines(form).line([Message("user", text)], label)


@given(TEXTS, TEXTS)
def test_what_is_written_is_what_is_read(text: str, label: str) -> None:
    chat = json.loads(line("openai-chat", text, label))
    assert chat == {
        "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": label}]
    }
    assert json.loads(line("jsonl", text, label)) == {"prompt": text, "completion": label}
    data = (Lines("csv").head + line("csv", text, label)).decode()
    assert list(csv.reader(io.StringIO(data, newline=""))) == [["text", "label"], [text, label]]
    assert all(line(form, text, label).count(b"\n") == 1 for form in ("openai-chat", "jsonl"))


def test_several_messages_keep_their_roles() -> None:
    """D4: the instructions that an answer was asked for with go along."""
    asked = '[{"role":"system","content":"be brief"},{"role":"user","content":"hello"}]'
    assert [
        one["role"] for one in json.loads(Lines("openai-chat").line(TALK, "hi"))["messages"]
    ] == [
        "system",
        "user",
        "assistant",
    ]
    assert json.loads(Lines("jsonl").line(TALK, "hi")) == {"prompt": asked, "completion": "hi"}
    data = Lines("csv").line(TALK, "hi").decode()
    assert list(csv.reader(io.StringIO(data, newline=""))) == [[asked, "hi"]]


@pytest.mark.parametrize("form", sorted(SUFFIXES))
def test_a_line_that_a_provider_would_refuse_is_refused_here(form: str) -> None:
    lines = Lines(form)
    lines.line([Message("user", "a")], "b")
    with pytest.raises(BadInput, match=r"export row 2: messages\[0\].role: 'bot' is none of"):
        lines.line([Message("bot", "a")], "b")
    with pytest.raises(BadInput, match=r"export row 3: messages\[1\].content: no words"):
        lines.line([Message("user", "a")], "")
    with pytest.raises(BadInput, match=r"messages\[0\].content: U\+DC00 .* half a character"):
        lines.line([Message("user", "a\udc00")], "b")


@pytest.mark.parametrize(("form", "held"), [("openai-chat", True), ("jsonl", True), ("csv", False)])
def test_what_is_uploaded_is_held_against_number_and_size(form: str, held: bool) -> None:
    """A table for people may have as few rows and as long ones as it likes."""
    lines, long = Lines(form), [Message("user", "a" * 262_144)]
    lines.line([Message("user", "a")], "b")
    for call, told in ((lambda: lines.line(long, "b"), "65546 tokens"), (lines.finish, "2 rows")):
        if held:
            with pytest.raises(BadInput, match=told):
                call()
        else:
            call()
    assert lines.tally.tokens >= 11


def test_a_file_longer_than_a_provider_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetuning, "MOST_BYTES", 100)
    lines, table = Lines("jsonl"), Lines("csv")
    lines.line([Message("user", "a" * 40)], "b")
    with pytest.raises(BadInput, match="export row 2: with it the file is longer than 100 bytes"):
        lines.line([Message("user", "a" * 40)], "b")
    for _ in range(3):
        table.line([Message("user", "a" * 40)], "b")


def test_another_format_is_refused() -> None:
    with pytest.raises(BadInput, match="there are openai-chat, jsonl, csv"):
        line("xml", "text", "label")
    assert set(SUFFIXES) == {"openai-chat", "jsonl", "csv"}
