"""Base models: those that can be fine-tuned, and asked before they are.

The plain one knows nothing: it answers with the line of the prompt's list that is most like what
it is asked about, by the letters alone. Others are fitted from a file of conversations.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from greenlight import artifacts
from greenlight.core import fingerprint
from greenlight.core.errors import BadInput
from greenlight.core.messages import Message
from greenlight.models.linear import Doubles, softmax
from greenlight.tuning.conversations import Unfit, checked

PLAIN = "greenlight-small"
_BULLET = re.compile(r"^(?:[-*•]|\d{1,3}[.)])\s+")
_LONGEST = 80
"""Characters of a line that can be one of a list."""
_SHARPNESS = 10.0
"""How much more likely a nearer line is; it is no calibrated probability."""


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """A base model: its name, and the file that it is fitted from, if there is one."""

    name: str
    conversations: Path | None = None

    def key(self, *, encoder: bool) -> str:
        """The name of the folder in which its fit is kept."""
        assert self.conversations is not None
        told = {"file": artifacts.file_digest(self.conversations), "encoder": encoder}
        return fingerprint.digest(told).removeprefix("sha256:")[:32]


def read(text: str) -> Base:
    """A base model as it stands on a command line: `NAME` or `NAME=FILE.jsonl`.

    Raises:
        BadInput: no name, one of other signs than letters, digits and -._, or no file of
            conversations.
    """
    name, mark, file = text.partition("=")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise BadInput(
            f"base {text!r}: write NAME or NAME=FILE.jsonl; a name has letters, digits and -._",
            "base",
        )
    if mark and not Path(file).is_file():
        raise BadInput(f"base {name}: there is no file {file!r}", "base")
    if not mark:
        return Base(name=name)
    try:
        for _ in checked(Path(file), "file"):
            pass
    except Unfit as error:
        raise BadInput(f"base {name}: {error}", "base") from error
    return Base(name=name, conversations=Path(file))


def nearest(messages: Sequence[Message]) -> tuple[Sequence[str], Doubles]:
    """The lines that the prompt lists, and how likely each is the answer.

    The list is the first two or more short lines in a row that end no sentence: those of a text
    that somebody wrote stand behind the instructions. What is asked about is the rest of the last
    message. Where nothing is listed, every line of the prompt but the last one is.
    """
    listed, asked = _list(messages)
    if not listed:
        lines = [line for message in messages for line in _lines(message.content)]
        listed, asked = list(dict.fromkeys(lines[:-1] or lines)), lines[-1] if lines else ""
    if not listed:
        return [""], np.ones(1)
    if not asked.strip():
        asked = messages[-1].content
    wanted = _letters(asked)
    likeness = np.array([_likeness(_letters(line), wanted) for line in listed])
    return listed, softmax(_SHARPNESS * likeness)


def _list(messages: Sequence[Message]) -> tuple[list[str], str]:
    """The lines of the first list, without their bullets, and the other lines of the last
    message."""
    listed: list[str] = []
    rest: list[str] = []
    for message in messages:
        rest = []
        for run in _runs(message.content):
            if listed or len(run) == 1:
                rest.extend(run)
            else:
                listed = list(dict.fromkeys(_BULLET.sub("", line) for line in run))
    return listed, "\n".join(rest)


def _runs(content: str) -> Iterator[list[str]]:
    """The lines of a text; those that may be of one list together, each of the others alone."""
    run: list[str] = []
    for line in [*map(str.strip, content.splitlines()), ""]:
        if line and len(line) <= _LONGEST and line[-1] not in ".:?!":
            run.append(line)
            continue
        if run:
            yield run
        run = []
        if line:
            yield [line]


def _lines(content: str) -> list[str]:
    return [line for line in map(str.strip, content.splitlines()) if line]


def _letters(text: str) -> Counter[str]:
    """Runs of three letters in the words of a text."""
    words = re.findall(r"[^\W_]+", text.lower())
    padded = (f" {word} " for word in words)
    return Counter(word[at : at + 3] for word in padded for at in range(len(word) - 2))


def _likeness(one: Counter[str], other: Counter[str]) -> float:
    """The cosine of two counts."""
    length = math.sqrt(sum(n * n for n in one.values()) * sum(n * n for n in other.values()))
    shared = sum(count * other[letters] for letters, count in one.items())
    return shared / length if length else 0.0
