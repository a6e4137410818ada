"""What a trainer can do besides whose work is done somewhere else, for money."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Cancels(Protocol):
    """A trainer whose work goes on when this process is gone."""

    def cancel(self, folder: str, config: Mapping[str, Any]) -> list[str]:
        """Cancel what trainings asked for that were killed.

        Args:
            folder: where they were to put their bundles, or a folder above.
            config: their settings.

        Returns:
            What goes on all the same, each with the reason; nothing where all is well.
        """
        ...
