"""Files of conversations: read and checked as a provider does it, and what of them is learnt from.

A line is `{"messages": [{"role", "content"}, …]}` and ends with the assistant's answer
(OpenAI, "Supervised fine-tuning: formatting your data").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from greenlight.core.errors import BadInput, GreenlightError
from greenlight.core.finetuning import LEAST_ROWS
from greenlight.core.messages import Message
from greenlight.tuning.wire import JobError

Role = Literal["system", "developer", "user", "assistant"]


class _Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message of a training file. A weight of 0 says not to learn from it."""

    role: Role
    content: str
    name: str | None = None
    weight: Literal[0, 1] | None = None


class _Asked(msgspec.Struct, frozen=True):
    role: Role
    content: str


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    messages: Annotated[list[_Said], msgspec.Meta(min_length=2)]


class Conversation(msgspec.Struct, frozen=True):
    """What a model is asked, and the answer that it is to learn."""

    asked: Sequence[Message]
    answer: str


class Unfit(GreenlightError):
    """Files that nothing can be learnt from; `error` says why, as the API does."""

    def __init__(self, code: str, message: str, param: str) -> None:
        self.error = JobError(code=code, message=message, param=param)
        super().__init__(message)


def check_lines(path: Path) -> None:
    """Check that each line of a file is a JSON object, as a provider does it when one is uploaded.

    Raises:
        BadInput: one is not; the message names it.
    """
    count = 0
    for number, line in _lines(path):
        count += 1
        try:
            found = msgspec.json.decode(line.decode())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadInput(f"line {number} is no JSON: {error}", "file") from error
        if not isinstance(found, dict):
            raise BadInput(f"line {number} is no JSON object; write one per line", "file")
    if not count:
        raise BadInput("the file is empty; write one conversation per line", "file")


def read(path: Path) -> Iterator[Conversation]:
    """The conversations of a file, in order.

    Raises:
        BadInput: a line that is none; the message names it.
    """
    decoder = msgspec.json.Decoder(_Line)
    for number, line in _lines(path):
        try:
            messages = decoder.decode(line).messages
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadInput(f"line {number}: {error}") from error
        last = messages[-1]
        if last.role != "assistant":
            raise BadInput(
                f"line {number}: the last message is the {last.role}'s, and must be the assistant's"
            )
        if last.weight == 0:
            raise BadInput(f"line {number}: weight 0 on the answer leaves nothing to learn")
        if not last.content.strip():
            raise BadInput(f"line {number}: the assistant's answer is empty")
        if not any(message.role == "user" for message in messages):
            raise BadInput(f"line {number}: no message is the user's")
        yield Conversation(
            [Message(said.role, said.content) for said in messages[:-1]], last.content
        )


def checked(path: Path, param: str, least: int = LEAST_ROWS) -> Iterator[Conversation]:
    """The conversations of a job's file, in order.

    Args:
        path: the file.
        param: `training_file` or `validation_file`, for the message.
        least: so many are needed.

    Raises:
        Unfit: a line that is none, or too few.
    """
    count = 0
    try:
        for conversation in read(path):
            count += 1
            yield conversation
    except BadInput as error:
        raise Unfit(f"invalid_{param}", f"{param}: {error}", param) from error
    except FileNotFoundError as error:
        raise Unfit(f"invalid_{param}", f"{param}: it was deleted", param) from error
    if count < least:
        told = f"{param}: {count} conversations; at least {least} are needed"
        raise Unfit("invalid_n_examples", told, param)


class Shape:
    """What the prompts of many conversations have in common, which tells their answers not apart.

    It is the lines that stand in more than half of them: an instruction, a list of labels, a frame
    around the text. A long prompt would otherwise drown what it is asked about, of which the
    encoder reads 64 tokens.
    """

    def __init__(self, common: Iterable[str]) -> None:
        self.common = frozenset(common)

    @classmethod
    def of(cls, asked: Sequence[Sequence[Message]]) -> Shape:
        """The shape of these prompts; one prompt alone has none."""
        seen: Counter[str] = Counter()
        for messages in asked:
            seen.update({line for message in messages for line in _parts(message.content)})
        return cls(
            line for line, count in seen.items() if len(asked) > 1 and 2 * count > len(asked)
        )

    def text(self, messages: Sequence[Message]) -> str:
        """What is particular to a prompt: the last message first, for the encoder reads no more
        than the beginning. Where nothing is particular, all of the last message."""
        found = [
            line
            for message in reversed(messages)
            for line in _parts(message.content)
            if line not in self.common
        ]
        return "\n".join(found) or (messages[-1].content if messages else "")


def messages_of(found: Sequence[Any]) -> list[Message]:
    """The messages of a request: text, or parts of which those of text are read.

    Raises:
        BadInput: one that is none, or holds something else than text.
    """
    return [_message(number, one) for number, one in enumerate(found)]


def _message(number: int, found: Any) -> Message:
    where = f"messages[{number}]"
    if not isinstance(found, dict):
        raise BadInput(f"{where}: not an object", where)
    content = found.get("content")
    if isinstance(content, list):
        if any(not isinstance(part, dict) or part.get("type") != "text" for part in content):
            raise BadInput(f"{where}.content: this server reads text alone", f"{where}.content")
        content = "\n".join(str(part.get("text", "")) for part in content)
    try:
        said = msgspec.convert({"role": found.get("role"), "content": content}, _Asked)
    except msgspec.ValidationError as error:
        raise BadInput(f"{where}: {error}", where) from error
    return Message(said.role, said.content)


def _parts(content: str) -> list[str]:
    return [line for line in map(str.strip, content.splitlines()) if line]


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line
