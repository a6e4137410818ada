"""Notify: a channel follows the ledger, and what is worth a message is delivered in its order (M5).

How far a channel has come is a record (`core.incidents.Delivery`), so that nothing waits in memory.
What was delivered is noted after it was: whoever is killed in between delivers the message once
more, with the same id, and never not at all.

A channel that fails is left alone for longer each time, up to ten minutes, which is a circuit
breaker that lies in the store: it outlives the process, and all of them share it. After
`GIVE_UP` the message is given up and the next one has its turn; at once where the receiver has
refused the message itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Literal

import msgspec

from greenlight.core.answers import Lease
from greenlight.core.errors import Conflict
from greenlight.core.incidents import Delivery
from greenlight.core.notices import AGAIN, GIVE_UP, Backlog, Notice, notice_of, wait
from greenlight.core.records import MINUTE, SECOND, Decision, LedgerEntry, Rollout, Version
from greenlight.core.states import Action
from greenlight.core.telling import ENTRIES, Context
from greenlight.ports import Records
from greenlight.ports.notifier import NotDelivered, Notifier
from greenlight.recording import head

LEASE = "notify:"
"""The lease of a channel is called so and by the channel's name."""

LEASE_TTL = MINUTE
"""Longer than an attempt takes; a process that is killed holds others up for so long at most."""

PAGE = 100
"""Entries that are looked at in one pass."""

LOOK_BACK = 200
"""Decisions of a rollout among which those of the hour before are looked for."""

_FRESH: Mapping[str, int | None] = {"attempts": 0, "next_at": 0, "error": None, "since": None}
"""Of a channel on which nothing has failed since the last message."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one pass over a channel."""

    outcome: Literal["idle", "passed", "delivered", "failed", "given_up"]
    """`passed`: there was nothing of interest. Only after `idle` and `failed` it is to wait."""
    notice: Notice | None = None
    error: str | None = None

    @property
    def more(self) -> bool:
        """Whether the next entry can be looked at right away."""
        return self.outcome not in ("idle", "failed")


def begin(records: Records, channel: str, now: int) -> Delivery:
    """How far a channel is; a new one begins at the ledger's head, for nobody reads old news."""
    kept = records.get(Delivery, channel)
    if kept is not None:
        return kept
    newest = head(records)
    seq = newest.seq if newest is not None else 0
    new = Delivery(channel=channel, seq=seq, attempts=0, next_at=0, error=None, at=now)
    try:
        records.commit(append=[new])
    except Conflict:
        return records.get(Delivery, channel) or new
    return new


def deliver(
    records: Records,
    notifier: Notifier,
    *,
    on: Collection[str],
    pages: str | None,
    holder: str,
    now: Callable[[], int],
    random: Callable[[int], bytes],
) -> Step:
    """Go on to the next message of a channel, and try to deliver it.

    Args:
        records: the store.
        notifier: the channel.
        on: the kinds of messages that it wants.
        pages: where people open the pages, for links.
        holder: this process; one at a time delivers on a channel.
        now: tells the time, in microseconds since 1970-01-01 UTC.
        random: gives that many random bytes (for the wait).

    Raises:
        Conflict: another process has moved the channel on meanwhile.
        LostLease: it took so long that another process may deliver now.
    """
    kept = begin(records, notifier.name, now())
    if now() < kept.next_at:
        return Step(outcome="idle")
    entries = records.scan(LedgerEntry, after=(kept.seq,), limit=PAGE)
    if not entries:
        return Step(outcome="idle")
    fence = records.lease(LEASE + notifier.name, holder, now(), LEASE_TTL)
    if fence is None:
        return Step(outcome="idle")
    notice = None
    for entry in entries:
        notice = _wanted(records, entry, on, pages)
        if notice is not None:
            break
    if notice is None:
        # A message that was tried in vain is among them, if there is one: it is wanted no more.
        fresh = {} if kept.since is None else _FRESH
        _move(records, kept, fence, now(), seq=entries[-1].seq, **fresh)
        return Step(outcome="passed")
    failure = _sent(notifier, notice)
    if failure is not None:
        return _failed(records, kept, fence, now(), notice, failure, random)
    _move(
        records,
        kept,
        fence,
        now(),
        seq=notice.seq,
        delivered=kept.delivered + 1,
        **_FRESH,
    )
    return Step(outcome="delivered", notice=notice)


