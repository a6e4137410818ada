"""What a task demands of a version before and while it meets users. Policies check themselves.

Durations are integers of microseconds. A policy that contradicts itself cannot be built: the
constructor raises `PolicyError` with every contradiction in one message.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from greenlight.core import fingerprint
from greenlight.core.errors import PolicyError
from greenlight.core.records import DAY, MINUTE, SECOND


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the policies."""

    def problems(self) -> Iterable[str]:
        """Every contradiction, as `field: what is wrong and what would be right`."""
        return ()

    def __post_init__(self) -> None:
        found = list(self.problems())
        if found:
            raise PolicyError("; ".join(found))


class GateRule(Policy, frozen=True, kw_only=True):
    """A bar for one metric of the evaluation document.

    `min`/`max` block, `warn` only warns (a value on the wrong side of it, in the metric's own
    direction). `bound` says what is held against the bar: the point estimate, or the end of its
    confidence interval that makes passing harder. `min_delta` is the least difference from the
    live version, on the same items, that does not block: 0 asks to be no worse, -0.01 forgives a
    point; with `bound = "lower"` the lower end of the paired interval is held against it.
    """

    min: float | None = None
    max: float | None = None
    warn: float | None = None
    min_delta: float | None = None
    bound: Literal["point", "lower"] = "point"

    def problems(self) -> Iterable[str]:
        if (self.min, self.max, self.warn, self.min_delta) == (None,) * 4:
            yield "a gate needs `min`, `max`, `warn` or `min_delta`"
        if self.min is not None and self.max is not None and self.min > self.max:
            yield f"min {self.min} is above max {self.max}: nothing could pass"
        if self.min_delta is not None and not -1 <= self.min_delta <= 1:
            yield f"min_delta: {self.min_delta} is outside [-1, 1]; 0.01 is one point"


class ApprovalPolicy(Policy, frozen=True, kw_only=True):
    """Who must sign: role → how many distinct people; `expiry` is how long a signature lasts."""

    quorum: dict[str, int] = msgspec.field(
        default_factory=lambda: {"ml_lead": 1, "product_owner": 1}
    )
    expiry: int = 30 * DAY

    def problems(self) -> Iterable[str]:
        if not self.quorum:
            yield "quorum: at least one role must sign"
        for role, count in self.quorum.items():
            if count < 1:
                yield f"quorum.{role}: {count} people can approve nothing; use 1 or more"
        if self.expiry <= 0:
            yield "expiry: must be longer than zero"


class Step(Policy, frozen=True, kw_only=True):
    """One rung of a rollout: the candidate's share of units, and how long to stay at least."""

    weight: float
    soak: int = 0

    def problems(self) -> Iterable[str]:
        if not 0 < self.weight <= 1:
            yield f"weight: {self.weight} is outside (0, 1]"
        if self.soak < 0:
            yield "soak: must not be negative"


class RolloutPolicy(Policy, frozen=True, kw_only=True):
    """How a candidate climbs.

    `steps` rise to 1.0, the promotion. `feedback_window` (W) is how long feedback on an exposure
    counts; `fast_window` how long a BAD counts as early harm; `grace` what a row may lag behind
    before its cohort closes. At `horizon` an undecided rollout ends as inconclusive.
    `min_outcomes` is needed of each arm before a step may widen, and `min_served_share` of the
    requests assigned to the candidate must have been answered by it (a dead candidate looks like
    control, because control answers for it). `stale_after`: evidence whose newest complete
    moment is older than this carries no widening and no promotion.
    """

    steps: tuple[Step, ...] = (
        Step(weight=0.10, soak=15 * MINUTE),
        Step(weight=0.50, soak=30 * MINUTE),
        Step(weight=1.0),
    )
    horizon: int = 14 * DAY
    feedback_window: int = 1 * DAY
    fast_window: int = 10 * MINUTE
    grace: int = 30 * SECOND
    min_outcomes: int = 100
    min_served_share: float = 0.99
    stale_after: int = 60 * SECOND

    def problems(self) -> Iterable[str]:
        weights = [step.weight for step in self.steps]
        if len(weights) < 2:
            yield "steps: at least one canary step and the promotion at weight 1.0"
        elif weights != sorted(set(weights)):
            yield f"steps: weights must rise, got {weights}"
        if not weights or weights[-1] != 1.0:
            yield "steps: the last weight must be 1.0 (the promotion)"
        for name in ("horizon", "feedback_window", "fast_window", "stale_after"):
            if getattr(self, name) <= 0:
                yield f"{name}: must be longer than zero"
        if self.fast_window > self.feedback_window:
            yield "fast_window: must not be longer than feedback_window"
        if self.horizon <= self.feedback_window + self.grace:
            yield "horizon: must be longer than feedback_window + grace, or nothing ever matures"
        if self.grace < 0:
            yield "grace: must not be negative"
        if self.min_outcomes < 1:
            yield f"min_outcomes: {self.min_outcomes} is below 1"
        if not 0 < self.min_served_share <= 1:
            yield f"min_served_share: {self.min_served_share} is outside (0, 1]"

    @property
    def last_step(self) -> int:
        """Index of the last step before promotion."""
        return len(self.steps) - 2


class EvidencePolicy(Policy, frozen=True, kw_only=True):
    """The error budget.

    `alpha_harm` is the chance that a harmless candidate is ever rolled back, over all tests and
    all looks; it is split evenly over the tests that can roll back. `alpha_superiority` is the
    chance that a candidate no better than control is ever promoted. `min_error_excess` is the
    smallest excess of the error rate worth a rollback.
    """

    alpha_harm: float = 0.01
    alpha_superiority: float = 0.05
    error_tolerance: float = 1.0
    """Ratio of error odds that is still tolerated; 1 tolerates no excess."""
    min_error_excess: float = 0.001

    def problems(self) -> Iterable[str]:
        for name in ("alpha_harm", "alpha_superiority"):
            if not 0 < getattr(self, name) < 1:
                yield f"{name}: {getattr(self, name)} is outside (0, 1)"
        if self.error_tolerance < 1:
            yield "error_tolerance: below 1 it would demand that the candidate be better"
        if not 0 <= self.min_error_excess < 1:
            yield f"min_error_excess: {self.min_error_excess} is outside [0, 1)"


class DecisionPolicy(Policy, frozen=True, kw_only=True):
    """What is frozen when a rollout starts; its digest is on every decision."""

    rollout: RolloutPolicy = RolloutPolicy()
    evidence: EvidencePolicy = EvidencePolicy()

    @property
    def digest(self) -> str:
        """The digest that names this policy."""
        return fingerprint.digest(self)
