"""What a store answers with besides records: leases, and what evidence asks of events.

Times are microseconds since 1970-01-01 UTC, as in `core.records`.
"""

from __future__ import annotations

import msgspec

from greenlight.core.records import Variant


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
    at: int


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A unit's first failed attempt (error or timeout) in an epoch, in its assigned arm."""

    rollout: str
    epoch: int
    unit: str
    variant: Variant
    at: int


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
