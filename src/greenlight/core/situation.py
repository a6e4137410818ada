"""Where a rollout stands, apart from its evidence: what a verdict takes into account besides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from greenlight.core.alarms import Reading
from greenlight.core.answers import ArmSummary, Copies
from greenlight.core.states import Action, Variant


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a person, or the kill switch, wants done, and why."""

    action: Action
    by: str
    why: str
    code: str = "order"
    """Of the decision that it becomes."""


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a rollout stands, apart from its evidence."""

    step: int
    epoch: int
    started_at: int
    soaking_since: int | None
    """When the last live gateway took over this epoch's split; None: not all have yet."""
    complete_until: int | None
    """Every event up to this moment is in the store; None: no gateway is alive."""
    arms: Sequence[ArmSummary]
    unapproved: str | None = None
    """Why the candidate may not get more traffic, if so."""
    untrusted_since: int | None = None
    """Since when the evidence has been held as untrusted without a break; None: it is not."""
    unreachable_since: int | None = None
    """Since when a gateway's breaker lets nothing through to the candidate, while control is
    healthy there; None: nowhere."""
    alarms: Mapping[str, Reading] = {}
    """How the declared alarms stand, by name; those that do not apply now are absent."""
    control_down_since: int | None = None
    """Since when no live gateway's breaker lets anything through to control; None: one does."""
    pending: bool = False
    """Whether it waits for its release window and has had no traffic yet."""
    window: str | None = None
    """Why the release window forbids more traffic now, if it does."""
    paused: str | None = None
    """Who has paused the rollout, and why."""
    drill: str | None = None
    """The fault that the rollout rehearses, in words; None: it is in earnest."""
    order: Order | None = None


def served_share(arms: Sequence[ArmSummary], epoch: int) -> float | None:
    """Share of the candidate's requests in an epoch that it answered itself; None: no request."""
    own = [arm for arm in arms if arm.epoch == epoch and arm.variant == Variant.CANDIDATE]
    requests = sum(arm.requests for arm in own)
    return sum(arm.served for arm in own) / requests if requests else None


def copies(arms: Sequence[ArmSummary]) -> Copies:
    """What a rollout's candidate made of the copies that it got in the shadow."""
    made = [arm.copies for arm in arms if arm.variant == Variant.CANDIDATE]
    return sum(made, Copies())
