"""Stores in which something happens around a commit, or in which a question fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core.errors import StoreError
from greenlight.core.record import Record


class Killed(BaseException):
    """The process is gone: nothing in it can catch this."""


class Eventful(MemoryStore):
    """Calls `around(when, number)` before and after each commit; commits are numbered from 1.

    Each commit is all or nothing (`tests/contracts/test_stores.py`), so that a process can only be
    stopped before one or after it: there is nothing in between to be stopped at.
    """

    def __init__(self) -> None:
        super().__init__()
        self.commits = 0
        self.around: Callable[[str, int], None] = lambda when, number: None

    def commit(self, **given: Any) -> None:  # type: ignore[override]
        """See `ports.Records.commit`."""
        self.commits += 1
        number = self.commits
        self.around("before", number)
        super().commit(**given)
        self.around("after", number)

    def once(self, when: str, event: Callable[[], object]) -> None:
        """Let something happen before or after the next commit, and at no other."""

        def around(moment: str, number: int) -> None:
            if moment == when:
                self.around = lambda *_: None
                event()

        self.around = around

    def content(self) -> dict[type[Record], dict[Any, Record]]:
        """Every record there is."""
        return {kind: dict(held) for kind, held in self._records.items() if held}


def die() -> None:
    """Be killed."""
    raise Killed


class Deaf(Eventful):
    """Answers some questions with an error; an empty set: none."""

    def __init__(self) -> None:
        super().__init__()
        self.to: frozenset[str] = frozenset()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or name == "to" or name not in self.to:
            return found

        def refuse(*_: object, **__: object) -> None:
            raise StoreError(f"{name}: the disk does not answer")

        return refuse
