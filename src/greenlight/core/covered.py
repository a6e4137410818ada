"""Which records the ledger's entries describe, and how: what an audit holds against each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from greenlight.core import ledger
from greenlight.core.incidents import Incident, StagingRecord
from greenlight.core.records import (
    ApiKey,
    Approval,
    Dataset,
    Decision,
    Epoch,
    Evaluation,
    Record,
    Rollout,
    Run,
    StageResult,
    Version,
)
from greenlight.core.states import RunStatus

Key = tuple[Any, ...]


class Covered(msgspec.Struct, frozen=True, kw_only=True):
    """How the entries of one kind describe records."""

    record: type[Record]
    named: Mapping[str, str] = {}
    """Field of the record → what the entry calls it, where the names differ."""
    state: Mapping[str, Any] = {}
    """The fields that change later → what they are at first, where the entry does not say."""
    content: Callable[[Any], object] | None = None
    """What the record's digest is the digest of."""
    awaits_entry: Callable[[Any], bool] = lambda record: False
    """Whether a record is still to get its first entry."""

    def key(self, body: Mapping[str, Any]) -> Key:
        return tuple(body.get(self.named.get(name, name)) for name in self.record.KEY)

    def stated(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """What an entry says of the record for good, by the record's fields."""
        fields = {*self.record.__struct_fields__, *ledger.STAND_INS} - self.state.keys()
        called = {self.named.get(name, name): name for name in fields}
        return {called[name]: value for name, value in body.items() if name in called}


COVERED: dict[str, Covered] = {
    "dataset": Covered(
        record=Dataset, named={"digest": "dataset"}, content=lambda dataset: dataset.manifest
    ),
    "run": Covered(
        record=Run,
        state={"status": RunStatus.RUNNING.value, "ended_at": None, "error": None},
    ),
    "stage": Covered(record=StageResult),
    "version": Covered(
        record=Version,
        state={"status": None},
        content=lambda it: {"task": it.task, "bundle": it.bundle, "runtime": it.runtime},
    ),
    "evaluation": Covered(
        record=Evaluation,
        named={"digest": "evaluation"},
        content=lambda evaluation: evaluation.document,
    ),
    "approval": Covered(record=Approval),
    "rollout": Covered(
        record=Rollout, state=dict.fromkeys(("status", "step", "ended_at", "paused"))
    ),
    "epoch": Covered(record=Epoch),
    "decision": Covered(record=Decision),
    "key": Covered(record=ApiKey, state={"revoked_at": None}),
    "staging": Covered(record=StagingRecord),
    # Its entry is written when it is closed, and once more for what is added to it after that.
    "incident": Covered(
        record=Incident,
        state={"steps": {}, "closed_at": None},
        awaits_entry=lambda incident: incident.closed_at is None,
    ),
}
"""Ledger kind → the records that its entries describe."""

MOVES: dict[str, tuple[str, str, Mapping[str, str]]] = {
    "gates": ("version", "version", {"status": "status"}),
    "status": ("version", "version", {"to": "status"}),
    "run_status": ("run", "run", {"status": "status", "error": "error", "ended_at": "ended_at"}),
    "rollout_status": (
        "rollout",
        "rollout",
        {name: name for name in ("status", "step", "ended_at", "paused")},
    ),
    "key_status": ("key", "key", {"revoked_at": "revoked_at"}),
}
"""Ledger kind → the covered kind whose state it changes, where the entry has the key, and what it
calls each field."""
