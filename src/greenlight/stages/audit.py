"""Audit: is the ledger one unbroken chain, and do the records still say what it says?

A change to a record, a record that was taken away, and one that was put in from outside are all
found here. What this cannot find is a ledger that was cut or rewritten from some entry on: that
takes a copy of its head kept elsewhere (REQUIREMENTS G5).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from greenlight.core import fingerprint, ledger
from greenlight.core.records import (
    Approval,
    Decision,
    Evaluation,
    LedgerEntry,
    Record,
    Rollout,
    Run,
    Version,
)
from greenlight.lookup import everything
from greenlight.ports import Records

_COVERED: dict[str, tuple[type[Record], frozenset[str]]] = {
    "run": (Run, frozenset()),
    "version": (Version, frozenset({"status"})),
    "approval": (Approval, frozenset()),
    "rollout": (Rollout, frozenset({"salt", "status", "step", "ended_at"})),
    "decision": (Decision, frozenset()),
}
"""Ledger kind → the records that its entries describe, and the fields that change later."""

_Stated = dict[str, tuple[tuple[str, ...], str]]
"""Key → the fields that the ledger states of a record, and their digest."""


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit found; no problems means intact."""

    ok: bool
    entries: int
    head: str
    """Digest of the newest entry: whoever keeps it elsewhere can see a later rewrite."""
    problems: list[str]


def audit(records: Records) -> AuditReport:
    """Check the chain; runs, versions, evaluations, approvals, rollouts, decisions against it."""
    problems: list[str] = []
    stated: dict[str, _Stated] = {name: {} for name in _COVERED}
    evaluations: set[str] = set()
    last: LedgerEntry | None = None
    entries = 0
    for entry in everything(records, LedgerEntry):
        problems += ledger.problems([entry], after=last)
        last = entry
        entries += 1
        if entry.kind in _COVERED:
            kind, changing = _COVERED[entry.kind]
            fields = tuple(name for name in entry.body if name not in changing)
            digest = fingerprint.digest({name: entry.body[name] for name in fields})
            stated[entry.kind][str(entry.body.get(kind.KEY[0]))] = fields, digest
        elif entry.kind == "evaluation":
            evaluations.add(str(entry.body.get("evaluation")))
    for name, (kind, _) in _COVERED.items():
        problems += _compare(records, name, kind, stated[name])
    problems += _check_evaluations(records, evaluations)
    problems += _check_versions(records)
    return AuditReport(
        ok=not problems,
        entries=entries,
        head=last.digest if last else ledger.GENESIS,
        problems=problems,
    )


def _compare(records: Records, name: str, kind: type[Record], stated: _Stated) -> Iterator[str]:
    """Differences between the records of a kind and what the ledger says of them."""
    expected = dict(stated)
    for record in everything(records, kind):
        key = str(record.key[0])
        content: dict[str, Any] = msgspec.to_builtins(record)
        if key not in expected:
            yield f"{name} {key} is not on the ledger: it was put in from outside"
            continue
        fields, digest = expected.pop(key)
        if fingerprint.digest({field: content.get(field) for field in fields}) != digest:
            yield f"{name} {key} was changed: it is not as the ledger has it"
    for key in expected:
        yield f"{name} {key} is on the ledger and was taken out of the store"


def _check_evaluations(records: Records, known: set[str]) -> Iterator[str]:
    missing = set(known)
    for evaluation in everything(records, Evaluation):
        missing.discard(evaluation.digest)
        if fingerprint.digest(evaluation.document) != evaluation.digest:
            yield f"evaluation {evaluation.digest} was changed: its digest does not fit"
        elif evaluation.digest not in known:
            yield f"evaluation {evaluation.digest} is not on the ledger: it came from outside"
    for digest in sorted(missing):
        yield f"evaluation {digest} is on the ledger and was taken out of the store"


def _check_versions(records: Records) -> Iterator[str]:
    for version in everything(records, Version):
        content = {"task": version.task, "bundle": version.bundle, "runtime": version.runtime}
        if fingerprint.digest(content) != version.digest:
            yield f"version {version.label} was changed: its digest does not fit"
