"""How a gateway behaves; every duration in microseconds, every size in bytes."""

from __future__ import annotations

from typing import Literal

import msgspec

from greenlight.core.records import MILLISECOND, SECOND

MIB = 1024 * 1024


class SpoolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How events travel to the store.

    `fsync` says what must have reached the disk before the answer goes out: `feedback`
    (predictions then survive a killed process, not a power cut), `always` or `never`.
    """

    fsync: Literal["feedback", "always", "never"] = "feedback"
    segment: int = 8 * MIB
    """The size that a file has from the start; where there is no room in it the next is begun."""
    bound: int = 1024 * MIB
    """Most that waits for the store; beyond it nothing is recorded or acknowledged."""
    batch: int = 1000
    """Most events that one transaction takes."""
    linger: int = 50 * MILLISECOND
    """How long the writer lets events gather before it takes a batch."""
    retry_first: int = 100 * MILLISECOND
    """Wait after a store's first refusal; doubled each time up to `retry_most`."""
    retry_most: int = 5 * SECOND


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set."""

    spool: SpoolSettings = SpoolSettings()
    shares_metrics: bool = False
    """Whether several processes are scraped as one (prometheus_client's multiprocess mode)."""
    poll: int = 250 * MILLISECOND
    """How often new routing is looked for."""
    heartbeat: int = 250 * MILLISECOND
    """How often the gateway says that it lives."""
    recheck: int = 5 * SECOND
    """How often a version in use is checked for its approvals again."""
    kill_patience: int = 2 * SECOND
    """How long a gateway that starts waits for the kill switch to be read."""
    pending: int = 60 * SECOND
    """Feedback on an unknown inference younger than this waits for it; on an older one is 404."""
    remembered: int = 100_000
    """Inferences and idempotency keys kept in memory, the latest ones."""
    max_body: int = MIB
    max_batch: int = 256
    copies_waiting: int = 128
    """Most copies that wait for a candidate in the shadow; beyond them copies are dropped."""
    copies_at_once: int = 16
    """Most copies that are being answered."""
    drain: int = 10 * SECOND
    """How long a stopping gateway tries to empty its spool; the rest waits on disk."""
