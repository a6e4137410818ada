"""Another place that shows runs and versions, as the stage that keeps it current sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from greenlight.core.errors import GreenlightError
from greenlight.core.mirroring import MirroredRun, MirroredVersion


class NotMirrored(GreenlightError):
    """Something is not there as it should be. The text says what to do, and holds no secret.

    `retry` says whether it may succeed later: not if this very thing was refused.
    """

    def __init__(self, message: str, *, retry: bool) -> None:
        self.retry = retry
        super().__init__(message)


class Mirror(Protocol):
    """Holds what it is given; called from one thread at a time.

    Every call may be repeated, also after one that was killed half-way, and changes nothing where
    nothing is to be changed.
    """

    name: str
    """What the mirror is called in messages."""

    def put_run(self, run: MirroredRun) -> bool:
        """Show a run that has ended. Returns whether it was not so already.

        Raises:
            NotMirrored: it is not there, or not all of it.
        """
        ...

    def put_version(self, version: MirroredVersion) -> bool:
        """Show a version; its tags are those that it has, and no more of Greenlight's.

        Returns whether it was not so already.

        Raises:
            NotMirrored: it is not there as it should be.
        """
        ...

    def put_aliases(self, task: str, aliases: Mapping[str, str | None]) -> bool:
        """Give each alias of a task to the version of that digest, or take it away (None).

        Returns whether it was not so already.

        Raises:
            NotMirrored: they are not as they should be; no such version, among others.
        """
        ...

    def check(self) -> str:
        """What answers, in a few words. Nothing is changed.

        Raises:
            NotMirrored: nothing does.
        """
        ...
