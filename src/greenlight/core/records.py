"""Frozen records, in the order of the loop: data → model → sign-off → traffic → decision.

Every time is an integer: microseconds since 1970-01-01 UTC. Every duration is an integer number
of microseconds. Ids are UUIDv7 as text, made in one place (`greenlight.core.ids`); digests are
`sha256:<hex>`. A record's `KEY` names the fields that identify it in a store.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from greenlight.core.incidents import Delivery, Incident, StagingRecord
from greenlight.core.record import DAY as DAY
from greenlight.core.record import HOUR as HOUR
from greenlight.core.record import MILLISECOND as MILLISECOND
from greenlight.core.record import MINUTE as MINUTE
from greenlight.core.record import SECOND as SECOND
from greenlight.core.record import Record as Record
from greenlight.core.states import Action, RolloutStatus, RunStatus, Status, Variant, VersionStatus


class Dataset(Record, frozen=True, kw_only=True):
    """An immutable snapshot of examples. The manifest says where every row came from."""

    KEY: ClassVar[tuple[str, ...]] = ("digest",)
    digest: str
    task: str
    name: str
    manifest: dict[str, Any]
    at: int


class Run(Record, frozen=True, kw_only=True):
    """One turn of the pipeline, from data to a version that people can sign.

    `id` is `TASK#NUMBER`, so that two runs which start at once are one key: one run per task.
    `plan` is the task's configuration, frozen at the start, and `environment` what began it ran on;
    `trigger` is `manual`, `schedule` or
    `feedback`.
    """

    id: str
    task: str
    number: int
    trigger: str
    initiator: str
    plan: dict[str, Any]
    environment: dict[str, Any]
    status: RunStatus
    at: int
    ended_at: int | None = None
    error: str | None = None


class StageResult(Record, frozen=True, kw_only=True):
    """A finished stage of a run. It is written together with what the stage made.

    `inputs` is the digest of everything that went in, code included; `output` names what came out
    (`{"dataset": …}`, `{"bundle": …}`). `reused` is the run whose result was taken over, because
    the same inputs had been paid for there.
    """

    KEY: ClassVar[tuple[str, ...]] = ("run", "name")
    run: str
    name: str
    task: str
    inputs: str
    output: dict[str, str]
    report: dict[str, Any]
    reused: str | None = None
    started_at: int
    at: int


class RunProgress(Record, frozen=True, kw_only=True):
    """How far a run is, written about once a second by whoever carries it out.

    `share` is of the stage, in [0, 1]; memory is resident, in bytes.
    """

    KEY: ClassVar[tuple[str, ...]] = ("run",)
    run: str
    task: str
    stage: str
    share: float
    words: str
    memory: int
    peak_memory: int
    at: int


class Version(Record, frozen=True, kw_only=True):
    """A candidate: the bundle and how it is run. The digest covers both.

    `runtime` is `{"kind": "in_process"}`, `{"kind": "http", "url": …}` or, for a prompt,
    `{"kind": "openai", "url": …, "key": "env:NAME"}`: where the bundle is served is part of what
    is shipped.
    """

    KEY: ClassVar[tuple[str, ...]] = ("digest",)
    digest: str
    task: str
    label: str
    bundle: str
    runtime: dict[str, Any]
    lineage: dict[str, Any]
    initiator: str
    status: VersionStatus
    at: int


class Evaluation(Record, frozen=True, kw_only=True):
    """The sealed evaluation of one version. The digest is that of the document."""

    KEY: ClassVar[tuple[str, ...]] = ("digest",)
    digest: str
    version: str
    document: dict[str, Any]
    at: int


class Approval(Record, frozen=True, kw_only=True):
    """One person's word on one version, bound to the evaluation that they saw.

    `decision` is `approve`, `reject`, `revoke` or `adopt`; words on an adoption name no evaluation
    (`core.approval.ADOPTION`). The signature covers every other field
    (`core.approval.statement`), so that nobody who can write to the store can speak for a person.
    """

    id: str
    version: str
    evaluation: str
    role: str
    person: str
    decision: str
    why: str
    at: int
    signature: str


class Rollout(Record, frozen=True, kw_only=True):
    """One attempt of a candidate to take a task's traffic. The policy is frozen at the start."""

    id: str
    task: str
    control: str
    candidate: str
    salt: str
    """Hex of ≥ 128 random bits; new for every rollout and never shown."""
    policy: dict[str, Any]
    policy_digest: str
    aa: bool
    initiator: str
    status: RolloutStatus
    step: int
    at: int
    ended_at: int | None = None
    paused: str | None = None
    """Who has paused it, and why; None: it goes on by itself."""
    drill: str | None = None
    """The fault that it rehearses, in words; None: it is in earnest."""


class Epoch(Record, frozen=True, kw_only=True):
    """A period with one fixed split. The newest epoch of a task is its routing.

    A candidate at weight 0 is in the shadow: it gets a copy of every request. `follows` is the
    number of the epoch before, 0 for the first; nothing else may follow the same one. `kill` is the
    generation of the kill switch that it was written under (`core.routing`).
    """

    KEY: ClassVar[tuple[str, ...]] = ("task", "number")
    task: str
    number: int
    rollout: str | None
    control: str
    candidate: str | None
    weight: float
    salt: str
    decision: str
    at: int
    follows: int
    kill: int = 0


