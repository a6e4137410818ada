"""What an example's driver asks of the people whom the example is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

Conversation = list[dict[str, str]]
"""Messages as a provider learns from them: `{"role", "content"}`, the answer at the end."""


class Visit(NamedTuple):
    """Somebody asks."""

    text: str
    """The message."""
    about: str
    """What only the world knows of it."""


class Word(NamedTuple):
    """One piece of feedback on an answer, some time after it."""

    metric: str
    value: float | str
    delay: float
    """Seconds."""
    reason_code: str | None = None
    comment: str | None = None
    correction: str | None = None


class World(Protocol):
    """A seeded world. What it draws, it draws from the generator that it is given."""

    name: str
    """Of the example, and of its template (`greenlight init --template NAME`)."""
    task: str
    base: str
    """What the provider calls the model that everything begins with."""
    hurry: Mapping[str, str]
    """What stands once in greenlight.toml → what stands there instead, so that a rollout of weeks
    takes a minute."""

    def conversations(self, rng: np.random.Generator) -> Iterator[Conversation]:
        """What the base model is fitted from."""
        ...

    def visit(self, season: int, rng: np.random.Generator) -> Visit:
        """What somebody asks in a season: 1, or 2, in which there is something new."""
        ...

    def hear(self, visit: Visit, answer: str, rng: np.random.Generator) -> Sequence[Word]:
        """What is said of an answer, by reviewers and by what people then do."""
        ...
