"""Mirror: what MLflow is to hold is computed from the store, and brought there (R2, T8).

What happened is read off the ledger, and how far that is done is a record
(`core.incidents.Delivery`), so that nothing waits in memory, however long the mirror is away: what
it lacks then is in the ledger, and every pass takes a page of it. A pass also looks at what time
alone may change: a signature that expires takes the approval with it and leaves no entry.

Everything may be put there any number of times. Whoever is killed in between has noted nothing, and
the next pass puts the same there again.

A mirror that fails is left alone for longer each time, up to ten minutes, which is a circuit
breaker that lies in the store. What it refuses for good is passed over, and said.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Literal, NamedTuple

import msgspec

from greenlight.core import mirroring
from greenlight.core.answers import Lease
from greenlight.core.errors import Conflict, LostLease, StoreError
from greenlight.core.incidents import Delivery
from greenlight.core.mirroring import MirroredVersion
from greenlight.core.notices import wait
from greenlight.core.records import MINUTE, LedgerEntry, Run, Version
from greenlight.lookup import everything
from greenlight.ports import Records
from greenlight.ports.mirror import Mirror, NotMirrored
from greenlight.stages import mirrored

CHANNEL = "mirror:"
"""The record of how far a mirror is is called so and by its name; no channel of [notify] is."""

LEASE_TTL = 2 * MINUTE
"""Longer than putting one thing there takes; a process that is killed holds others up so long."""

PAGE = 100
"""Entries that are looked at in one pass."""

Whole = Literal["nothing", "versions", "everything"]
"""What is looked at beside what the ledger tells of, and what is approved or was shown so: every
version, or every run as well."""


class Job(NamedTuple):
    """One thing that is to be there."""

    key: str
    name: str
    """What people call it."""
    state: str
    """Equal where nothing is to be changed."""
    news: bool
    """Whether the ledger tells of it: whatever this process has put there, another one may have put
    something else there since."""
    put: Callable[[], bool]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one pass."""

    outcome: Literal["waiting", "taken", "current", "mirrored", "failed", "stopped"]
    """`waiting`: it has failed, and is not tried again yet. `taken`: another process mirrors.
    `current`: nothing was to do."""
    more: bool = False
    """Whether the ledger has more to look at right away."""
    put: int = 0
    """How many runs, versions and tasks were brought in line."""
    refused: tuple[str, ...] = ()
    """What the mirror will never take, one line each."""
    error: str | None = None
    first: bool = False
    """Of a failure: whether it is news."""


class Memory:
    """What this process has put there, so that it is not put there at every pass.

    It holds for as long as no other process mirrors.
    """

    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self._left: Delivery | None = None
        self.approved: set[str] = set()
        """Digests of versions that were shown as approved."""

    def check(self, kept: Delivery) -> None:
        """Forget all of it where another process has mirrored since."""
        if kept != self._left:
            self.clear()

    def lacks(self, job: Job) -> bool:
        """Whether something is to be put there."""
        return job.news or self._states.get(job.key) != job.state

    def note(self, job: Job) -> None:
        """It is there now."""
        self._states[job.key] = job.state

    def leave(self, kept: Delivery) -> None:
        """How far the mirror is as this process leaves it."""
        self._left = kept

    def clear(self) -> None:
        """Forget what was put there; it is put there once more."""
        self._states.clear()


def follow(
    records: Records,
    mirror: Mirror,
    memory: Memory,
    *,
    tasks: Collection[str],
    standing: mirrored.Standing,
    whole: Whole = "nothing",
    at_once: bool = False,
    holder: str,
    now: Callable[[], int],
    random: Callable[[int], bytes],
    stopping: Callable[[], bool] = lambda: False,
) -> Step:
    """Bring the mirror in line with the store, as far as one page of the ledger goes.

    Args:
        records: the store.
        mirror: what shows runs and versions.
        memory: of this process.
        tasks: names of tasks, whose aliases are looked after.
        standing: judges the approvals of a version.
        whole: what else to look at.
        at_once: also where it has failed a moment ago.
        holder: this process; one at a time mirrors.
        now: tells the time, in microseconds since 1970-01-01 UTC.
        random: gives that many random bytes (for the wait).
        stopping: whether to stop as soon as it can be done; nothing is noted then.

    Raises:
        LostLease: it took so long that another process may mirror now.
    """
    hand = _Hand(records, mirror, memory, holder, now)

    def look() -> tuple[Delivery, list[LedgerEntry], list[Job]]:
        kept = _begun(records, mirror, now())
        memory.check(kept)
        entries = records.scan(LedgerEntry, after=(kept.seq,), limit=PAGE)
        there = _jobs(records, hand, entries, tasks, standing, whole)
        return kept, entries, [job for job in there if memory.lacks(job)]

    if now() < _begun(records, mirror, now()).next_at and not at_once:
        return Step(outcome="waiting")
    _, entries, jobs = look()
    if not jobs and not entries:
        return Step(outcome="current")
    if not hand.take():
        return Step(outcome="taken")
    try:
        # Between the look and its turn another process may have shown what is newer.
        kept, entries, jobs = look()
        return _carry_out(records, kept, entries, jobs, hand, random, stopping)
    finally:
        hand.let_go()


