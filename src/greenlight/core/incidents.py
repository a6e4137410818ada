"""Records of what comes around a rollout: the way in through staging, and what follows its end."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from greenlight.core.record import Record


class Incident(Record, frozen=True, kw_only=True):
    """A rollback, and what was done about it afterwards (REQUIREMENTS O3).

    It is written together with the decision, so that whoever finds it open goes on with what is
    left to do: `steps` has what came of each step that is done, by name.
    """

    KEY: ClassVar[tuple[str, ...]] = ("rollout",)
    rollout: str
    task: str
    control: str
    candidate: str
    decision: str
    """The id of the decision that rolled it back."""
    code: str
    reason: str
    drill: str | None
    at: int
    steps: dict[str, Any] = msgspec.field(default_factory=dict)
    closed_at: int | None = None
    """When every step was done; None: it is open."""


class Delivery(Record, frozen=True, kw_only=True):
    """How far a channel of notifications has followed the ledger (REQUIREMENTS M5)."""

    KEY: ClassVar[tuple[str, ...]] = ("channel",)
    channel: str
    seq: int
    """The ledger's entries up to this one are delivered, given up or of no interest."""
    attempts: int
    """How often in a row it has failed; while it does, this tells how long to wait."""
    next_at: int
    """When to try again, at the earliest."""
    error: str | None
    """What went wrong the last time; None: nothing."""
    at: int
    since: int | None = None
    """When the next message was first tried in vain; None: it was not."""
    delivered: int = 0
    """How many messages were delivered so far."""
    given_up: int = 0
    """How many were not, and never will be."""


class StagingRecord(Record, frozen=True, kw_only=True):
    """A person's signed word that a bundle passed staging (REQUIREMENTS O0).

    `document` holds what they saw there: gates, load and drill. The signature covers every field
    but itself (`core.staging.statement`).
    """

    id: str
    task: str
    bundle: str
    label: str
    document: dict[str, Any]
    person: str
    signature: str
    at: int
