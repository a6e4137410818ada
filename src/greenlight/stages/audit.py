"""Audit: is the ledger the one whose head was signed, and do records and folders agree with it?

A change to a record, a record that was taken away, and one that was put in from outside are all
found by the ledger. A ledger that was cut, or rewritten from some entry on, is found by heads that
were signed before and kept elsewhere (REQUIREMENTS G5).

Ledger and records are read side by side, page by page, so that memory does not grow with them: both
come in about the order in which they were written, and only what waits for its counterpart is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from greenlight import artifacts
from greenlight.core import fingerprint, ledger
from greenlight.core.covered import COVERED, MOVES, Covered, Key
from greenlight.core.errors import NotFound, Tampered
from greenlight.core.ledger import SignedHead
from greenlight.core.records import Dataset, LedgerEntry, Record, Version
from greenlight.lookup import PAGE, everything
from greenlight.ports import Blobs, Progress, Records
from greenlight.recording import head

_ROUNDS = 3
"""How often to look again at what was written during the audit."""

_WALK_SHARE = 0.8
"""The part of the progress that is the walk along the ledger; the rest is folders."""

_PURGE = "purge"
"""The kind of the entries that name erased folders."""


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit found; no problems means intact."""

    ok: bool
    entries: int
    head: str
    """Digest of the newest entry."""
    heads: int
    """How many signed heads the ledger was held against."""
    agreed: int
    """Number of the newest entry that a signed head agrees with; 0 for none."""
    folders: int
    """How many folders of bundles and datasets were hashed anew."""
    problems: list[str]


def audit(
    records: Records,
    *,
    heads: Iterable[SignedHead] = (),
    bundles: Blobs | None = None,
    datasets: Sequence[Blobs] = (),
    progress: Progress = lambda *_: None,
) -> AuditReport:
    """Check the ledger, every record that it speaks of, and the folders that these name.

    May run while others write.

    Args:
        records: the store.
        heads: signed heads; whoever gives them has checked their signatures (`ledger.fault`).
        bundles: where bundles lie; None leaves all folders out.
        datasets: where datasets lie.
        progress: told the share done and what is being done.
    """
    following = _Following(records, heads, progress)
    following.catch_up()
    following.settle()
    problems = following.problems
    folders = 0
    if bundles is not None:
        for fault in _folders(records, bundles, datasets, following.erased, progress):
            folders += 1
            problems += [] if fault is None else [fault]
    return _report(following.walk, problems, folders)


def audit_export(
    entries: Iterable[LedgerEntry],
    heads: Iterable[SignedHead] = (),
    progress: Progress = lambda *_: None,
) -> AuditReport:
    """Check a ledger that was handed over, without the store: its chain, and signed heads.

    Args:
        entries: all of them, from the first.
        heads: signed heads; whoever gives them has checked their signatures.
        progress: told that it goes on; how much is left is not known.
    """
    walk = ledger.Walk(heads)
    problems: list[str] = []
    for entry in entries:
        problems += walk.step(entry)
        if entry.seq % PAGE == 0:
            progress(0.0, f"entry {entry.seq}")
    return _report(walk, problems + walk.end(), folders=0)


def _report(walk: ledger.Walk, problems: list[str], folders: int) -> AuditReport:
    return AuditReport(
        ok=not problems,
        entries=walk.entries,
        head=walk.last.digest if walk.last else ledger.GENESIS,
        heads=walk.heads,
        agreed=walk.agreed,
        folders=folders,
        problems=problems,
    )


class _Following:
    """The walk along a store's ledger, and all that is held against it on the way."""

    def __init__(self, records: Records, heads: Iterable[SignedHead], progress: Progress) -> None:
        self.walk = ledger.Walk(heads)
        self.problems: list[str] = []
        self.erased: set[str] = set()
        """Digests that a purge names."""
        self._records = records
        self._progress = progress
        self._sides = {name: _Side(records, name, kind) for name, kind in COVERED.items()}
        self._standings = _Standings(records)

    def catch_up(self) -> None:
        """Walk on to the newest entry."""
        newest = head(self._records)
        for entry in _entries(self._records, self.walk.last):
            self.problems += self.walk.step(entry)
            if entry.kind in self._sides:
                self.problems += self._sides[entry.kind].state(entry)
            elif entry.kind == _PURGE:
                self.erased.update(_digests(entry.body))
            self._standings.note(entry)
            if newest is not None and entry.seq % PAGE == 0:
                self._progress(_WALK_SHARE * min(1.0, entry.seq / newest.seq), "ledger")

    def settle(self) -> None:
        """Say what is missing or different, now that everything has been read.

        What was written meanwhile is looked at too, so that no fault is seen where there is none.
        """
        for side in self._sides.values():
            self.problems += side.drain()
        self.catch_up()
        for side in self._sides.values():
            self.problems += side.end()
        for _ in range(_ROUNDS):
            if self._standings.problems():
                self.catch_up()
        self.problems += self._standings.problems()
        self.problems += self.walk.end()


