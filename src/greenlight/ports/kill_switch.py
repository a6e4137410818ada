"""The kill switch, as whoever obeys it sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from greenlight.core.killing import KillEntry


class KillSwitch(Protocol):
    """The last valid word on each task; used from several threads at once.

    It never fails: what it cannot read leaves what it knows in force.
    """

    def look(self) -> Sequence[str]:
        """Read what is new; returns what is wrong now, a line for each fault, or nothing.

        It may wait for as long as the place does where the words are kept.
        """
        ...

    def entries(self) -> Mapping[str, KillEntry]:
        """Task → the last valid word on it that was ever read; it never waits."""
        ...
