"""What the server keeps: a SQLite file and folders beside it, so that it goes on after a restart.

| place | holds |
|---|---|
| `state.sqlite` | every object of the API, as JSON |
| `files/` | the contents of files, by id |
| `models/` | a folder for each fine-tuned model, by the id of its job |
| `bases/` | base models that were fitted from conversations, by the digest of what they learnt |
| `embeddings/` | what the encoder said of texts (`models.embedding`) |

A file or a folder is in its place, and on the disk, before the row that names it is written. What
has no row is swept away at the next start, so that an upload or a job that was cut off leaves
nothing.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from greenlight.core.errors import Refused
from greenlight.core.records import SECOND
from greenlight.tuning.wire import (
    OPEN,
    Checkpoint,
    Event,
    FileObject,
    Job,
    Problem,
    Status,
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    parent TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS object_by_parent ON object (kind, parent, seq);
"""

S = TypeVar("S", bound=msgspec.Struct)


class TunedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that a job made; `id` is its name."""

    id: str
    job: str
    base: str
    created: int


_KINDS: dict[type[msgspec.Struct], str] = {
    FileObject: "file",
    Job: "job",
    Event: "event",
    Checkpoint: "checkpoint",
    TunedModel: "model",
}
_MISSING = {
    FileObject: "no file {!r}; GET /v1/files lists those there are",
    Job: "no fine-tuning job {!r}; GET /v1/fine_tuning/jobs lists those there are",
    TunedModel: "no model {!r}; GET /v1/models lists those there are",
}


class State:
    """What the server keeps; any thread may ask it."""

    def __init__(
        self, folder: Path, *, now: Callable[[], int], random: Callable[[int], bytes]
    ) -> None:
        """Open the folder, or begin it.

        Args:
            folder: belongs to one server.
            now: the time, µs UTC.
            random: gives that many random bytes.

        Raises:
            Refused: another server works in the folder.
        """
        self._now = now
        self._random = random
        self.files, self.models = folder / "files", folder / "models"
        self.bases, self.embeddings = folder / "bases", folder / "embeddings"
        for place in (self.files, self.models, self.bases):
            place.mkdir(parents=True, exist_ok=True)
        self._held = _hold(folder)
        self._lock = threading.RLock()
        self._database = sqlite3.connect(
            folder / "state.sqlite", check_same_thread=False, isolation_level=None
        )
        # An answer promises that what it tells of outlives the machine's power.
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)
        self._sweep()

    def close(self) -> None:
        """Let go of the folder."""
        with self._lock:
            self._database.close()
        os.close(self._held)

    def seconds(self) -> int:
        """The time, in whole seconds since 1970 UTC."""
        return self._now() // SECOND

    def fresh(self, prefix: str) -> str:
        """A new id."""
        return prefix + self._random(12).hex()

    def seed(self) -> int:
        """A seed for a job that names none."""
        return int.from_bytes(self._random(4), "big") >> 1

    def find(self, kind: type[S], id: str) -> S | None:
        """An object by its id."""
        with self._lock:
            row = self._database.execute(
                "SELECT body FROM object WHERE id = ? AND kind = ?", (id, _KINDS[kind])
            ).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=kind)

    def get(self, kind: type[S], id: str) -> S:
        """An object by its id.

        Raises:
            Problem: there is none (404).
        """
        found = self.find(kind, id)
        if found is None:
            raise Problem(404, "not_found", _MISSING[kind].format(id), "id")
        return found

    def list(
        self,
        kind: type[S],
        *,
        parent: str = "",
        after: str | None = None,
        limit: int | None = None,
        oldest_first: bool = False,
    ) -> Sequence[S]:
        """Objects of a kind, newest first.

        Args:
            kind: their class.
            parent: the job to which they belong, for events and checkpoints.
            after: begin behind the object of this id.
            limit: at most so many.
            oldest_first: the other way round.

        Raises:
            Problem: `after` names nothing (400).
        """
        order, beyond = ("ASC", ">") if oldest_first else ("DESC", "<")
        query = f"SELECT body FROM object WHERE kind = ? AND parent = ? AND seq {beyond} ? "
        with self._lock:
            start = self._place(kind, after, oldest_first)
            rows = self._database.execute(
                query + f"ORDER BY seq {order} LIMIT ?",
                (_KINDS[kind], parent, start, -1 if limit is None else limit),
            ).fetchall()
        return [msgspec.json.decode(row[0], type=kind) for row in rows]

    def add(self, *objects: msgspec.Struct, parent: str = "") -> None:
        """Keep new objects: all of them or none."""
        with self._lock, self._changing() as database:
            _insert(database, objects, parent)

    def remove(self, id: str) -> None:
        """Forget an object."""
        with self._lock, self._changing() as database:
            database.execute("DELETE FROM object WHERE id = ?", (id,))

    def tell(
        self,
        job: str,
        message: str,
        *,
        level: Any = "info",
        data: dict[str, Any] | None = None,
        metrics: bool = False,
    ) -> None:
        """Add an event to a job."""
        self.add(self._event(message, level, data, metrics), parent=job)

    def advance(
        self,
        id: str,
        seen: Iterable[Status],
        status: Status,
        message: str,
        *,
        also: Sequence[msgspec.Struct] = (),
        checkpoints: Sequence[Checkpoint] = (),
        **changes: Any,
    ) -> Job | None:
        """Bring a job to a status, unless somebody else was first.

        Args:
            id: of the job.
            seen: it must be in one of these.
            status: the new one.
            message: of the event that tells of it.
            also: objects that come to be at the same moment.
            checkpoints: of the job, likewise.
            changes: other fields of the job.

        Returns:
            The job as it is now; None where it is in another status, and nothing was changed.
        """
        with self._lock, self._changing() as database:
            job = self.find(Job, id)
            if job is None or job.status not in seen:
                return None
            if status not in OPEN:
                changes = {"finished_at": self.seconds(), "estimated_finish": None, **changes}
            job = msgspec.structs.replace(job, status=status, **changes)
            database.execute(
                "UPDATE object SET body = ? WHERE id = ?", (msgspec.json.encode(job), id)
            )
            level = "error" if status == "failed" else "info"
            _insert(database, also, "")
            _insert(database, [*checkpoints, self._event(message, level, None, False)], id)
            return job

    def _event(self, message: str, level: Any, data: Any, metrics: bool) -> Event:
        return Event(
            id=self.fresh("ftevent-"),
            created_at=self.seconds(),
            level=level,
            message=message,
            type="metrics" if metrics else "message",
            data=data,
        )

    def _place(self, kind: type[msgspec.Struct], after: str | None, oldest_first: bool) -> int:
        if after is None:
            return 0 if oldest_first else 2**62
        row = self._database.execute(
            "SELECT seq FROM object WHERE id = ? AND kind = ?", (after, _KINDS[kind])
        ).fetchone()
        if row is None:
            raise Problem(400, "invalid_request", f"after: nothing here goes by {after!r}", "after")
        return int(row[0])

    def _changing(self) -> sqlite3.Connection:
        """The database, with a transaction that ends with the `with`."""
        self._database.execute("BEGIN IMMEDIATE")
        return self._database

    def _sweep(self) -> None:
        files = {file.id for file in self.list(FileObject)}
        models = {model.job for model in self.list(TunedModel)}
        for place, known in ((self.files, files), (self.models, models)):
            for path in place.iterdir():
                if path.name not in known:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def settle(path: Path) -> None:
    """See to it that a file, or a folder's list of what is in it, outlives the machine's power."""
    held = os.open(path, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)


def settle_all(folder: Path) -> None:
    """Settle a folder with all that is below it."""
    for path in folder.rglob("*"):
        settle(path)
    settle(folder)


def _insert(database: sqlite3.Connection, objects: Sequence[msgspec.Struct], parent: str) -> None:
    database.executemany(
        "INSERT INTO object (kind, id, parent, body) VALUES (?, ?, ?, ?)",
        [
            (_KINDS[type(one)], getattr(one, "id"), parent, msgspec.json.encode(one))  # noqa: B009
            for one in objects
        ],
    )


def _hold(folder: Path) -> int:
    """A lock on the folder, held as long as this is open."""
    held = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(held)
        raise Refused(
            f"{folder}: another finetune-server works here; stop it, or choose another --state"
        ) from error
    return held