class _Side:
    """What the ledger says of one kind of record, beside the records themselves.

    For every entry one record is read. Whichever comes first waits for the other.
    """

    def __init__(self, records: Records, name: str, covered: Covered) -> None:
        self._records = records
        self._name = name
        self._covered = covered
        self._rest = everything(records, covered.record)
        self._stated: dict[Key, tuple[tuple[str, ...], str]] = {}
        self._held: dict[Key, Record] = {}

    def state(self, entry: LedgerEntry) -> Iterator[str]:
        """The next entry of this kind."""
        key = self._covered.key(entry.body)
        stated = self._covered.stated(entry.body)
        self._stated[key] = tuple(sorted(stated)), fingerprint.digest(stated)
        record = self._held.pop(key, None)
        if record is not None:
            yield from self._compare(record)
        following = next(self._rest, None)
        if following is not None:
            yield from self._take(following)

    def drain(self) -> Iterator[str]:
        """Read every record that is left."""
        for record in self._rest:
            yield from self._take(record)

    def end(self) -> Iterator[str]:
        """Nothing more comes: what still waits for its counterpart has none."""
        for key in list(self._stated):
            record = self._records.get(self._covered.record, *key)
            if record is None:
                yield f"{self._title(key)} is on the ledger and was taken out of the store"
            else:
                yield from self._compare(record)
        for key, record in self._held.items():
            if not self._covered.awaits_entry(record):
                yield f"{self._title(key)} is not on the ledger: it was put in from outside"

    def _take(self, record: Record) -> Iterator[str]:
        if record.key in self._stated:
            yield from self._compare(record)
        else:
            self._held[record.key] = record

    def _compare(self, record: Record) -> Iterator[str]:
        fields, digest = self._stated.pop(record.key)
        content = ledger.body_of(record)
        named = self._covered.content
        if named is not None and fingerprint.digest(named(record)) != record.key[0]:
            yield f"{self._title(record.key)} was changed: its digest does not fit"
        elif fingerprint.digest({name: content.get(name) for name in fields}) != digest:
            yield f"{self._title(record.key)} was changed: it is not as the ledger has it"

    def _title(self, key: Key) -> str:
        return f"{self._name} {'/'.join(str(part) for part in key)}"


class _Standings:
    """How versions, runs and rollouts stand after all that the ledger says of them."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._latest: dict[tuple[str, Key], dict[str, Any]] = {}

    def note(self, entry: LedgerEntry) -> None:
        """Take an entry in, if it is about a standing."""
        covered = COVERED.get(entry.kind)
        if covered is not None and covered.state:
            at_first = {name: entry.body.get(name, first) for name, first in covered.state.items()}
            self._latest[entry.kind, covered.key(entry.body)] = at_first
        elif entry.kind in MOVES:
            kind, key, fields = MOVES[entry.kind]
            known = self._latest.get((kind, (entry.body.get(key),)))
            if known is not None:
                known |= {
                    name: entry.body[said] for said, name in fields.items() if said in entry.body
                }

    def problems(self) -> list[str]:
        """Where the store differs; a record that is gone is reported elsewhere."""
        found = []
        for (kind, key), stated in self._latest.items():
            record = self._records.get(COVERED[kind].record, *key)
            if record is None:
                continue
            content = msgspec.to_builtins(record)
            for name, value in stated.items():
                if content[name] != value:
                    differs = (
                        "are not as the ledger has them"
                        if isinstance(value, dict)
                        else f"is {content[name]}, by the ledger {value}"
                    )
                    found.append(f"{kind} {key[0]} was changed: its {name} {differs}")
        return found


def _entries(records: Records, after: LedgerEntry | None) -> Iterator[LedgerEntry]:
    """The ledger after an entry, page by page."""
    place = after.key if after else None
    while True:
        page = records.scan(LedgerEntry, after=place, limit=PAGE)
        yield from page
        if len(page) < PAGE:
            return
        place = page[-1].key


def _digests(value: object) -> Iterator[str]:
    """Every digest in a document."""
    if isinstance(value, str) and value.startswith("sha256:"):
        yield value
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in items:
        yield from _digests(item)


def _folders(
    records: Records,
    bundles: Blobs,
    datasets: Sequence[Blobs],
    erased: set[str],
    progress: Progress,
) -> Iterator[str | None]:
    """Hash every folder that a version or a dataset names; a fault, or None, for each of them."""
    named: dict[str, tuple[str, Sequence[Blobs]]] = {}
    for version in everything(records, Version):
        named.setdefault(version.bundle, (f"bundle of {version.label}", [bundles]))
    for dataset in everything(records, Dataset):
        named.setdefault(dataset.digest, (f"dataset {dataset.name}", datasets))
    for done, (digest, (title, places)) in enumerate(named.items()):
        progress(_WALK_SHARE + (1 - _WALK_SHARE) * done / len(named), title)
        folder = _find(places, digest)
        if folder is None:
            if digest not in erased:
                yield f"{title}: the folder {digest} is gone; restore it from a backup"
            continue
        try:
            artifacts.unseal(folder, digest)
        except Tampered as error:
            yield f"{title}: {error}"
        else:
            yield None


def _find(places: Sequence[Blobs], digest: str) -> str | None:
    for place in places:
        try:
            return place.path(digest)
        except NotFound:
            continue
    return None
