"""A prompt at a provider that speaks OpenAI's protocol: `POST <url>/chat/completions`.

One request per text, with the prompt as the message of a user. The answer is the first choice's
content; if it is one of the prompt's labels that is the prediction, and its score comes from the
log-probabilities of its tokens, where the provider sends them.
(OpenAI API reference, "Create chat completion".)
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from greenlight.adapters.runtimes.calls import NoLabel, chat_calls
from greenlight.core.errors import ModelFailed
from greenlight.core.records import SECOND
from greenlight.models.prompt import Prompt, score_of
from greenlight.ports import Clock, Prediction

AT_ONCE = 8
"""Requests under way at once for one call with many texts."""
_SHOWN = 40


class _Token(msgspec.Struct, frozen=True):
    logprob: float


class _Logprobs(msgspec.Struct, frozen=True):
    content: list[_Token] | None = None


class _Message(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Message
    logprobs: _Logprobs | None = None


class _Completion(msgspec.Struct, frozen=True):
    choices: list[_Choice]


_DECODER = msgspec.json.Decoder(_Completion)


class OpenAIChatRuntime:
    """Implements `ports.Runtime` at a provider, with a deadline, a breaker and a bound (`Calls`).

    An answer that is none of the labels is the version's own failure (`error`), and no reason to
    stop asking: it does not count for the breaker, which would hide it from the evidence.
    """

    def __init__(
        self,
        url: str,
        prompt: Prompt,
        *,
        clock: Clock,
        key: str | None = None,
        timeout: int = 2 * SECOND,
        failures: int = 5,
        reset: int = 5 * SECOND,
        concurrency: int = 128,
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
        )

    @property
    def open_since(self) -> int | None:
        """See `ports.Runtime.open_since`."""
        return self._calls.open_since

    async def predict(self, texts: Sequence[str], within: float | None = None) -> list[Prediction]:
        """See `ports.Runtime.predict`.

        Raises:
            NoLabel: one of the answers is none of the labels.
            ModelFailed: no answer to one of the texts.
        """
        free = asyncio.Semaphore(AT_ONCE)

        async def ask(text: str) -> tuple[str, float | None]:
            async with free:
                return self._read(await self._calls.post(self._request(text)))

        async with self._calls.call(within):
            try:
                async with asyncio.TaskGroup() as group:
                    asked = [group.create_task(ask(text)) for text in texts]
            except* ModelFailed as failures:
                raise failures.exceptions[0] from failures
        return [self._prediction(*task.result()) for task in asked]

    async def close(self) -> None:
        """See `ports.Runtime.close`."""
        await self._calls.close()

    def _request(self, text: str) -> bytes:
        decoding = self._prompt.decoding
        body = {
            "model": self._prompt.model,
            "messages": [{"role": "user", "content": self._prompt.render(text)}],
            "temperature": decoding.temperature,
            "seed": decoding.seed,
            "max_tokens": decoding.max_tokens,
        }
        return msgspec.json.encode(body | ({"logprobs": True} if decoding.logprobs else {}))

    def _prediction(self, answer: str, score: float | None) -> Prediction:
        label = self._prompt.label_of(answer)
        if label is None:
            many = len(self._prompt.labels)
            raise NoLabel(f"{self._calls.url}: {answer[:_SHOWN]!r} is none of the {many} labels")
        return Prediction(label, score)

    def _read(self, body: bytes) -> tuple[str, float | None]:
        try:
            choices = _DECODER.decode(body).choices
        except msgspec.DecodeError as error:
            raise ModelFailed(f"{self._calls.url}: no completion: {error}") from error
        if not choices:
            raise ModelFailed(f"{self._calls.url}: a completion without a choice")
        tokens = choices[0].logprobs.content if choices[0].logprobs else None
        return choices[0].message.content or "", score_of([token.logprob for token in tokens or ()])
