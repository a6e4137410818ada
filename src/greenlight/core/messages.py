"""The messages of a conversation, as language models are asked and taught.

(OpenAI API reference, "Create chat completion": `messages`; the form of fine-tuning files is the
same.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from greenlight.core.errors import BadInput

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
"""Who says something, by the names of the protocol."""


class Message(msgspec.Struct, frozen=True):
    """What somebody says. Only words: images, sounds and calls of tools are none."""

    role: str
    content: str


class _Came(msgspec.Struct, frozen=True):
    """A message as a client sent it, with what makes it more than words."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str
    tool_calls: list[Any] | None = None
    function_call: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None

    @property
    def words_alone(self) -> bool:
        return not (self.tool_calls or self.function_call or self.audio)


_DECODER = msgspec.json.Decoder(tuple[_Came, ...])
_CALL = re.compile(r"\s*\[\s*\{")
_CALLS = ("function", "custom")
"""What a call of a tool has beside its id, one or the other."""


def read(text: str) -> tuple[Message, ...]:
    """Messages from a JSON array of them; what else they hold is left behind.

    Raises:
        BadInput: it is no such array, or one of the messages is not words alone.
    """
    try:
        found = _DECODER.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadInput(f"messages: not a JSON array of role and content in words ({error})") from (
            error
        )
    if not found:
        raise BadInput("messages: there are none")
    if not all(one.words_alone for one in found):
        raise BadInput("messages: one of them has a sound or calls of tools")
    return tuple(Message(one.role, one.content) for one in found)


def plain(text: str) -> str:
    """The messages of a JSON array as people would write them down, for comparing.

    Raises:
        BadInput: as `read`.
    """
    return "\n".join(f"{one.role}: {one.content}" for one in read(text))


def wordless(text: str) -> bool:
    """Whether one of the messages of a JSON array is nothing but white space.

    Raises:
        BadInput: as `read`.
    """
    return not all(one.content.strip() for one in read(text))


def calls_tools(answer: str) -> bool:
    """Whether a recorded answer is calls of tools (`core.chat`: a JSON array of them, or one after
    the other as a stream brings them) and not words."""
    if _CALL.match(answer) is None:
        return False
    decoder, at = json.JSONDecoder(), 0
    while at < len(answer):
        try:
            found, at = decoder.raw_decode(answer, at)
        except (ValueError, RecursionError):
            return False
        if not isinstance(found, list) or not all(map(_is_call, found)):
            return False
    return True


def _is_call(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(value.get(name), dict) for name in _CALLS)


def write(messages: Iterable[Message]) -> str:
    """Messages as a JSON array; equal messages give equal texts."""
    return msgspec.json.encode(tuple(messages)).decode()


def each(text: str, change: Callable[[str], str]) -> str:
    """The messages of a JSON array with their words changed one by one.

    What looks for something in words must not look at JSON, where a line break is two letters.

    Raises:
        BadInput: as `read`.
    """
    return write(msgspec.structs.replace(one, content=change(one.content)) for one in read(text))
