"""Files that fine-tuning takes: one answer to learn per line, with what was asked for it.

| format | a line |
|---|---|
| `openai-chat` | `{"messages": [{"role": "user", …}, {"role": "assistant", …}]}` |
| `jsonl` | `{"prompt": …, "completion": …}` |
| `csv` | `text,label`, under a line with these names |

The chat format is that of OpenAI's fine-tuning API (`core.finetuning`). In the others several
messages are one text, a JSON array of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from greenlight.core import finetuning, messages
from greenlight.core.errors import BadInput
from greenlight.core.finetuning import Tally
from greenlight.core.messages import ASSISTANT, Message

SUFFIXES = {"openai-chat": "jsonl", "jsonl": "jsonl", "csv": "csv"}
"""Format → suffix of its files."""

UPLOADED = frozenset({"openai-chat", "jsonl"})
"""Formats that a provider takes, and so held against its rules on the number of rows and on sizes;
`csv` is for tables."""


class Lines:
    """The lines of one file. Each is held against what a provider takes."""

    def __init__(self, form: str) -> None:
        """Begin with none.

        Raises:
            BadInput: no such format.
        """
        if form not in SUFFIXES:
            raise BadInput(f"format {form!r}: there are {', '.join(SUFFIXES)}", "format")
        self._form = form
        self.tally = Tally("export", limited=form in UPLOADED)

    @property
    def head(self) -> bytes:
        """What stands above the lines."""
        return b"text,label\n" if self._form == "csv" else b""

    def line(self, asked: Sequence[Message], answer: str) -> bytes:
        """An answer to learn, and what was asked for it.

        Raises:
            BadInput: a provider would not take it, or not learn all of it.
        """
        conversation = (*asked, Message(ASSISTANT, answer))
        self.tally.hold(conversation)
        if self._form == "openai-chat":
            made = finetuning.encode(conversation)
        elif self._form == "jsonl":
            made = msgspec.json.encode({"prompt": _one(asked), "completion": answer}) + b"\n"
        else:
            made = f"{_cell(_one(asked))},{_cell(answer)}\n".encode()
        self.tally.weigh(made)
        return made

    def finish(self) -> None:
        """Hold the whole against the rules.

        Raises:
            BadInput: too few rows to fine-tune on.
        """
        self.tally.finish()


def _one(asked: Sequence[Message]) -> str:
    """What was asked as one text."""
    return asked[0].content if len(asked) == 1 else messages.write(asked)


def _cell(text: str) -> str:
    if any(mark in text for mark in ',"\r\n') or not text:
        return '"' + text.replace('"', '""') + '"'
    return text
