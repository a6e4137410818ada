"""What a record is, and how time is counted in it."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

MILLISECOND = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value that a store keeps."""

    KEY: ClassVar[tuple[str, ...]] = ("id",)

    @property
    def key(self) -> tuple[Any, ...]:
        """The values of the key fields."""
        return tuple(getattr(self, name) for name in self.KEY)