def backlog(records: Records, channel: str, kind: str, now: int) -> Backlog:
    """How far a channel is behind.

    Args:
        records: the store.
        channel: its name.
        kind: what it is.
        now: microseconds since 1970-01-01 UTC.
    """
    kept = records.get(Delivery, channel)
    if kept is None:
        return Backlog(channel=channel, kind=kind, begun=False)
    newest = head(records)
    first = records.scan(LedgerEntry, after=(kept.seq,), limit=1)
    return Backlog(
        channel=channel,
        kind=kind,
        begun=True,
        entries=newest.seq - kept.seq if newest is not None else 0,
        seconds=max(0.0, (now - first[0].at) / SECOND) if first else 0.0,
        attempts=kept.attempts,
        next_at=kept.next_at or None,
        error=kept.error,
        delivered=kept.delivered,
        given_up=kept.given_up,
    )


def _sent(notifier: Notifier, notice: Notice) -> NotDelivered | None:
    """Try it; what went wrong, if anything did."""
    try:
        notifier.send(notice)
    except NotDelivered as failure:
        return failure
    except Exception as error:
        # A fault of ours must wait like any other. What it says may hold a secret.
        return NotDelivered(f"{type(error).__name__}, which is no known failure", retry=True)
    return None


def _failed(
    records: Records,
    kept: Delivery,
    fence: Lease,
    now: int,
    notice: Notice,
    failure: NotDelivered,
    random: Callable[[int], bytes],
) -> Step:
    error = str(failure)
    if not failure.retry:
        # The receiver is there and does not want this message: the next one may go at once.
        _give_up(records, kept, fence, now, notice, error, attempts=0, next_at=0)
        return Step(outcome="given_up", notice=notice, error=error)
    # The message that was tried in vain is the next entry; where that is wanted no more, this is
    # another one, and has its own time.
    another = notice.seq != kept.seq + 1
    attempts, since = kept.attempts + 1, now if kept.since is None or another else kept.since
    luck = int.from_bytes(random(4), "big") / 2**32
    next_at = now + wait(attempts, failure.after, luck)
    if now - since >= GIVE_UP:
        _give_up(records, kept, fence, now, notice, error, attempts=attempts, next_at=next_at)
        return Step(outcome="given_up", notice=notice, error=error)
    # What came before the message is of no interest, and is not looked at again.
    _move(
        records,
        kept,
        fence,
        now,
        seq=notice.seq - 1,
        attempts=attempts,
        next_at=next_at,
        error=error,
        since=since,
    )
    return Step(outcome="failed", notice=notice, error=error)


def _give_up(
    records: Records,
    kept: Delivery,
    fence: Lease,
    now: int,
    notice: Notice,
    error: str,
    *,
    attempts: int,
    next_at: int,
) -> None:
    _move(
        records,
        kept,
        fence,
        now,
        seq=notice.seq,
        attempts=attempts,
        next_at=next_at,
        error=error,
        since=None,
        given_up=kept.given_up + 1,
    )


def _move(
    records: Records, kept: Delivery, fence: Lease, now: int, **changes: int | str | None
) -> None:
    moved = msgspec.structs.replace(kept, at=now, **changes)
    records.commit(swap=[(kept, moved)], fence=fence, now=now)


def _wanted(
    records: Records, entry: LedgerEntry, on: Collection[str], pages: str | None
) -> Notice | None:
    if entry.kind not in ENTRIES:
        return None
    notice = notice_of(entry, _context(records, entry, pages))
    return notice if notice is not None and notice.kind in on else None


def _context(records: Records, entry: LedgerEntry, pages: str | None) -> Context:
    body = entry.body
    rollout = records.get(Rollout, str(body.get("rollout")))
    digests = {str(body[name]) for name in ("version", "control", "candidate") if name in body}
    if rollout is not None:
        digests |= {rollout.control, rollout.candidate}
    return Context(
        rollout=rollout,
        labels=_labels(records, digests),
        held=_held(records, entry) if body.get("action") == Action.HOLD else (),
        pages=pages,
    )


def _labels(records: Records, digests: Collection[str]) -> Mapping[str, str]:
    found = (records.get(Version, digest) for digest in sorted(digests))
    return {version.digest: version.label for version in found if version is not None}


def _held(records: Records, entry: LedgerEntry) -> set[str]:
    """Codes for which the rollout was held in the hour before this decision."""
    before = records.scan(
        Decision,
        {"rollout": str(entry.body.get("rollout"))},
        after=(str(entry.body.get("id")),),
        newest_first=True,
        limit=LOOK_BACK,
    )
    return {
        decision.code
        for decision in before
        if decision.action == Action.HOLD and entry.at - AGAIN <= decision.at
    }
