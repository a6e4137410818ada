"""Records for tests of stores: plausible values, any of which a test can set."""

from __future__ import annotations

from typing import Any

from greenlight.core.incidents import Delivery, Incident, StagingRecord
from greenlight.core.records import (
    ApiKey,
    Approval,
    Dataset,
    Decision,
    Epoch,
    Evaluation,
    EvidenceState,
    Feedback,
    Inference,
    JournalEntry,
    LedgerEntry,
    Record,
    Replica,
    Rollout,
    Run,
    RunProgress,
    Shadow,
    StageResult,
    Version,
)
from greenlight.core.states import Action, RolloutStatus, RunStatus, Status, Variant, VersionStatus

ROLLOUT = "r1"


def inference(id: str, **fields: Any) -> Inference:
    """An answered request in the control arm of epoch 1."""
    defaults: dict[str, Any] = {
        "task": "intent",
        "version": "sha256:v1",
        "served_version": "sha256:v1",
        "variant": Variant.CONTROL,
        "rollout": ROLLOUT,
        "epoch": 1,
        "weight": 0.1,
        "bucket": 0.625,
        "unit": "ana",
        "unit_source": "header",
        "input": "where is my card?",
        "output": "card_arrival",
        "score": 0.75,
        "oos": None,
        "latency_ms": 12.5,
        "status": Status.OK,
        "fallback_from": None,
        "config_digest": "sha256:c",
        "at": 100,
    }
    return Inference(id=id, **defaults | fields)


def shadow(id: str, **fields: Any) -> Shadow:
    """What the candidate said to a copy of `inference(id)`."""
    defaults: dict[str, Any] = {
        "task": "intent",
        "rollout": ROLLOUT,
        "epoch": 1,
        "version": "sha256:v2",
        "unit": "ana",
        "unit_source": "header",
        "output": "card_arrival",
        "latency_ms": 25.0,
        "status": Status.OK,
        "alone": None,
        "agreed": True,
        "at": 100,
    }
    return Shadow(id=id, **defaults | fields)


def feedback(id: str, inference_id: str, value: float = 1.0, **fields: Any) -> Feedback:
    """A GOOD on an answer."""
    return Feedback(
        **{"id": id, "inference_id": inference_id, "metric": "quality", "value": value, "at": 200}
        | fields
    )


def entry(seq: int, **fields: Any) -> JournalEntry:
    """Evidence of unit `ana` in epoch 1."""
    defaults: dict[str, Any] = {
        "rollout": ROLLOUT,
        "test": "exposure",
        "unit": "ana",
        "epoch": 1,
        "arm": Variant.CONTROL,
        "pi": 0.1,
        "y": 0.0,
        "minute": 1,
        "at": 300,
    }
    return JournalEntry(seq=seq, **defaults | fields)


def version(digest: str, **fields: Any) -> Version:
    """A registered version."""
    defaults: dict[str, Any] = {
        "task": "intent",
        "label": "intent@1",
        "bundle": "sha256:b",
        "runtime": {"kind": "in_process"},
        "lineage": {"run": "run-1", "parents": ["sha256:d", None], "share": 0.1},
        "initiator": "ana",
        "status": VersionStatus.REGISTERED,
        "at": 5,
    }
    return Version(digest=digest, **defaults | fields)


def epoch(number: int, **fields: Any) -> Epoch:
    """A split of task `intent`."""
    defaults: dict[str, Any] = {
        "follows": number - 1,
        "task": "intent",
        "rollout": None,
        "control": "sha256:v1",
        "candidate": None,
        "weight": 0.0,
        "salt": "00ff",
        "decision": "d-1",
        "at": 7,
    }
    return Epoch(number=number, **defaults | fields)


def rollout(id: str = ROLLOUT, **fields: Any) -> Rollout:
    """A running rollout with a bar for every kind of latency event, in milliseconds."""
    defaults: dict[str, Any] = {
        "task": "intent",
        "control": "sha256:v1",
        "candidate": "sha256:v2",
        "salt": "00",
        "policy": {"steps": [0.1, 0.5], "latency_bars": {"p95": 20.0, "p99": 40.0, "slo": 500}},
        "policy_digest": "sha256:p",
        "aa": True,
        "initiator": "ana",
        "status": RolloutStatus.RUNNING,
        "step": 0,
        "at": 8,
    }
    return Rollout(id=id, **defaults | fields)


def link(seq: int) -> LedgerEntry:
    """A link of the ledger, its digest of no meaning."""
    return LedgerEntry(seq=seq, prev="", digest="", kind="started", body={"seq": seq}, at=seq)


EXAMPLES: tuple[Record, ...] = (
    Dataset(digest="sha256:d", task="intent", name="banking77", manifest={"rows": []}, at=1),
    Run(
        id="intent#1",
        task="intent",
        number=1,
        trigger="manual",
        initiator="ana",
        plan={"options": {"ä": ["é", 1, 2.5, True, None]}, "seed": 2**62},
        environment={},
        status=RunStatus.FAILED,
        at=2,
        ended_at=3,
        error="no room",
    ),
    StageResult(
        run="intent#1",
        name="train",
        task="intent",
        inputs="sha256:i",
        output={"bundle": "sha256:b"},
        report={"accuracy": 0.1 + 0.2},
        started_at=2,
        at=3,
    ),
    RunProgress(
        run="intent#1",
        task="intent",
        stage="train",
        share=0.25,
        words="fitting",
        memory=2**33,
        peak_memory=2**34,
        at=3,
    ),
    version("sha256:v1"),
    Evaluation(digest="sha256:e", version="sha256:v1", document={"rows": {"n": 3}}, at=6),
    Approval(
        id="a-1",
        version="sha256:v1",
        evaluation="sha256:e",
        role="ml_lead",
        person="ana",
        decision="approve",
        why="better on “card” 🙂",
        at=7,
        signature="00",
    ),
    rollout(),
    epoch(1),
    Replica(
        id="g-1",
        epochs={"intent": 1},
        applied_at={"intent": 5},
        open_since={"sha256:v2": 7},
        kills={"intent": 3},
        flushed_through=9,
        at=9,
    ),
    entry(1, y=0.1 + 0.2, pi=5e-324, excluded="late", source="s-1"),
    EvidenceState(rollout=ROLLOUT, last_seq=1, state={"e": (1.5).hex()}),
    Decision(
        id="d-1",
        task="intent",
        rollout=ROLLOUT,
        action=Action.WIDEN,
        code="soaked",
        reason="no harm seen",
        evidence={"log_e": -1.25},
        epoch_seen=1,
        policy_digest="sha256:p",
        at=10,
    ),
    link(1),
    ApiKey(
        id="k-1",
        name="shop",
        digest="sha256:k",
        scopes="feedback predict",
        rate=2.5,
        burst=10,
        created_by="ana",
        at=3,
        expires_at=2**52,
    ),
    Incident(
        rollout="r-1",
        task="intent",
        control="sha256:v1",
        candidate="sha256:v2",
        decision="d-1",
        code="errors",
        reason="more failures",
        drill=None,
        at=5,
        steps={"caches": {"at": 6, "dropped": True}},
    ),
    Delivery(
        channel="on-call",
        seq=3,
        attempts=1,
        next_at=10,
        error="503 Service Unavailable",
        at=9,
        since=8,
        delivered=2,
        given_up=1,
    ),
    StagingRecord(
        id="s-1",
        task="intent",
        bundle="sha256:b",
        label="intent@2",
        document={"load": {"p95_ms": 12.5}},
        person="ana",
        signature="ed25519:x",
        at=7,
    ),
)
"""One of every kind that `commit` appends."""
