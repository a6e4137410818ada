"""What a store answers with besides records: leases, and what evidence asks of events.

Times are microseconds since 1970-01-01 UTC, as in `core.records`.
"""

from __future__ import annotations

import msgspec

from greenlight.core.states import Variant


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to lead until `expires_at`; `token` grows with every new holder (fencing)."""

    name: str
    holder: str
    token: int
    expires_at: int


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """A unit's first inference in an epoch of a rollout: when, in which arm, at which weight."""

    rollout: str
    epoch: int
    unit: str
    variant: Variant
    weight: float
    bucket: float
    unit_source: str
    """Who named the unit: `header`, `body`, or `request` (made up fresh for this request)."""
    at: int


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A unit's first event of a kind in an epoch, in its assigned arm.

    The kinds, of attempted calls only and only while neither arm's breaker is open: `error` is
    an error or a timeout; `latency_p95`, `latency_p99` and `latency_slo` are calls that took longer
    than the rollout's bar of that name, or timed out. `shadow` is a copy that one version failed
    and the other answered; its variant is the one that failed.
    """

    rollout: str
    kind: str
    epoch: int
    unit: str
    variant: Variant
    at: int


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of feedback on one of a unit's inferences; `at` is when it was received."""

    inference: str
    value: float
    at: int
    reviewer: str | None


class Copies(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of the copies of control's requests that a candidate got in the shadow."""

    made: int = 0
    answered: int = 0
    failed: int = 0
    """Attempts that ended in an error or a timeout, or in a refusal of what control answered."""
    compared: int = 0
    """Copies that both versions answered."""
    agreed: int = 0
    """Copies to which both said the same, letter by letter."""
    latency_ms: float = 0.0
    """Mean latency of all of them."""

    def __add__(self, other: Copies) -> Copies:
        made = self.made + other.made
        total = self.latency_ms * self.made + other.latency_ms * other.made
        return Copies(
            made=made,
            answered=self.answered + other.answered,
            failed=self.failed + other.failed,
            compared=self.compared + other.compared,
            agreed=self.agreed + other.agreed,
            latency_ms=total / made if made else 0.0,
        )


class ArmSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one arm in one epoch, for display and for the served share."""

    epoch: int
    variant: Variant
    requests: int
    served: int
    """Requests that the assigned version answered itself."""
    failed: int
    """Attempted calls that ended in an error or a timeout."""
    units: int
    good: int
    bad: int
    latency_ms: float
    """Mean latency of the requests."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    """In the currency of the runtimes' prices."""
    copies: Copies = Copies()


class ArmMinute(msgspec.Struct, frozen=True, kw_only=True):
    """What one minute showed of one arm: requests by when they were received, feedback by when it
    was, and copies by when what they are of was."""

    at: int
    """When the minute began."""
    variant: Variant
    requests: int = 0
    """Calls that were answered or failed. Those refused for what was asked, and those that the
    client left, are neither."""
    failed: int = 0
    """Errors, timeouts, and calls that an open breaker kept back."""
    timed: int = 0
    """Calls that were answered or timed out: those whose latency says how long users wait."""
    p95_ms: float | None = None
    """Their 95th percentile (the nearest rank), of the assigned version's own time."""
    good: int = 0
    bad: int = 0
    """Pieces of quality feedback."""
    compared: int = 0
    agreed: int = 0
    """Copies that both versions answered, and those to which both said the same."""
    labels: dict[str, int] = {}
    """How often each was answered, by the assigned version itself, where the text was kept."""
