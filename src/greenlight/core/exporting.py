"""Files that fine-tuning takes: one labelled text per line, in the shape that a provider accepts.

| format | a line |
|---|---|
| `openai-chat` | `{"messages": [{"role": "user", …}, {"role": "assistant", …}]}` |
| `jsonl` | `{"prompt": …, "completion": …}` |
| `csv` | `text,label`, under a line with these names |

The chat format is that of OpenAI's fine-tuning API for chat models
(https://platform.openai.com/docs/guides/supervised-fine-tuning), as far as a label needs it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from greenlight.core.errors import BadInput

SUFFIXES = {"openai-chat": "jsonl", "jsonl": "jsonl", "csv": "csv"}
"""Format → suffix of its files."""

_Words = Annotated[str, msgspec.Meta(min_length=1)]


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: Literal["user", "assistant"]
    content: _Words


class _Chat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    messages: Annotated[list[_Message], msgspec.Meta(min_length=2)]


class _Completion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    prompt: _Words
    completion: _Words


_SHAPES: dict[str, type[msgspec.Struct]] = {"openai-chat": _Chat, "jsonl": _Completion}


def head(form: str) -> bytes:
    """What stands above the lines."""
    return b"text,label\n" if form == "csv" else b""


def line(form: str, text: str, label: str) -> bytes:
    """A labelled text as a line of a format; it has been held against the format's schema.

    Raises:
        BadInput: no such format, or the provider would not take the line.
    """
    if form == "csv":
        return f"{_cell(text)},{_cell(label)}\n".encode()
    if form == "openai-chat":
        roles = (("user", text), ("assistant", label))
        value: Any = {"messages": [{"role": role, "content": words} for role, words in roles]}
    elif form == "jsonl":
        value = {"prompt": text, "completion": label}
    else:
        raise BadInput(f"format {form!r}: there are {', '.join(SUFFIXES)}", "format")
    return check(form, msgspec.json.encode(value)) + b"\n"


def check(form: str, data: bytes) -> bytes:
    """Hold a line of JSON against the schema of its format; returns it.

    Raises:
        BadInput: it does not fit.
    """
    try:
        found = msgspec.json.decode(data, type=_SHAPES[form])
    except msgspec.DecodeError as error:
        raise BadInput(f"{form}: a line that no provider takes ({error})") from error
    if isinstance(found, _Chat) and found.messages[-1].role != "assistant":
        raise BadInput(f"{form}: the last message must be the assistant's")
    return data


def _cell(text: str) -> str:
    if any(mark in text for mark in ',"\r\n') or not text:
        return '"' + text.replace('"', '""') + '"'
    return text