def _carry_out(
    records: Records,
    kept: Delivery,
    entries: Sequence[LedgerEntry],
    jobs: Sequence[Job],
    hand: _Hand,
    random: Callable[[int], bytes],
    stopping: Callable[[], bool],
) -> Step:
    put, refused = 0, []
    for job in jobs:
        if stopping():
            return Step(outcome="stopped", put=put)
        try:
            put += hand.put(job)
        except NotMirrored as failure:
            if failure.retry:
                return _failed(records, kept, hand, str(failure), put, random)
            refused.append(f"{job.name}: {failure}")
    moved = msgspec.structs.replace(
        kept,
        seq=entries[-1].seq if entries else kept.seq,
        at=hand.now(),
        attempts=0,
        next_at=0,
        error=None,
        since=None,
        delivered=kept.delivered + put,
        given_up=kept.given_up + len(refused),
    )
    _commit(records, kept, moved, hand)
    return Step(
        outcome="mirrored" if put else "current",
        more=len(entries) == PAGE,
        put=put,
        refused=tuple(refused),
    )


class _Hand:
    """The right to mirror, and the mirror."""

    def __init__(
        self,
        records: Records,
        mirror: Mirror,
        memory: Memory,
        holder: str,
        now: Callable[[], int],
    ) -> None:
        self._records = records
        self.mirror = mirror
        self.memory = memory
        self._holder = holder
        self.now = now
        self.fence: Lease | None = None

    def take(self) -> bool:
        """Take the lease or renew it; False while another process has it."""
        name = CHANNEL + self.mirror.name
        self.fence = self._records.lease(name, self._holder, self.now(), LEASE_TTL)
        return self.fence is not None

    def let_go(self) -> None:
        """Give the lease back, so that nobody waits for it to run out."""
        name = CHANNEL + self.mirror.name
        with suppress(StoreError):
            self._records.lease(name, self._holder, self.now(), 0)

    def put(self, job: Job) -> bool:
        """Put one thing there; whether it was not so already.

        Raises:
            LostLease: another process does by now.
            NotMirrored: see `ports.mirror`.
        """
        before = self.fence
        if not self.take() or before is None or self.fence is None:
            raise LostLease("another process mirrors now")
        if self.fence.token != before.token:
            raise LostLease("this process was silent for too long; another one may have mirrored")
        try:
            changed = job.put()
        except NotMirrored:
            raise
        except Exception as error:
            # A fault of ours must wait like any other. What it says may hold a secret.
            said = f"{type(error).__name__}, which is no known failure"
            raise NotMirrored(said, retry=True) from error
        self.memory.note(job)
        return changed


def _jobs(
    records: Records,
    hand: _Hand,
    entries: Iterable[LedgerEntry],
    tasks: Collection[str],
    standing: mirrored.Standing,
    whole: Whole,
) -> Iterator[Job]:
    """All that is to be put there, in its order.

    Versions go first, those before all that are not approved: what is taken back must not wait for
    a document that cannot be stored.
    """
    memory, mirror = hand.memory, hand.mirror
    found = mirroring.touched(entries)
    wanted = set(found.versions) | memory.approved
    runs = set(found.runs)
    for known in everything(records, Version):
        if whole != "nothing" or known.status in mirroring.STANDING:
            wanted.add(known.digest)
    wanted.update(made for id in found.runs if (made := mirrored.made_by(records, id)) is not None)
    if whole == "everything":
        runs |= {run.id for run in everything(records, Run)}
    found_now = (mirrored.of_version(records, digest, standing) for digest in wanted)
    versions = [version for version in found_now if version is not None]
    for version in sorted(versions, key=lambda one: (one.approved, one.task, one.label)):
        put = partial(_show, mirror, memory, version)
        news = version.digest in found.versions
        yield Job(version.digest, version.label, mirroring.state(version), news, put)
    for task in tasks:
        aliases = mirrored.of_task(records, task)
        put = partial(mirror.put_aliases, task, aliases)
        name = f"aliases of {task}"
        yield Job(name, name, mirroring.state(aliases), task in found.tasks, put)
    for id in sorted(runs):
        run = mirrored.of_run(records, id)
        if run is not None:
            news = id in found.runs
            yield Job(id, id, mirroring.state(run), news, partial(mirror.put_run, run))


def _show(mirror: Mirror, memory: Memory, version: MirroredVersion) -> bool:
    changed = mirror.put_version(version)
    (memory.approved.add if version.approved else memory.approved.discard)(version.digest)
    return changed


def _begun(records: Records, mirror: Mirror, now: int) -> Delivery:
    """How far the mirror is; a new one begins at the ledger's first entry."""
    name = CHANNEL + mirror.name
    kept = records.get(Delivery, name)
    if kept is not None:
        return kept
    new = Delivery(channel=name, seq=0, attempts=0, next_at=0, error=None, at=now)
    try:
        records.commit(append=[new])
    except Conflict:
        return records.get(Delivery, name) or new
    return new


def _failed(
    records: Records,
    kept: Delivery,
    hand: _Hand,
    error: str,
    put: int,
    random: Callable[[int], bytes],
) -> Step:
    now, attempts = hand.now(), kept.attempts + 1
    luck = int.from_bytes(random(4), "big") / 2**32
    moved = msgspec.structs.replace(
        kept,
        delivered=kept.delivered + put,
        attempts=attempts,
        next_at=now + wait(attempts, None, luck),
        error=error,
        since=kept.since or now,
        at=now,
    )
    _commit(records, kept, moved, hand)
    return Step(outcome="failed", put=put, error=error, first=kept.error != error)


def _commit(records: Records, kept: Delivery, moved: Delivery, hand: _Hand) -> None:
    try:
        records.commit(swap=[(kept, moved)], fence=hand.fence, now=hand.now())
        hand.memory.leave(moved)
    except LostLease:
        raise
    except Conflict as conflict:
        raise LostLease("another process has mirrored meanwhile") from conflict
