"""What a policy is: a struct that cannot be built while it contradicts itself."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from greenlight.core.errors import PolicyError


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the policies."""

    def problems(self) -> Iterable[str]:
        """Every contradiction, as `field: what is wrong and what would be right`."""
        return ()

    def __post_init__(self) -> None:
        found = list(self.problems())
        if found:
            raise PolicyError("; ".join(found))
