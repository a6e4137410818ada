"""The words for where things stand: arms, outcomes of calls, statuses, actions."""

from __future__ import annotations

import enum


class Variant(enum.StrEnum):
    """The two arms of a rollout: `control` is what is live (blue), `candidate` is green."""

    CONTROL = "control"
    CANDIDATE = "candidate"


class Status(enum.StrEnum):
    """What became of the call to the assigned version."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    SHORT_CIRCUIT = "short_circuit"
    """The breaker was open: the version was not called, so this is no event in any test."""
    REFUSED = "refused"
    """The request itself was turned down, by every version that was asked: nobody's failure."""
    CANCELLED = "cancelled"
    """The client left before the answer was complete: nobody knows what it would have been."""


class VersionStatus(enum.StrEnum):
    """Where a version stands; `core.lifecycle` holds every transition."""

    REGISTERED = "registered"
    EVALUATED = "evaluated"
    GATED_OUT = "gated_out"
    APPROVED = "approved"
    REJECTED = "rejected"
    CANARY = "canary"
    LIVE = "live"
    ROLLED_BACK = "rolled_back"
    SHELVED = "shelved"
    RETIRED = "retired"


class RolloutStatus(enum.StrEnum):
    """How a rollout stands or ended."""

    PENDING = "pending"
    """It waits for its release window; nobody has met the candidate yet."""
    RUNNING = "running"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    INCONCLUSIVE = "inconclusive"
    WITHDRAWN = "withdrawn"
    """Its evidence could not be trusted for too long, or somebody aborted it; that is no word on
    the candidate."""


class Phase(enum.StrEnum):
    """Where on its way a rollout is; `core.lifecycle` holds every transition."""

    PENDING = "pending"
    SHADOW = "shadow"
    """At weight 0: the candidate gets copies."""
    CANARY = "canary"
    """At a step before the last one."""
    LAST_STEP = "last_step"
    """At the step from which it is promoted."""
    HOLDBACK = "holdback"
    """Proved; all units but a few meet the candidate."""
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    INCONCLUSIVE = "inconclusive"
    WITHDRAWN = "withdrawn"


class RunStatus(enum.StrEnum):
    """How a run of the pipeline stands or ended; `core.lifecycle` holds every transition."""

    RUNNING = "running"
    """Under way, or waiting for somebody to resume it."""
    ABORTING = "aborting"
    """Somebody asked for its end; whoever carries it out cleans up."""
    FINISHED = "finished"
    FAILED = "failed"
    ABORTED = "aborted"


class Action(enum.StrEnum):
    """What a decision does to traffic."""

    START = "start"
    STAY = "stay"
    HOLD = "hold"
    WIDEN = "widen"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    WITHDRAW = "withdraw"
    INCONCLUSIVE = "inconclusive"
    PAUSE = "pause"
    """A person's word: nothing grows until it is resumed, and harm is rolled back all the same."""
    RESUME = "resume"
