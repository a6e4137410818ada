"""What a causal language model is asked, token by token: how likely an answer is, and which it
gives.

A conversation is written down by the chat template of the model's tokenizer, or by a plain one
(`open_weights.PLAIN`). Words in it that look like a template's own marks stay words. A conversation
that is too long loses the middle of what was asked: its beginning holds the instructions, and its
end the question (Sun et al., "How to fine-tune BERT for text classification?", arXiv 1905.05583,
found head and tail to be the best part to keep).
"""

from __future__ import annotations

import copy
import importlib
import inspect
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from greenlight.core.errors import BadInput
from greenlight.core.messages import Message
from greenlight.models.linear import Doubles
from greenlight.models.open_weights import Opened, need

AT_ONCE = 16
"""Answers that are tried at once after a question."""


class Window(NamedTuple):
    """How much a model reads and says, in tokens."""

    whole: int
    """Of a conversation with its answer."""
    answer: int
    """Of an answer and its end, at most."""

    @property
    def question(self) -> int:
        """What is left for what is asked."""
        return self.whole - self.answer


class Options(NamedTuple):
    """A closed set of answers, in tokens."""

    tokens: list[list[int]]
    further: list[list[int]]
    """The tokens that would make another one of the set of it, for those that are the beginning of
    another."""


class Said(NamedTuple):
    """An answer in words, with the logarithm of the probability of each of its tokens."""

    words: str
    logprobs: list[float]
    read: int
    """Tokens of what was asked."""
    ended: bool
    """Whether the model came to its end, and not to the most that it may say."""


class Speaker:
    """A model that is asked one question at a time. Not for several threads at once."""

    def __init__(self, opened: Opened, window: Window) -> None:
        """Ask a model.

        Args:
            opened: the model; an adapter on it may go on learning.
            window: how much it reads and says.
        """
        self._torch = need("torch")
        self.network = opened.network
        self.device = opened.device
        self._tokenizer = opened.tokenizer
        self.end: int = opened.tokenizer.eos_token_id
        self.window = window
        # Templates are Jinja's, which comes with torch.
        self._refusal: type[Exception] = importlib.import_module("jinja2").TemplateError

    def question(self, messages: Iterable[Message]) -> tuple[list[int], bool]:
        """The tokens of what is asked, up to where the answer begins, and whether that was cut.

        Raises:
            BadInput: the chat template takes no such messages, as some take no system message.
        """
        try:
            ids: list[int] = self._tokenizer.apply_chat_template(
                [{"role": message.role, "content": message.content} for message in messages],
                add_generation_prompt=True,
                sanitize_control_tokens=True,
                return_dict=False,
            )
        except self._refusal as error:
            raise BadInput(
                f"messages: the model's chat template does not take them: {error}", "messages"
            ) from error
        room = self.window.question
        if len(ids) <= room:
            return ids, False
        return ids[: room // 2] + ids[len(ids) - (room - room // 2) :], True

    def answer(self, words: str) -> list[int]:
        """The tokens of an answer, without its end."""
        ids: list[int] = self._tokenizer(
            words, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False
        )["input_ids"]
        return ids

    def options(self, answers: Sequence[str]) -> Options:
        """A closed set of answers, to be tried by `likelihoods`.

        Raises:
            BadInput: two of them are the same to the model, or one is nothing.
        """
        tokens = [self.answer(words) for words in answers]
        seen: dict[tuple[int, ...], str] = {(): ""}
        for words, own in zip(answers, tokens, strict=True):
            other = seen.setdefault(tuple(own), words)
            if other != words or not own:
                raise BadInput(
                    f"labels: {words!r} and {other!r} are the same to the model's tokenizer; "
                    "rename one, or teach another base",
                    "labels",
                )
        further = [
            sorted({other[len(own)] for other in tokens if _begins(other, own)}) for own in tokens
        ]
        return Options(tokens, further)

    def likelihoods(self, question: Sequence[int], options: Options) -> Doubles:
        """The logarithm of the probability of each answer of a closed set, [answers].

        It is that of all of its tokens, and that no other one of the set follows from it: what
        else the model would say after it does not matter. It is not divided by the number of
        tokens, which would favour long answers whose beginning says it all.
        """
        with self._torch.inference_mode():
            outputs = self._next([question])
            first = self._logs(outputs.logits[0, -1])
            found = np.zeros(len(options.tokens))
            later = []
            for number, (tokens, further) in enumerate(zip(*options, strict=True)):
                found[number] = first[tokens[0]]
                if len(tokens) > 1 or further:
                    later.append(number)
            for start in range(0, len(later), AT_ONCE):
                batch = later[start : start + AT_ONCE]
                for number, rest in zip(
                    batch, self._rests(outputs.cache, batch, options), strict=True
                ):
                    found[number] += rest
        return found

    def says(self, question: Sequence[int], *, begun: Sequence[int] = ()) -> Said:
        """The answer that the model gives: at each step the likeliest token, up to its end.

        Args:
            question: the tokens of what is asked.
            begun: the tokens that the answer begins with; what is said goes on from there.
        """
        tokens: list[int] = []
        logprobs: list[float] = []
        with self._torch.inference_mode():
            outputs = self._next([[*question, *begun]])
            while True:
                logs = self._logs(outputs.logits[0, -1])
                token = int(logs.argmax())
                logprobs.append(float(logs[token]))
                if token == self.end:
                    break
                tokens.append(token)
                if len(begun) + len(tokens) >= self.window.answer:
                    break
                outputs = self._next([[token]], outputs.cache)
        words: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return Said(words, logprobs, len(question), len(logprobs) > len(tokens))

    def _rests(self, past: Any, batch: Sequence[int], options: Options) -> Iterator[float]:
        """What the tokens after the first add, for some of the answers."""
        rows = [options.tokens[number] for number in batch]
        width = max(map(len, rows))
        # What stands to the right of a row's end is not seen by it.
        padded = [row + [0] * (width - len(row)) for row in rows]
        past = copy.deepcopy(past)
        past.batch_repeat_interleave(len(rows))
        logits = self._next(padded, past, every=True).logits
        for place, (row, number) in enumerate(zip(rows, batch, strict=True)):
            logs = self._logs(logits[place, : len(row)])
            steps = logs[np.arange(len(row) - 1), row[1:]]
            more = math.fsum(np.exp(logs[-1][options.further[number]]))
            yield math.fsum(steps) + math.log1p(-min(more, 1 - 1e-12))

    def _next(self, rows: Sequence[Sequence[int]], past: Any = None, *, every: bool = False) -> Any:
        """What the model makes of tokens after what it has read."""
        less = {} if every or not _can_skip(self.network) else {"logits_to_keep": 1}
        ids = self._torch.tensor(rows, device=self.device)
        return self.network(input_ids=ids, cache=past, use_cache=True, **less)

    def _logs(self, logits: Any) -> Doubles:
        logs: Doubles = self._torch.log_softmax(logits.double(), dim=-1).cpu().numpy()
        return logs


def _begins(other: Sequence[int], own: Sequence[int]) -> bool:
    return len(other) > len(own) and list(other[: len(own)]) == list(own)


def _can_skip(network: Any) -> bool:
    """Whether it can leave out the scores of all tokens but the last."""
    inner = network.get_base_model() if hasattr(network, "get_base_model") else network
    return "logits_to_keep" in inspect.signature(inner.forward).parameters
