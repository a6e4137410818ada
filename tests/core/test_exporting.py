"""D1: lines that fine-tuning takes."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.errors import BadInput
from greenlight.core.exporting import SUFFIXES, check, head, line

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


@given(TEXTS, TEXTS)
def test_what_is_written_is_what_is_read(text: str, label: str) -> None:
    chat = json.loads(line("openai-chat", text, label))
    assert chat == {
        "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": label}]
    }
    assert json.loads(line("jsonl", text, label)) == {"prompt": text, "completion": label}
    data = (head("csv") + line("csv", text, label)).decode()
    assert list(csv.reader(io.StringIO(data, newline=""))) == [["text", "label"], [text, label]]
    assert all(line(form, text, label).count(b"\n") == 1 for form in ("openai-chat", "jsonl"))


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b'{"messages": []}',
        b'{"messages": [{"role": "user", "content": "a"}]}',
        b'{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}',
        b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]}',
        b'{"messages": [{"role": "user", "content": "a"}, {"role": "bot", "content": "b"}]}',
    ],
)
def test_a_line_that_a_provider_would_refuse_is_refused_here(data: bytes) -> None:
    with pytest.raises(BadInput, match="openai-chat"):
        check("openai-chat", data)


def test_an_empty_text_or_another_format_is_refused() -> None:
    with pytest.raises(BadInput, match="no provider takes"):
        line("jsonl", "", "label")
    with pytest.raises(BadInput, match="there are openai-chat, jsonl, csv"):
        line("xml", "text", "label")
    assert set(SUFFIXES) == {"openai-chat", "jsonl", "csv"}
