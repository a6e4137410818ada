"""A channel for messages, as the stage that follows the ledger sees it."""

from __future__ import annotations

from typing import Protocol

from greenlight.core.errors import GreenlightError
from greenlight.core.notices import Notice


class NotDelivered(GreenlightError):
    """A message did not arrive. The text holds no secret: it goes on record and into the log.

    `retry` says whether it may arrive later: not if the receiver refused this very message.
    `after` is how many seconds the receiver asks to wait, if it does.
    """

    def __init__(self, message: str, *, retry: bool, after: float | None = None) -> None:
        self.retry = retry
        self.after = after
        super().__init__(message)


class Notifier(Protocol):
    """Delivers messages; called from one thread at a time."""

    name: str
    """What the channel is called in greenlight.toml."""

    def send(self, notice: Notice) -> None:
        """Hand a message over; it may take seconds.

        Whoever calls it may call it again with the same message, whose id is then the same.

        Raises:
            NotDelivered: it did not arrive, or nobody knows whether it did.
        """
        ...
