"""An index on disk for what does not fit in memory: SQLite, thrown away when the work is done."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from greenlight import artifacts
from greenlight.core.errors import Unwritable

CACHE_KIB = 4 * 1024
"""What the index holds in memory, and a sort as much again. More is no faster: the system keeps
the pages of its file."""

_STEPS = 2_000_000
"""Instructions of SQLite between two pulses: some hundredths of a second."""

_NO_ROOM = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
}


class Scratch:
    """Tables in a file of their own. What it sorts spills into the system's temporary folder.

    Nothing in it outlives the process: no journal, no syncing. Closed on leaving the `with`.
    """

    def __init__(self, folder: str | Path, pulse: Callable[[], None]) -> None:
        """Open a new index in a folder.

        Args:
            folder: where; the file is the caller's to remove, with the folder.
            pulse: called some twenty times a second while a statement runs, however long it
                takes; what it raises ends the statement and comes out of it.

        Raises:
            Unwritable: the folder takes no file.
        """
        self._folder = folder
        self._pulse = pulse
        self._raised: BaseException | None = None
        with artifacts.writing(folder):
            Path(folder, "scratch.db").touch(exist_ok=False)
        self._db = sqlite3.connect(Path(folder, "scratch.db"), isolation_level=None)
        self._db.set_progress_handler(self._beat, _STEPS)
        for pragma in (
            "journal_mode = OFF",
            "synchronous = OFF",
            "locking_mode = EXCLUSIVE",
            "temp_store = FILE",
            f"cache_size = -{CACHE_KIB}",
        ):
            self._db.execute(f"PRAGMA {pragma}")

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()

    def run(self, statement: str, *values: Any) -> int:
        """Carry out a statement; returns how many rows it changed.

        Raises:
            Unwritable: the disk is full.
        """
        return int(self._do(lambda: self._db.execute(statement, values)).rowcount)

    def fill(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Carry out a statement for each row of values, in one transaction.

        Raises:
            Unwritable: the disk is full.
        """
        self.run("BEGIN")
        self._do(lambda: self._db.executemany(statement, rows))
        self.run("COMMIT")

    def ask(self, question: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The rows of the answer, one after another.

        Raises:
            Unwritable: there is no room to sort them.
        """
        answer = self._do(lambda: self._db.execute(question, values))
        while rows := self._do(lambda: answer.fetchmany(1000)):
            yield from rows

    def number(self, question: str, *values: Any) -> int:
        """The single number of the answer; 0 for none."""
        ((found,),) = self.ask(question, *values)
        return int(found or 0)

    def _do(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if self._raised is not None:
                raise self._raised from None
            if error.sqlite_errorcode & 0xFF in _NO_ROOM:
                raise Unwritable(
                    f"{self._folder}: {error}; make room there and in the system's temporary folder"
                ) from error
            raise

    def _beat(self) -> int:
        try:
            self._pulse()
        except BaseException as error:
            self._raised = error
            return 1
        return 0
