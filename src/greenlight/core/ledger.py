"""The hash chain, and the signed word on its head.

Each entry's digest covers its content and the digest before it, so that nothing can be changed,
taken out or put in between without a break. A tail that was cut off and a ledger that was written
anew from some entry on are intact in themselves: what finds them is a head, signed by the
installation's own key and kept elsewhere (REQUIREMENTS G5).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Any

import msgspec

from greenlight.core import fingerprint
from greenlight.core.approval import Verify
from greenlight.core.records import ApiKey, LedgerEntry, Record, Rollout, Version

GENESIS = "sha256:" + "0" * 64
"""What the first entry names as its predecessor."""

DOMAIN = b"greenlight-ledger-head-v1\n"
"""Goes before what is signed, so that a signature made for anything else is never a head."""

STAND_INS = frozenset({"salt_digest", "digest_digest"})
"""What entries have in the place of a field that nobody may see."""

_SALT = "salt"
_SEQ_BYTES = 8


class SignedHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The installation's word that its ledger had this entry, and nothing after it, at `at`."""

    seq: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    """The newest entry's number, which is also how many there are; 0 for an empty ledger."""
    digest: Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")]
    """The newest entry's digest, which stands for all that came before it."""
    at: int
    """When it was signed: microseconds since 1970-01-01 UTC."""
    key: str
    """The public key of the installation."""
    signature: str


def chain(
    last: LedgerEntry | None, entries: Sequence[tuple[str, dict[str, Any]]], at: int
) -> list[LedgerEntry]:
    """Extend the chain after `last` (None: from the beginning) by (kind, body) pairs."""
    seq = last.seq if last else 0
    prev = last.digest if last else GENESIS
    links = []
    for kind, body in entries:
        seq += 1
        name = _digest(seq, prev, kind, body, at)
        links.append(LedgerEntry(seq=seq, prev=prev, digest=name, kind=kind, body=body, at=at))
        prev = name
    return links


def body_of(record: Record) -> dict[str, Any]:
    """What an entry says of a record: every field; a salt, which nobody may see, by its digest, and
    so the digest of an API key."""
    body: dict[str, Any] = msgspec.to_builtins(record)
    if _SALT in body:
        body["salt_digest"] = fingerprint.digest(body.pop(_SALT))
    if isinstance(record, ApiKey):
        body["digest_digest"] = fingerprint.digest(body.pop("digest"))
    return body


def moved(old: Record, new: Record, why: str) -> tuple[str, dict[str, Any]]:
    """The entry (kind, body) on a version or a rollout that stands differently from now on."""
    if isinstance(old, Version) and isinstance(new, Version):
        return "status", {
            "version": new.digest,
            "label": new.label,
            "from": old.status.value,
            "to": new.status.value,
            "why": why,
        }
    if isinstance(new, Rollout):
        return "rollout_status", {
            "rollout": new.id,
            "task": new.task,
            "status": new.status.value,
            "step": new.step,
            "ended_at": new.ended_at,
            "paused": new.paused,
            "why": why,
        }
    raise TypeError(f"no entry tells of a {type(new).__name__} that changes")


def problems(entries: Iterable[LedgerEntry], after: LedgerEntry | None = None) -> list[str]:
    """Check a run of entries in order of seq; each fault is one line, none means intact.

    `after` is the last entry of the page before, None for the beginning of the chain.
    """
    found = []
    seq = after.seq if after else 0
    prev = after.digest if after else GENESIS
    for entry in entries:
        if entry.seq != seq + 1:
            found.append(f"entry {entry.seq} follows {seq}: entries are missing or out of order")
        if entry.prev != prev:
            found.append(f"entry {entry.seq} names {entry.prev} before it, the chain has {prev}")
        if entry.digest != _digest(entry.seq, entry.prev, entry.kind, entry.body, entry.at):
            found.append(f"entry {entry.seq} ({entry.kind}) was changed: its digest does not fit")
        seq, prev = entry.seq, entry.digest
    return found


def statement(head: SignedHead) -> bytes:
    """What the installation signs: every field but the signature, in canonical form."""
    body = msgspec.structs.asdict(head)
    del body["signature"]
    return DOMAIN + fingerprint.canonical(body)


def fault(head: SignedHead, keys: Collection[str], verify: Verify) -> str | None:
    """Why a head carries no weight: another installation's, or a forged one; None if it does.

    `keys` are the public keys that are trusted to sign, `verify` checks a signature.
    """
    if head.key not in keys:
        known = " or ".join(sorted(keys))
        return f"head of entry {head.seq}: signed by {head.key}, which is not {known}"
    if not verify(head.key, statement(head), head.signature):
        return f"head of entry {head.seq}: the signature does not verify; it was forged or changed"
    return None


class Walk:
    """A walk along a ledger, entry by entry, which holds it against its chain and signed heads.

    It keeps the last entry and 40 bytes per head, however long the ledger is.
    """

    def __init__(self, heads: Iterable[SignedHead] = ()) -> None:
        """Begin before the first entry. `heads` may come in any order; their signatures are the
        caller's to check (`fault`)."""
        self._claims = sorted(
            head.seq.to_bytes(_SEQ_BYTES, "big") + bytes.fromhex(head.digest.partition(":")[2])
            for head in heads
            if head.seq > 0
        )
        self._next = 0
        self._differing = 0
        self._first_differing = 0
        self.last: LedgerEntry | None = None
        """The entry walked past last."""
        self.entries = 0
        """How many there were."""
        self.agreed = 0
        """Number of the newest entry that a head agrees with; 0 for none."""

    @property
    def heads(self) -> int:
        """How many heads the ledger is held against."""
        return len(self._claims)

    def step(self, entry: LedgerEntry) -> list[str]:
        """Walk past the next entry; what is wrong with it, one line per fault."""
        found = problems([entry], after=self.last)
        self.last = entry
        self.entries += 1
        while self._next < len(self._claims):
            claim = self._claims[self._next]
            seq = int.from_bytes(claim[:_SEQ_BYTES], "big")
            if seq > entry.seq:
                break
            self._next += 1
            if seq == entry.seq and entry.digest == "sha256:" + claim[_SEQ_BYTES:].hex():
                self.agreed = seq
            else:
                self._first_differing = self._first_differing or seq
                self._differing += 1
        return found

    def end(self) -> list[str]:
        """The ledger ends here: what the heads say of it, one line for each kind of fault."""
        found = []
        if self._differing:
            found.append(
                f"entry {self._first_differing} is not the one whose head was signed: the ledger "
                f"was rewritten ({_count(self._differing)} not agree with it)"
            )
        cut = len(self._claims) - self._next
        if cut:
            newest = int.from_bytes(self._claims[-1][:_SEQ_BYTES], "big")
            there = self.last.seq if self.last else 0
            found.append(
                f"the ledger ends with entry {there}, but the head of entry {newest} was signed: "
                f"its tail was cut off ({_count(cut)} not find their entry)"
            )
        return found


def _count(heads: int) -> str:
    return "1 head does" if heads == 1 else f"{heads} heads do"


def _digest(seq: int, prev: str, kind: str, body: dict[str, Any], at: int) -> str:
    return fingerprint.digest({"seq": seq, "prev": prev, "kind": kind, "body": body, "at": at})
