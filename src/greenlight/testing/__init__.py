"""Shipped fakes: a clock that moves when told, a world of users whose true opinion is known
(`testing.world`), a provider of chat completions that answers by a rule (`testing.provider`), a
mirror in memory (`testing.mirror`), and what can be wrong with a store's file (`testing.outages`).
"""

from __future__ import annotations

from greenlight.core import fingerprint
from greenlight.core.records import SECOND
from greenlight.recording import Step


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: int = 1_800_000_000 * SECOND) -> None:
        self._now = now

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return self._now

    def advance(self, duration: int) -> None:
        """Move on by a number of microseconds; time never goes back."""
        if duration < 0:
            raise ValueError(f"a clock does not go back ({duration} µs)")
        self._now += duration


def step(stage: str, *, task: str = "intent", run: str | None = None) -> Step:
    """A step of a run that nothing else is known of, for calling a stage by itself."""
    return Step(
        run=run or f"{task}#1",
        task=task,
        stage=stage,
        inputs=fingerprint.digest({"stage": stage}),
        started_at=0,
    )
