"""The port of models that talk: what the gateway asks of a version of a `chat` task."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from greenlight.core.chat import Chunk, Completion, Request, Tokens


@runtime_checkable
class Chat(Protocol):
    """A version that answers chats in the gateway."""

    @property
    def open_since(self) -> int | None:
        """See `ports.Runtime.open_since`."""
        ...

    async def complete(self, request: Request, within: float | None = None) -> Completion:
        """The whole answer.

        Args:
            request: what the client asked.
            within: patience in seconds, where it is less than the version's own.

        Raises:
            ModelFailed: no answer; `.status` says which kind of none (`refused`: the request
                itself was turned down).
        """
        ...

    def stream(self, request: Request, within: float | None = None) -> AsyncIterator[Chunk]:
        """The answer bit by bit. Patience is for the first bit, and again for each that follows.

        Raises:
            ModelFailed: no answer, or the end of one that is not complete.
        """
        ...

    def cost(self, tokens: Tokens) -> float | None:
        """What so many tokens cost; None where no prices are known."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
