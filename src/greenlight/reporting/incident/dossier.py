"""What an evidence folder says: `evidence.json`, as one schema.

It holds ids, names of versions and of staff, and counts: no texts, and no name of a unit. Times are
microseconds since 1970-01-01 UTC, durations are in the unit of their name.
"""

from __future__ import annotations

from typing import Any

import msgspec

from greenlight.core.alarms import Reading
from greenlight.core.ledger import SignedHead
from greenlight.core.states import Action, RolloutStatus, Variant
from greenlight.reporting.history import Proportion

SCHEMA = 1


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the parts."""


class Subject(Told, frozen=True, kw_only=True):
    """The rollout."""

    id: str
    task: str
    status: RolloutStatus
    started_at: int
    ended_at: int
    seconds: float
    initiator: str
    policy_digest: str
    launch: int
    """Which attempt of this pair of versions it was."""
    aa: bool
    drill: str | None
    """The fault that it rehearsed; None: it was in earnest."""


class VersionFacts(Told, frozen=True, kw_only=True):
    """A version: what it is, and what was known of it before."""

    variant: Variant
    label: str
    digest: str
    bundle: str | None
    status: str | None
    dataset: str | None
    run: str | None
    evaluation: str | None
    accuracy: Proportion | None
    """On the test rows of its newest evaluation; None: not evaluated."""
    approved_by: list[str]
    """People and their roles, by their words on record."""


class TestFacts(Told, frozen=True, kw_only=True):
    """A test as the deciding moment saw it."""

    test: str
    about: str
    log_e: float
    log_threshold: float
    e: str
    """E for people."""
    threshold: str
    reached: bool
    decided: bool
    """Whether the decision rests on it."""
    reached_at: int | None
    """The look at which it first was at its threshold."""


class Ruling(Told, frozen=True, kw_only=True):
    """The decision that ended the rollout."""

    id: str
    at: int
    action: Action
    code: str
    reason: str
    by: str
    """`evidence`, `breaker`, `alarm`, `person`, or `rule`."""
    epoch_seen: int
    tests: list[TestFacts]
    cannot_compute: dict[str, str]
    """Test → why it has no E."""
    alarms: dict[str, Reading]
    """The declared alarms as the decision saw them, by name."""
    recomputed: bool
    """Whether every E recorded with every decision of the rollout was found again in its journal
    when this was written."""


class Arm(Told, frozen=True, kw_only=True):
    """What one arm has shown in the whole rollout."""

    variant: Variant
    label: str
    requests: int
    served: int
    """Those that the version answered itself."""
    failed: int
    """Calls that ended in an error or a timeout."""
    good: int
    bad: int
    """Answers by the newest word on them."""
    outcomes: int
    """Units of a split with an outcome: the first judged answer of each."""
    good_outcomes: int
    good_rate: Proportion | None
    """Of the outcomes, with an interval that may be watched."""
    latency_ms: float | None
    """Mean of the requests."""
    cost: float


class Split(Told, frozen=True, kw_only=True):
    """A period with one split."""

    epoch: int
    since: int
    until: int | None
    weight: float
    """The candidate's share of units."""


class Affected(Told, frozen=True, kw_only=True):
    """Whom the candidate touched."""

    units: int
    """Distinct units that were assigned to it at least once."""
    requests: int
    """Of theirs, while they were."""
    answered: int
    """Those that it answered itself."""
    failed: int
    """Its calls that failed; control answers in the same call."""
    bad: int
    good: int
    copies: int
    """Requests of others of which it got a copy, in the shadow; no user saw its answer."""


class Detection(Told, frozen=True, kw_only=True):
    """How long it took."""

    first_exposure: int | None
    """When the first unit met the candidate; to the minute where it has been erased."""
    decided_at: int
    seconds: float | None
    """From there to the decision; None: nobody had met it."""


class Gateway(Told, frozen=True, kw_only=True):
    """When a gateway took the end of the rollout over."""

    replica: str
    applied_at: int
    ms: float
    """Since the decision."""
    exact: bool
    """False: it routes by a later epoch by now, so it was no later than this."""


class Propagation(Told, frozen=True, kw_only=True):
    """How the decision reached the gateways."""

    says: str
    epoch: int | None
    worst_ms: float | None
    gateways: list[Gateway]
    missing: list[str]
    silent: list[str]


class Traffic(Told, frozen=True, kw_only=True):
    """What the gateways saw of control since the end of the rollout."""

    since: int
    until: int
    requests: int
    """Attempted calls, at most `MOST_CALLS`, the first ones."""
    failed: int
    p95_ms: float | None


class Event(Told, frozen=True, kw_only=True):
    """Something that happened."""

    at: int
    after_s: float
    """Since the rollout started."""
    kind: str
    what: str


class Extract(Told, frozen=True, kw_only=True):
    """The part of the ledger that `ledger.jsonl` has."""

    entries: int
    """Entries of this rollout, whole."""
    links: int
    """Entries of others between them, by number and digest only."""
    first: int | None
    last: int | None
    head: int
    """Number of the ledger's newest entry when this was written."""
    head_digest: str
    signed_head: SignedHead | None
    """The head that was published last."""


class Dossier(Told, frozen=True, kw_only=True):
    """Everything."""

    schema: int = SCHEMA
    made_at: int
    made_by: str
    rollout: Subject
    versions: list[VersionFacts]
    story: list[str]
    """What happened, in three sentences."""
    decision: Ruling | None
    """None: the rollout has no decision on record."""
    detection: Detection | None
    affected: Affected
    arms: list[Arm]
    splits: list[Split]
    timeline: list[Event]
    propagation: Propagation | None
    """None: not known."""
    control_since: Traffic | None
    steps: dict[str, Any]
    """What was done afterwards, as the incident has it."""
    drill: dict[str, Any] | None
    """What a drill measured."""
    ledger: Extract
    unknown: list[str]
    """What is not known, and why."""
    verify: list[str]
    """Commands that check it."""
