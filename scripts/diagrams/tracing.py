"""Writing down who calls whom while real code runs.

Whatever is to be seen is wrapped in `Watched`, with the name of the participant that it is. Who
calls follows from the calls themselves: while a participant is at work, what it calls is its call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

_at_work: ContextVar[str] = ContextVar("at_work", default="")


class Message(msgspec.Struct, frozen=True):
    """One arrow: `kind` is `call`, `read` (of no consequence), `answer` or `note` (over source)."""

    source: str
    target: str
    text: str
    kind: str = "call"


class Trace:
    """Messages in order; while it is `open`, they are kept."""

    def __init__(self, sink: Callable[[Message], None] | None = None) -> None:
        """Begin closed; `sink` also gets every message that is kept, at once."""
        self.messages: list[Message] = []
        self.open = False
        self._sink = sink

    def add(self, source: str, target: str, text: str, kind: str = "call") -> None:
        """Write down a message."""
        if not self.open or not source:
            return
        message = Message(source, target, text, kind)
        self.messages.append(message)
        if self._sink is not None:
            self._sink(message)

    def note(self, over: str, text: str) -> None:
        """Write down words over a participant."""
        self.add(over, over, text, "note")

    @contextmanager
    def scene(self) -> Iterator[list[Message]]:
        """Keep what happens in the block, in a list of its own."""
        self.messages, self.open = [], True
        try:
            yield self.messages
        finally:
            self.open = False


@contextmanager
def acting(participant: str) -> Iterator[None]:
    """What is called in the block is called by this participant."""
    token = _at_work.set(participant)
    try:
        yield
    finally:
        _at_work.reset(token)


class Told(msgspec.Struct, frozen=True):
    """How a method's calls are told.

    `words` makes the text of a call from its arguments, None to pass it over; a text that ends with
    `?` is a call even where the `kind` is `read`. `answer` makes the text of the answer from the
    result and the text of the call. `made` wraps what is returned.
    """

    words: Callable[..., str | None]
    kind: str = "call"
    answer: Callable[[Any, str], str | None] = lambda *_: None
    made: Callable[[Any], Any] = lambda result: result
    caller: str | None = None
    """Who calls, where a loop of its own does, which nobody has called."""
    before: Callable[[], None] = lambda: None
    """Waits until the call may be made."""


class Watched:
    """Stands before an object; calls of the methods that are told of are written down."""

    def __init__(
        self, trace: Trace, target: object, participant: str, told: Mapping[str, Told]
    ) -> None:
        self._trace = trace
        self._target = target
        self._participant = participant
        self._told = told

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        told = self._told.get(name)
        return found if told is None else watched(self._trace, found, self._participant, told)


def watched(
    trace: Trace, function: Callable[..., Any], participant: str, told: Told
) -> Callable[..., Any]:
    """A function whose calls are written down as calls of a participant."""

    def begin(*given: Any, **named: Any) -> tuple[str, str | None]:
        told.before()
        words = told.words(*given, **named)
        source = told.caller or _at_work.get()
        if words is not None:
            trace.add(source, participant, words, "call" if words.endswith("?") else told.kind)
        return source, words

    def end(source: str, words: str | None, result: Any) -> Any:
        answer = None if words is None else told.answer(result, words)
        if answer is not None:
            trace.add(participant, source, answer, "answer")
        return told.made(result)

    @contextmanager
    def at_work(source: str, words: str | None) -> Iterator[None]:
        try:
            with acting(participant):
                yield
        except Exception as error:
            if words is not None:
                trace.add(participant, source, type(error).__name__, "answer")
            raise

    def call(*given: Any, **named: Any) -> Any:
        source, words = begin(*given, **named)
        with at_work(source, words):
            result = function(*given, **named)
        return end(source, words, result)

    async def call_async(*given: Any, **named: Any) -> Any:
        source, words = begin(*given, **named)
        with at_work(source, words):
            result = await function(*given, **named)
        return end(source, words, result)

    return call_async if inspect.iscoroutinefunction(function) else call


@contextmanager
def replaced(owner: Any, name: str, value: Callable[..., Any]) -> Iterator[None]:
    """Let `owner.name` be something else in the block."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def renamed(messages: Sequence[Message], names: Mapping[str, str]) -> list[Message]:
    """The messages with other names of participants."""
    return [
        Message(
            names.get(message.source, message.source),
            names.get(message.target, message.target),
            message.text,
            message.kind,
        )
        for message in messages
    ]


def collapsed(messages: Sequence[Message]) -> list[tuple[Message, int]]:
    """Each message with how often it stood in a row; reads of one by another in a row are one."""
    found: list[tuple[Message, int]] = []
    for message in messages:
        last, times = found[-1] if found else (None, 0)
        if last is not None and message.kind == last.kind == "read" and _way(message) == _way(last):
            things = dict.fromkeys([*last.text.split(", "), *message.text.split(", ")])
            found[-1] = (msgspec.structs.replace(last, text=", ".join(things)), 1)
        elif message == last:
            found[-1] = (message, times + 1)
        else:
            found.append((message, 1))
    return found


def _way(message: Message) -> tuple[str, str]:
    return message.source, message.target
