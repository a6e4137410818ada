"""Instructions at a provider that speaks OpenAI's protocol: `POST <url>/chat/completions`.

One request per text, with the prompt as the message of a user, or with the messages that the text
holds (a chat, whose answers are judged offline: the answer is its label). The answer is the first
choice's content. Where the instructions have labels and it is one of them, that is the prediction,
and its score comes from the log-probabilities of its tokens, where the provider sends them. Words
on the label are its reason, and their tokens say nothing of how sure the label is.
(OpenAI API reference, "Create chat completion".)
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from greenlight.adapters.runtimes.calls import NoLabel, chat_calls
from greenlight.adapters.runtimes.connections import ConnectionPoolManager
from greenlight.core.chat import Tokens, tokens_of
from greenlight.core.errors import ModelFailed
from greenlight.core.records import SECOND
from greenlight.models.prompt import Answered, score_of
from greenlight.ports import Clock, Prediction

AT_ONCE = 8
"""Requests under way at once for one call with many texts."""
_SHOWN = 40


class _Token(msgspec.Struct, frozen=True):
    logprob: float
    token: str = ""


class _Logprobs(msgspec.Struct, frozen=True):
    content: list[_Token] | None = None


class _Message(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Message
    logprobs: _Logprobs | None = None


class _Completion(msgspec.Struct, frozen=True):
    choices: list[_Choice]
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _Said(NamedTuple):
    answer: str
    tokens: Sequence[_Token]
    """Of the answer, with their probabilities."""
    counted: Tokens | None


_DECODER = msgspec.json.Decoder(_Completion)


class Instructions(Protocol):
    """What a version is asked and how its answers are read: a `Prompt`, or a `ChatModel`."""

    @property
    def labels(self) -> Sequence[str]:
        """Every answer there is; empty where any words are one."""
        ...

    def body(self, text: str) -> dict[str, Any]:
        """The request for a text."""
        ...

    def read(self, answer: str) -> Answered | None:
        """What an answer says; None if it is none."""
        ...


class OpenAIChatRuntime:
    """Implements `ports.Runtime` at a provider, with a deadline, a breaker and a bound (`Calls`).

    An answer that is none of the labels is the version's own failure (`error`), and no reason to
    stop asking: it does not count for the breaker, which would hide it from the evidence.
    """

    def __init__(
        self,
        url: str,
        prompt: Instructions,
        *,
        clock: Clock,
        key: str | None = None,
        timeout: int = 2 * SECOND,
        failures: int = 5,
        reset: int = 5 * SECOND,
        concurrency: int = 128,
        pools: ConnectionPoolManager | None = None,
    ) -> None:
        """Prepare; the first call connects.

        Args:
            url: the provider's base address, without `/chat/completions`.
            prompt: what is asked, of which model.
            clock: tells the breaker the time.
            key: the secret that opens the provider; it is sent and never shown.
            timeout: of one call from start to end, however many texts, in microseconds.
            failures: consecutive failures that open the breaker.
            reset: how long it stays open before one call tries again, in microseconds.
            concurrency: calls under way at once.
            pools: see `Calls`.
        """
        self._prompt = prompt
        self._calls = chat_calls(
            url,
            key,
            clock=clock,
            timeout=timeout,
            failures=failures,
            reset=reset,
            concurrency=concurrency,
            pools=pools,
        )

    @property
    def open_since(self) -> int | None:
        """See `ports.Runtime.open_since`."""
        return self._calls.open_since

    async def predict(self, texts: Sequence[str], within: float | None = None) -> list[Prediction]:
        """See `ports.Runtime.predict`.

        Raises:
            BadInput: a text that the instructions have no request for.
            NoLabel: one of the answers is none of the labels.
            ModelFailed: no answer to one of the texts.
        """
        free = asyncio.Semaphore(AT_ONCE)
        bodies = [msgspec.json.encode(self._prompt.body(text)) for text in texts]

        async def ask(body: bytes) -> _Said:
            async with free:
                return self._read(await self._calls.post(body))

        async with self._calls.call(within):
            try:
                async with asyncio.TaskGroup() as group:
                    asked = [group.create_task(ask(body)) for body in bodies]
            except* ModelFailed as failures:
                raise failures.exceptions[0] from failures
        return [self._prediction(task.result()) for task in asked]

    async def close(self) -> None:
        """See `ports.Runtime.close`."""
        await self._calls.close()

    def _prediction(self, found: _Said) -> Prediction:
        answer, tokens = found.answer, found.tokens
        said = self._prompt.read(answer)
        if said is None:
            many = len(self._prompt.labels)
            what = f"none of the {many} labels" if many else "no answer"
            told = f"{self._calls.url}: {answer[:_SHOWN]!r} is {what}"
            raise NoLabel(told, found.counted)
        if said.end < len(answer):
            tokens = _first(tokens, answer, said.end)
        score = score_of([token.logprob for token in tokens])
        return Prediction(said.label, score, reason=said.reason, tokens=found.counted)

    def _read(self, body: bytes) -> _Said:
        try:
            found = _DECODER.decode(body)
        except msgspec.DecodeError as error:
            raise ModelFailed(f"{self._calls.url}: no completion: {error}") from error
        if not found.choices:
            raise ModelFailed(f"{self._calls.url}: a completion without a choice")
        first = found.choices[0]
        tokens = first.logprobs.content if first.logprobs else None
        return _Said(first.message.content or "", tokens or (), _counted(found.usage))


def _counted(usage: msgspec.Raw) -> Tokens | None:
    """What was counted; an answer is an answer though the count of its tokens cannot be read."""
    try:
        return tokens_of(usage)
    except msgspec.DecodeError:
        return None


def _first(tokens: Sequence[_Token], answer: str, end: int) -> Sequence[_Token]:
    """The tokens that `answer[:end]` is made of; all of them where they are not the answer's."""
    text = ""
    for number, token in enumerate(tokens):
        text += token.token
        if len(text) >= end:
            return tokens[: number + 1] if answer.startswith(text) else tokens
    return tokens
