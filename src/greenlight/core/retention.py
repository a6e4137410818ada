"""What is erased, by age or by unit, and what takes the place of a name (REQUIREMENTS D11).

E is a fold over the journal, and the fold only needs to know which entries are of one unit. So the
entries stay, and the unit's name in them gives way to one that leads back to nobody.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from greenlight.core.labelling import pseudonym

PREFIX = "erased:"
"""How the name of an erased unit begins in the journal."""

_BYTES = 16


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants erased: everything of a task received before a moment, or of one unit
    all that was received until now."""

    task: str
    unit: str | None
    """The unit's own name; None erases by age."""
    before: int
    """Received before this moment (µs since 1970-01-01 UTC)."""
    initiator: str

    @property
    def pseudonym(self) -> str | None:
        """What stands for the unit in datasets and on the ledger."""
        return None if self.unit is None else pseudonym(self.task, self.unit)


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """Which events of a task are erased: all received before a moment, or one unit's.

    Their feedback goes with them, whenever it came.
    """

    task: str
    before: int
    """Received before this moment (µs since 1970-01-01 UTC)."""
    unit: str | None = None
    """Only this unit's; None: everybody's."""
    spare: frozenset[str] = frozenset()
    """Rollouts whose events stay: the evidence of one that is running rests on them."""
    strays_before: int | None = None
    """Feedback on answers that nobody knows goes too, if received before this; None: it stays."""


def nobody(random: Callable[[int], bytes]) -> str:
    """A name in place of an erased unit's. It is random and kept nowhere else: it names nobody."""
    return PREFIX + random(_BYTES).hex()