class Inference(Record, frozen=True, kw_only=True):
    """One answered request.

    `version` is what was assigned, `served_version` what answered: they differ when the control
    answered for a failed candidate, and then `fallback_from` names the candidate. `weight` is the
    split then in force and `bucket` the unit's place in [0, 1): both are needed to know what the
    exposure reveals of the unit (EVIDENCE: assignment and units).

    `alone`: the other arm's breaker was open when this one was called, so that a fault of both
    would be seen here only: what became of the call is no event. `capture` is the probability with
    which its texts were kept; where the lot fell otherwise they are empty. Tokens are as the
    provider counts them, `cost` is in the currency of the runtime's prices, `caller` is the API
    key, and `reason` what a classifier's answer said beside the label (`core.reasoned`).
    """

    id: str
    task: str
    version: str
    served_version: str
    variant: Variant
    rollout: str | None
    epoch: int
    weight: float
    bucket: float
    unit: str
    unit_source: str
    input: str
    output: str
    score: float | None
    oos: bool | None
    latency_ms: float
    status: Status
    fallback_from: str | None
    config_digest: str
    at: int
    alone: bool = False
    capture: float = 1.0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    caller: str | None = None
    reason: str | None = None


class Feedback(Record, frozen=True, kw_only=True):
    """What somebody said of an answer. GOOD is 1.0 and BAD is 0.0 (`core.metrics`).

    `caller` is the API key that brought it.
    """

    id: str
    inference_id: str
    metric: str
    value: float
    reason_code: str | None = None
    comment: str | None = None
    correction: str | None = None
    reviewer: str | None = None
    at: int
    caller: str | None = None


class Shadow(Record, frozen=True, kw_only=True):
    """What a candidate said to a copy of a request that control has answered; no user saw it.

    `id`, `unit`, `unit_source` and `at` are those of the inference, `version` is the candidate.
    `alone` is the arm that failed where the other answered, None where both did the same. `agreed`
    says whether both said the same; None unless both answered. Tokens and cost are the copy's own.
    """

    id: str
    task: str
    rollout: str
    epoch: int
    version: str
    unit: str
    unit_source: str
    output: str
    latency_ms: float
    status: Status
    alone: Variant | None
    agreed: bool | None
    at: int
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None


class Replica(Record, frozen=True, kw_only=True):
    """A gateway's sign of life.

    Every inference and feedback that it received up to `flushed_through` is in the store.
    `epochs` maps a task to the epoch that this replica routes by, and `applied_at` to the moment
    since when. `open_since` maps the digest of a version to the moment since when its circuit
    breaker has let no call succeed on this replica; a version that answers is not in it. `kills`
    maps a task to the generation of the kill switch that is in force here.
    """

    id: str
    epochs: dict[str, int]
    applied_at: dict[str, int]
    open_since: dict[str, int] = msgspec.field(default_factory=dict)
    flushed_through: int
    at: int
    kills: dict[str, int] = msgspec.field(default_factory=dict)


class JournalEntry(Record, frozen=True, kw_only=True):
    """One piece of evidence; E is a fold over these in order of `seq`.

    Unique by (rollout, test, unit, epoch): the same evidence cannot count twice. `minute` numbers
    the minutes of the rollout from 1. What `y` means depends on the test: see `core.evidence`.
    `at` is when the entry was written; the fold does not look at it.

    `excluded` says why an entry is in no test: `late` (its cohort had closed when it arrived),
    `unit_source` (its unit was not named by the source that the task counts) or `epoch` (the store
    lost its epoch); None: it is in them. `source` is the pseudonym of who gave the feedback, on
    entries of the test `quality`; it goes when the unit is erased.
    """

    KEY: ClassVar[tuple[str, ...]] = ("rollout", "seq")
    rollout: str
    seq: int
    test: str
    unit: str
    epoch: int
    arm: Variant
    pi: float
    y: float
    minute: int
    at: int
    excluded: str | None = None
    source: str | None = None


class EvidenceState(Record, frozen=True, kw_only=True):
    """The fold of a rollout's journal up to `last_seq`; floats are kept as hexadecimal text."""

    KEY: ClassVar[tuple[str, ...]] = ("rollout",)
    rollout: str
    last_seq: int
    state: dict[str, Any]


class Decision(Record, frozen=True, kw_only=True):
    """What was done to traffic and why: action + reason + evidence, on the epoch it saw."""

    id: str
    task: str
    rollout: str
    action: Action
    code: str
    reason: str
    evidence: dict[str, Any]
    epoch_seen: int
    policy_digest: str
    at: int


class LedgerEntry(Record, frozen=True, kw_only=True):
    """A link of the hash chain: `digest` covers seq, prev, kind, body and at."""

    KEY: ClassVar[tuple[str, ...]] = ("seq",)
    seq: int
    prev: str
    digest: str
    kind: str
    body: dict[str, Any]
    at: int


class ApiKey(Record, frozen=True, kw_only=True):
    """A key that opens the gateway, known by its digest only (`core.keys`).

    `scopes` are words with spaces between them. `rate` is how many requests a second it may make in
    the long run and `burst` how many at once, on each gateway process; None: as many as it likes.
    """

    id: str
    name: str
    digest: str
    scopes: str
    rate: float | None
    burst: int | None
    created_by: str
    at: int
    expires_at: int | None = None
    revoked_at: int | None = None


RECORDS: tuple[type[Record], ...] = (
    Dataset,
    Run,
    StageResult,
    RunProgress,
    Version,
    Evaluation,
    Approval,
    Rollout,
    Epoch,
    Inference,
    Feedback,
    Shadow,
    Replica,
    JournalEntry,
    EvidenceState,
    Decision,
    LedgerEntry,
    ApiKey,
    Incident,
    Delivery,
    StagingRecord,
)
