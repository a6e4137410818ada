"""Messages of a conversation as JSON (D4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core import messages
from greenlight.core.errors import BadInput
from greenlight.core.messages import Message

DEEP = "[" * 5_000
"""Deeper than a decoder goes."""
MESSAGES = st.lists(st.builds(Message, st.sampled_from(["system", "user"]), st.text()), min_size=1)


@given(MESSAGES)
def test_what_is_written_is_read_again(said: list[Message]) -> None:
    clean = [Message(one.role, one.content.encode(errors="replace").decode()) for one in said]
    assert list(messages.read(messages.write(clean))) == clean


@given(MESSAGES)
def test_words_are_changed_one_by_one(said: list[Message]) -> None:
    clean = [Message(one.role, one.content.encode(errors="replace").decode()) for one in said]
    changed = messages.read(messages.each(messages.write(clean), lambda words: words + "!"))
    assert [one.content for one in changed] == [one.content + "!" for one in clean]
    assert [one.role for one in changed] == [one.role for one in clean]


def test_what_else_a_message_holds_is_left_behind() -> None:
    assert messages.read('[{"role":"user","name":"jo","content":"hi"}]') == (Message("user", "hi"),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{}",
        "[]",
        '[{"role":"user"}]',
        '[{"role":"user","content":null}]',
        '[{"role":"user","content":[{"type":"image_url"}]}]',
    ],
)
def test_what_is_no_messages_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="messages: "):
        messages.read(text)


@pytest.mark.parametrize(
    "more",
    [
        '"tool_calls":[{"id":"c1","type":"function","function":{}}]',
        '"function_call":{"name":"find","arguments":"{}"}',
        '"audio":{"id":"a1"}',
    ],
)
def test_a_message_that_is_more_than_words_is_refused(more: str) -> None:
    """What is null or empty is as good as absent: the `openai` package sends such fields back."""
    with pytest.raises(BadInput, match="a sound or calls of tools"):
        messages.read(f'[{{"role":"assistant","content":"",{more}}}]')
    name = more.partition(":")[0]
    for nothing in ("null", "[]" if "calls" in more else "{}"):
        text = f'[{{"role":"assistant","content":"hi",{name}:{nothing}}}]'
        assert messages.read(text) == (Message("assistant", "hi"),)


def test_messages_as_people_write_them_down() -> None:
    said = [Message("user", "Tea?"), Message("assistant", "Yes,\nplease.")]
    assert messages.plain(messages.write(said)) == "user: Tea?\nassistant: Yes,\nplease."


def test_what_is_nested_too_deeply_is_no_message_and_no_call() -> None:
    """Nobody stops a run with it: it is counted as no text."""
    with pytest.raises(BadInput, match="messages"):
        messages.read('[{"role": "user", "content": "hi", "name": ' + DEEP)
    assert not messages.calls_tools('[{"function": ' + DEEP)


def test_a_message_of_white_space_says_nothing() -> None:
    said = [Message("user", "hi"), Message("user", " \n")]
    assert messages.wordless(messages.write(said))
    assert not messages.wordless(messages.write(said[:1]))
