"""What the server and the process that trains say to each other, a line of JSON each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from greenlight.tuning.wire import JobError, Metrics


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to train."""

    training: str
    validation: str | None
    base: str | None
    """Folder of the model to go on from, whose conversations are learnt once more; or none."""
    out: str
    """A folder that is not there yet."""
    cache: str
    """Folder that remembers embeddings."""
    seed: int
    epochs: int | Literal["auto"]
    """How often a conversation of the file counts against one of the base's."""
    multiplier: float
    """Of the strengths that are tried."""
    encoder: bool
    """False: TF-IDF alone is wanted."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the training says as it goes along."""

    message: str
    level: Literal["info", "warn"] = "info"
    metrics: Metrics | None = None


class Learnt(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    answers: int
    tokens: int
    """Of the file's conversations, as often as they counted."""
    best: Metrics
    steps: Sequence[Metrics]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the training's output: one of the three. After the last two it is over."""

    told: Told | None = None
    learnt: Learnt | None = None
    error: JobError | None = None
