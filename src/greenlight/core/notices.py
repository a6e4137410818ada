"""Messages to people: what one is, and how often it is tried (REQUIREMENTS M5)."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from greenlight.core.records import HOUR, MINUTE, SECOND, LedgerEntry
from greenlight.core.telling import Context, Kind, Severity, task_of, told

KINDS: tuple[str, ...] = get_args(Kind)
USUAL: tuple[str, ...] = KINDS[: KINDS.index("start")]
"""What a channel gets that does not say what it wants."""

TEST = "test"
"""The kind of a message that somebody sends to see whether it comes."""

AGAIN = HOUR
"""A hold for the same reason as one so short a time before is no news."""

GIVE_UP = 24 * HOUR
"""After trying for so long in vain a message is given up, so that the next one may go."""

_FIRST_WAIT, _LONGEST_WAIT, _LONGEST_ASKED = SECOND, 10 * MINUTE, HOUR
_TITLE, _TEXT = 150, 2000
"""The most signs of a title and of a text."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A message. `id` is the digest of the ledger's entry: the same message has the same id."""

    id: str
    seq: int
    """The entry's number; messages come in this order."""
    kind: str
    severity: Severity
    task: str | None
    title: str
    """What happened, on one line."""
    text: str
    """Why."""
    next: str
    """What to do now."""
    link: str | None
    """The page of the rollout."""
    at: int
    """When it happened: microseconds since 1970-01-01 UTC."""
    body: dict[str, Any]
    """The ledger's entry."""


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """How far a channel is behind the ledger; `begun` is False before a controller has seen it."""

    channel: str
    kind: str
    begun: bool
    entries: int = 0
    """How many entries of the ledger it has not come to."""
    seconds: float = 0.0
    """How old the first of them is."""
    attempts: int = 0
    next_at: int | None = None
    """When it is tried again, if something went wrong."""
    error: str | None = None
    delivered: int = 0
    given_up: int = 0


def notice_of(entry: LedgerEntry, context: Context) -> Notice | None:
    """What an entry of the ledger is worth telling; None: nothing."""
    said = told(entry, context)
    if said is None:
        return None
    kind, severity, title, text, following = said
    if context.rollout is not None and context.rollout.drill is not None and kind != "drill":
        title = f"drill: {title}"
        severity = "info" if entry.kind == "decision" else severity
    body = entry.body
    rollout = body.get("rollout")
    link = f"{context.pages.rstrip('/')}/rollouts/{rollout}" if context.pages and rollout else None
    return Notice(
        id=entry.digest,
        seq=entry.seq,
        kind=kind,
        severity=severity,
        task=task_of(entry, context),
        title=_line(title),
        text=_clipped(text),
        next=_clipped(following),
        link=link,
        at=entry.at,
        body=body,
    )


def trial(channel: str, id: str, now: int) -> Notice:
    """A message that says nothing but that it came."""
    return Notice(
        id=id,
        seq=0,
        kind=TEST,
        severity="info",
        task=None,
        title="a test message",
        text=f"Somebody ran greenlight notify test {channel}, and the channel works.",
        next="nothing is to be done",
        link=None,
        at=now,
        body={"channel": channel},
    )


def plain(notice: Notice) -> str:
    """A message as text: why, what next, and where to look."""
    lines = [notice.text, f"Next: {notice.next}"]
    if notice.link is not None:
        lines.append(notice.link)
    return "\n".join(line for line in lines if line)


def wait(attempts: int, asked: float | None, luck: float) -> int:
    """How long to wait before the next attempt, in microseconds.

    Args:
        attempts: how often in a row it has failed, at least 1.
        asked: how many seconds the receiver asked for, if it did.
        luck: a number from [0, 1). Half of the wait is luck, so that many do not come at once.
    """
    full = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(attempts - 1, 20))
    own = int(full * (0.5 + luck / 2))
    if asked is None:
        return own
    return max(own, int(min(_LONGEST_ASKED, max(0.0, asked) * SECOND)))


def _line(text: str) -> str:
    return " ".join(_clipped(text, _TITLE).split())


def _clipped(text: str, most: int = _TEXT) -> str:
    """Text without signs that no terminal or mail should get, and not longer than it may be."""
    clean = "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text)
    return clean if len(clean) <= most else clean[: most - 1] + "…"
