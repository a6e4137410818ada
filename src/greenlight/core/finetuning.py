"""What a provider of fine-tuning takes, and what it asks for it: known before anything is uploaded.

A training file has one conversation per line: `{"messages": [{"role", "content"}, …]}`, the last
message being the assistant's, which is what is learnt. The rules are those of OpenAI's API, which
other providers keep to (https://platform.openai.com/docs/guides/supervised-fine-tuning; the size of
files: API reference, "Upload file").
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from greenlight.core.errors import BadInput
from greenlight.core.messages import ASSISTANT, SYSTEM, USER, Message

ROLES = (SYSTEM, "developer", USER, ASSISTANT)
"""Who may say something in a training file. Calls of tools are not learnt here."""

LEAST_ROWS = 10
"""Conversations of a training file."""
MOST_BYTES = 512_000_000
"""Of a file."""
MOST_TOKENS = 65_536
"""Of a conversation, for most models. Of a longer one the provider would cut off the end, which is
the answer."""

BYTES_PER_TOKEN = 4
PER_MESSAGE = 3
"""Tokens that stand around a message, and once more before an answer (OpenAI cookbook, "How to
count tokens with tiktoken")."""
LOW, HIGH = 0.55, 1.6
"""The true count of tokens lies within these shares of the estimate. Measured with the vocabularies
o200k_base and cl100k_base on English, German, French, Spanish, Russian, Arabic, Hindi, Thai,
Chinese, Japanese and Korean texts: 0.56 (Hindi, o200k_base) to 1.56 (Arabic, cl100k_base), and 0.79
to 1.10 on English questions, prose and code."""

USUAL_EPOCHS, MOST_EPOCHS = 3, 25
FEW_EXAMPLES, MANY_EXAMPLES = 100, 25_000
"""How a provider chooses epochs by itself: three, more where these would be fewer than
`FEW_EXAMPLES` conversations in all, and fewer where they would be more than `MANY_EXAMPLES` (OpenAI
cookbook, "Data preparation and analysis for chat model fine-tuning")."""

MILLION = 1_000_000
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Range(msgspec.Struct, frozen=True):
    """An estimate, and between what the true value lies."""

    low: float
    likely: float
    high: float

    def times(self, factor: float) -> Range:
        """The range of so many times the value."""
        return Range(self.low * factor, self.likely * factor, self.high * factor)


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a training will take, before it is asked for."""

    rows: int
    epochs: int
    tokens: Range
    """That are trained on, over all epochs."""
    cost: Range | None
    """In the currency of the price; None where no price is known."""


class Tally:
    """Holds conversations against the rules one by one, and adds up what they come to."""

    def __init__(
        self, what: str = "train", most_tokens: int = MOST_TOKENS, *, limited: bool = True
    ) -> None:
        """Begin with nothing.

        Args:
            what: the rows' name in messages, such as the split that they are of.
            most_tokens: of a conversation.
            limited: whether sizes are held against limits; otherwise they are only added up.
        """
        self._what = what
        self._most = most_tokens
        self._limited = limited
        self.rows = self.bytes = self.tokens = 0

    def add(self, conversation: Sequence[Message]) -> bytes:
        """The line of a training file that a conversation is.

        Raises:
            BadInput: as `hold` and `weigh`.
        """
        self.hold(conversation)
        line = encode(conversation)
        self.weigh(line)
        return line

    def hold(self, conversation: Sequence[Message]) -> None:
        """Hold one more conversation against the rules.

        Raises:
            BadInput: the provider would not take it, or not learn all of it; the message names row,
                field and value.
        """
        self.rows += 1
        fault = _fault(conversation)
        if fault is not None:
            field, said = fault
            raise BadInput(
                f"{self._where}: {field}: {said}; mend the row or leave it out",
                field.rpartition(".")[2],
            )
        tokens = tokens_of(conversation)
        if self._limited and tokens > self._most:
            raise BadInput(
                f"{self._where}: messages: some {tokens} tokens, and the provider learns "
                f"{self._most} at most and cuts off the rest, with the answer; shorten the row or "
                "leave it out",
                "messages",
            )
        self.tokens += tokens

    def weigh(self, line: bytes) -> None:
        """Add the line of the conversation that was held last.

        Raises:
            BadInput: with it the file is longer than the provider takes.
        """
        self.bytes += len(line)
        if self._limited and self.bytes > MOST_BYTES:
            raise BadInput(
                f"{self._where}: with it the file is longer than {MOST_BYTES} bytes, which is what "
                "a provider takes at most; take fewer rows (max_rows)",
                "file",
            )

    def finish(self) -> None:
        """Hold the whole against the rules.

        Raises:
            BadInput: there are too few rows.
        """
        if self._limited and self.rows < LEAST_ROWS:
            raise BadInput(
                f"{self._what}: {self.rows} rows, and a provider trains on {LEAST_ROWS} or more; "
                "look further back, or wait for feedback",
                "rows",
            )

    @property
    def _where(self) -> str:
        return f"{self._what} row {self.rows}"


def encode(conversation: Sequence[Message]) -> bytes:
    """A line of a training file; equal conversations give equal bytes."""
    return msgspec.json.encode({"messages": conversation}) + b"\n"


def tokens_of(conversation: Sequence[Message]) -> int:
    """About how many tokens a conversation has (`LOW`, `HIGH`).

    A quarter of the bytes in UTF-8, which no vocabulary has to be fetched for.
    """
    words = sum(math.ceil(len(one.content.encode()) / BYTES_PER_TOKEN) for one in conversation)
    return words + PER_MESSAGE * (len(conversation) + 1)


def epochs_of(rows: int, wanted: int | str) -> int:
    """Over how many epochs so many rows are trained on: as wanted, or as the provider would choose
    where it is left to it (`auto`)."""
    if isinstance(wanted, int):
        return wanted
    if rows * USUAL_EPOCHS < FEW_EXAMPLES:
        return min(MOST_EPOCHS, FEW_EXAMPLES // max(1, rows))
    if rows * USUAL_EPOCHS > MANY_EXAMPLES:
        return max(1, MANY_EXAMPLES // rows)
    return USUAL_EPOCHS


def estimate(tally: Tally, epochs: int | str, price: float | None) -> Estimate:
    """What training on the rows of a tally will take.

    Args:
        tally: over the training rows; those of validation are not charged for.
        epochs: as wanted, or `auto`.
        price: of a million tokens that are trained on.
    """
    rounds = epochs_of(tally.rows, epochs)
    tokens = token_range(tally.tokens).times(rounds)
    cost = None if price is None else tokens.times(price / MILLION)
    return Estimate(rows=tally.rows, epochs=rounds, tokens=tokens, cost=cost)


def token_range(estimated: int) -> Range:
    """Between what the true count of tokens lies."""
    return Range(round(estimated * LOW), estimated, round(estimated * HIGH))


def ceiling(cost: float) -> float:
    """A cost in four digits, and no less than it is."""
    if cost <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(cost)) - 3)
    return float(f"{math.ceil(cost / unit) * unit:.10g}")


def billed(tokens: int | None, price: float | None) -> float | None:
    """What was charged for so many tokens; None where one of both is not known."""
    return None if tokens is None or price is None else tokens * price / MILLION


def told(found: Estimate) -> dict[str, Any]:
    """An estimate as a report keeps it."""
    kept: dict[str, Any] = msgspec.to_builtins(found)
    return kept


def _fault(conversation: Sequence[Message]) -> tuple[str, str] | None:
    """What is wrong with a conversation, as the field and what is to be said of it."""
    for number, message in enumerate(conversation):
        if message.role not in ROLES:
            said = f"{message.role!r} is none of {', '.join(ROLES)}"
            return f"messages[{number}].role", said
        if not message.content or message.content.isspace():
            return f"messages[{number}].content", "no words"
        broken = None if message.content.isascii() else _SURROGATE.search(message.content)
        if broken:
            return f"messages[{number}].content", (
                f"U+{ord(broken[0]):04X} at character {broken.start()} is half a character, which "
                "no UTF-8 holds"
            )
    if len(conversation) < 2:
        return "messages", f"{len(conversation)}, and a question and an answer are needed"
    if conversation[-1].role != ASSISTANT:
        return f"messages[{len(conversation) - 1}].role", (
            f"{conversation[-1].role!r}; the last message is what is learnt, and must be the "
            f"{ASSISTANT}'s"
        )
    return None
