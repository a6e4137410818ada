"""What a task demands of a version before and while it meets users. Policies check themselves.

Durations are integers of microseconds. A policy that contradicts itself cannot be built: the
constructor raises `PolicyError` with every contradiction in one message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from greenlight.core import fingerprint, windows
from greenlight.core.alarms import AlarmRule, misnamed
from greenlight.core.checked import Policy as Policy
from greenlight.core.records import DAY, MINUTE, SECOND


class GateRule(Policy, frozen=True, kw_only=True):
    """A bar for one metric of the evaluation document.

    With `bound = "lower"` it is the lower end of the paired interval that is held against
    `min_delta`.
    """

    min: float | None = None
    """Less than this blocks."""
    max: float | None = None
    """More than this blocks."""
    warn: float | None = None
    """On the wrong side of this, people are warned; it never blocks."""
    min_delta: float | None = None
    """Less than this above the live version, on the same items, blocks: `0` asks to be no worse,
    `-0.01` forgives a point. For `accuracy` alone. Where no version is live it passes and says so;
    a live version that could not be compared blocks."""
    bound: Literal["point", "lower"] = "point"
    """What is held against the bar: the point estimate, or the end of its confidence interval that
    makes passing harder."""

    def problems(self) -> Iterable[str]:
        if (self.min, self.max, self.warn, self.min_delta) == (None,) * 4:
            yield "a gate needs `min`, `max`, `warn` or `min_delta`"
        if self.min is not None and self.max is not None and self.min > self.max:
            yield f"min {self.min} is above max {self.max}: nothing could pass"
        if self.min_delta is not None and not -1 <= self.min_delta <= 1:
            yield f"min_delta: {self.min_delta} is outside [-1, 1]; 0.01 is one point"


class ApprovalPolicy(Policy, frozen=True, kw_only=True):
    """Who must sign, and for how long it counts."""

    quorum: dict[str, int] = msgspec.field(
        default_factory=lambda: {"ml_lead": 1, "product_owner": 1}
    )
    """Role → how many distinct people must sign. `ml_lead` and `product_owner` always sign, in
    `prod` also `operations` (added where the quorum is not written down). One person fills one
    place."""
    expiry: int = 30 * DAY
    """How long a signature lasts."""
    release_window: str | None = None
    """When a candidate may get more traffic, such as `"Mon-Thu 09:00-16:00 Europe/Berlin"`. A
    rollout that begins outside it waits; a rollback never does."""

    def problems(self) -> Iterable[str]:
        if not self.quorum:
            yield "quorum: at least one role must sign"
        for role, count in self.quorum.items():
            if count < 1:
                yield f"quorum.{role}: {count} people can approve nothing; use 1 or more"
        if self.expiry <= 0:
            yield "expiry: must be longer than zero"
        if self.release_window is not None and windows.parse(self.release_window) is None:
            yield f"release_window: {self.release_window!r} is not read; write {windows.EXAMPLE}"


class Step(Policy, frozen=True, kw_only=True):
    """One rung of a rollout: the candidate's share of units, and how long to stay at least.

    At weight 0 the candidate is in the shadow: it gets copies (`RolloutPolicy.ladder`).
    """

    weight: float
    """The candidate's share of units, in (0, 1]."""
    soak: int = 0
    """How long to stay at least."""

    def problems(self) -> Iterable[str]:
        if not 0 <= self.weight <= 1:
            yield f"weight: {self.weight} is outside (0, 1]"
        if self.soak < 0:
            yield "soak: must not be negative"


def _negative(policy: Policy, *names: str) -> Iterable[str]:
    for name in names:
        if getattr(policy, name) < 0:
            yield f"{name}: must not be negative"


def _below_one(policy: Policy, *names: str) -> Iterable[str]:
    for name in names:
        if getattr(policy, name) < 1:
            yield f"{name}: {getattr(policy, name)} is below 1"


def _holdback_problems(holdback: float, weights: list[float]) -> Iterable[str]:
    if not 0 <= holdback < 0.5:
        yield f"holdback: {holdback} is outside [0, 0.5)"
    elif len(weights) > 1 and weights[-2] >= 1 - holdback:
        yield f"holdback: the last step before promotion has {weights[-2]} of the units already"


class RolloutPolicy(Policy, frozen=True, kw_only=True):
    """How a candidate climbs.

    A step may widen once `min_exposed` units of each arm have met it, the candidate has answered
    `min_served_share` of its requests itself (a dead candidate looks like control, because control
    answers for it), and its answers are either shown to be no worse than control's by more than
    `step_margin`, or show no early harm while `min_outcomes` of each arm have matured.
    """

    steps: tuple[Step, ...] = (
        Step(weight=0.10, soak=15 * MINUTE),
        Step(weight=0.50, soak=30 * MINUTE),
        Step(weight=1.0),
    )
    """The rungs; weights rise to 1.0, the promotion."""
    holdback: float = 0.0
    """The share of units that stay with the old version for `holdback_for` after the proof that
    promotes, so that late harm is still seen; below 0.5."""
    holdback_for: int = 7 * DAY
    """How long they are held back."""
    shadow: int = 0
    """How long at least the candidate gets copies of control's requests before any user meets
    it."""
    horizon: int = 14 * DAY
    """When an undecided rollout ends as inconclusive."""
    feedback_window: int = 1 * DAY
    """How long feedback on an exposure counts."""
    fast_window: int = 10 * MINUTE
    """How long a BAD counts as early harm, and a failure as early."""
    grace: int = 30 * SECOND
    """How far a row may lag behind before its cohort closes."""
    min_exposed: int = 100
    """Units of each arm that must have met a split before it may widen."""
    min_outcomes: int = 100
    """Outcomes of each arm that promotion takes; widening takes them too, unless the answers are
    proved to be no worse by `step_margin`."""
    step_margin: float = 0.10
    """How much worse the candidate's answers must be proved not to be, as a share of GOOD, for a
    step to widen without `min_outcomes`."""
    min_served_share: float = 0.99
    """The share of the requests assigned to the candidate that it must have answered itself."""
    stale_after: int = 60 * SECOND
    """Evidence whose newest complete moment is older than this carries no widening and no
    promotion."""
    hold_max: int = 30 * MINUTE
    """After so long of evidence that cannot be trusted the candidate is withdrawn."""
    breaker_max: int = 60 * SECOND
    """After so long of an open circuit breaker the candidate is rolled back, if control is
    healthy."""
    unit_source: str | None = None
    """What names the units of the tests: `header`, `body` or `request`. Others are counted apart.
    Where nothing is said, the one that most requests before the start had."""

    def problems(self) -> Iterable[str]:
        weights = [step.weight for step in self.steps]
        if len(weights) < 2:
            yield "steps: at least one canary step and the promotion at weight 1.0"
        elif weights != sorted(set(weights)):
            yield f"steps: weights must rise, got {weights}"
        if 0 in weights:
            yield 'steps: at weight 0 nobody meets the candidate; for copies write shadow = "15m"'
        if not weights or weights[-1] != 1.0:
            yield "steps: the last weight must be 1.0 (the promotion)"
        for name in ("horizon", "feedback_window", "fast_window", "stale_after", "hold_max"):
            if getattr(self, name) <= 0:
                yield f"{name}: must be longer than zero"
        if self.fast_window > self.feedback_window:
            yield "fast_window: must not be longer than feedback_window"
        if self.horizon <= self.feedback_window + self.grace:
            yield "horizon: must be longer than feedback_window + grace, or nothing ever matures"
        if self.horizon <= self.shadow:
            yield "shadow: must be shorter than horizon, or no user ever meets the candidate"
        yield from _holdback_problems(self.holdback, weights)
        yield from _negative(self, "grace", "breaker_max", "shadow", "holdback_for")
        yield from _below_one(self, "min_exposed", "min_outcomes")
        for name in ("min_served_share", "step_margin"):
            if not 0 < getattr(self, name) <= 1:
                yield f"{name}: {getattr(self, name)} is outside (0, 1]"

    @property
    def ladder(self) -> tuple[Step, ...]:
        """Every step in order; the first has weight 0 where there is a time in the shadow, and the
        one before the promotion leaves out who is held back, if anybody."""
        first = (Step(weight=0.0, soak=self.shadow),) if self.shadow else ()
        held = (Step(weight=1 - self.holdback, soak=self.holdback_for),) if self.holdback else ()
        return (*first, *self.steps[:-1], *held, self.steps[-1])

    @property
    def last_step(self) -> int:
        """Place on the ladder of the last step before the proof that promotes."""
        return len(self.steps) - 2 + bool(self.shadow)


class EvidencePolicy(Policy, frozen=True, kw_only=True):
    """The error budget.

    `alpha_harm` is split over the tests that can roll back, evenly or as `weights` say.
    `alpha_superiority` is also what each proof of being no worse may err by. The margins are
    shares of units.
    """

    alpha_harm: float = 0.01
    """The chance that a harmless candidate is ever rolled back, over all tests and all looks."""
    alpha_superiority: float = 0.05
    """The chance that a candidate no better than control is ever promoted."""
    alpha_trust: float = 0.001
    """The chance that sound data are ever called untrusted, for the split and for the feedback."""
    weights: dict[str, float] = msgspec.field(default_factory=dict)
    """Test → how much of `alpha_harm` it gets, 1 where it is not named, such as
    `{ errors = 3 }`."""
    promote_on: Literal["superiority", "non_inferiority"] = "superiority"
    """What promotes: better answers, or answers that are no worse by more than
    `metrics.quality.margin`."""
    error_tolerance: float = 1.0
    """The ratio of error odds that is still tolerated; 1 tolerates no excess."""
    latency_tolerance: float = 1.5
    """The ratio of the odds of a slow answer that is still tolerated."""
    min_error_excess: float = 0.001
    """The smallest excess of a rate of failures or slow answers that is worth a rollback."""
    latency_floor_ms: float = 50.0
    """Control's percentiles below this count as this: nobody feels the difference."""
    latency_slo_ms: float | None = 150.0
    """An answer that takes longer is slow, whatever control does."""
    error_margin: float = 0.02
    """How many more of the candidate's units may meet a failure and still count as no worse."""
    good_margin: float = 0.02
    """How many fewer of all exposed units may say GOOD and still count as no worse, where feedback
    comes unequally often."""
    max_source_share: float = 0.20
    """If one reviewer gives more than this share of the outcomes, they are not trusted."""
    max_late_share: float = 0.005
    """If more than this share of the exposures came after their cohort closed, nothing grows."""

    def problems(self) -> Iterable[str]:
        for name in ("alpha_harm", "alpha_superiority", "alpha_trust", "error_margin"):
            if not 0 < getattr(self, name) < 1:
                yield f"{name}: {getattr(self, name)} is outside (0, 1)"
        for name in ("error_tolerance", "latency_tolerance"):
            if getattr(self, name) < 1:
                yield f"{name}: below 1 it would demand that the candidate be better"
        for name in ("min_error_excess", "good_margin"):
            if not 0 <= getattr(self, name) < 1:
                yield f"{name}: {getattr(self, name)} is outside [0, 1)"
        for name in ("max_source_share", "max_late_share"):
            if not 0 < getattr(self, name) <= 1:
                yield f"{name}: {getattr(self, name)} is outside (0, 1]"
        if self.latency_floor_ms < 0 or (self.latency_slo_ms or 1) <= 0:
            yield "latency_floor_ms, latency_slo_ms: must not be negative"
        for test, weight in self.weights.items():
            if weight <= 0:
                yield f"weights.{test}: {weight} would switch the test off; use more than 0"


class MetricPolicy(Policy, frozen=True, kw_only=True):
    """A metric of feedback. `quality` (GOOD/BAD) is the primary one; every other is secondary, and
    promotion needs proof that it is no worse by more than `margin` (in the metric's own units).

    A `number` needs bounds (`low`, `high`): values beyond them count as the bound. Without them
    nothing can be computed, and nothing is promoted.
    """

    kind: Literal["boolean", "number"] = "boolean"
    """A boolean is 0 or 1; a number needs bounds, or nothing can be computed and nothing is
    promoted."""
    direction: Literal["up", "down"] = "up"
    """Whether more of it is better."""
    role: Literal["primary", "secondary"] = "secondary"
    """`quality` is the primary metric, and the only one."""
    margin: float = 0.02
    """How much worse still counts as no worse, in the metric's own units."""
    low: float | None = None
    """The least value; what lies below counts as it."""
    high: float | None = None
    """The greatest value; what lies above counts as it."""

    def problems(self) -> Iterable[str]:
        if self.kind == "boolean" and (self.low, self.high) != (None, None):
            yield "low, high: a boolean is 0 or 1 already; take the bounds away"
        if (self.low is None) != (self.high is None):
            yield "low, high: give both bounds or none"
        low, high = (0.0, 1.0) if self.kind == "boolean" else (self.low, self.high)
        if low is not None and high is not None and low >= high:
            yield f"low: {low} must be below high {high}"
        elif self.margin <= 0:
            yield f"margin: {self.margin} must be above 0"
        elif low is not None and high is not None and self.margin >= high - low:
            yield f"margin: {self.margin} must be smaller than the metric's range {high - low}"

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Least and greatest value; None where they were not declared."""
        if self.kind == "boolean":
            return 0.0, 1.0
        return None if self.low is None or self.high is None else (self.low, self.high)

    def scaled(self, value: float) -> float:
        """A value on the scale [0, 1] on which more is better.

        Raises:
            ValueError: no bounds are declared.
        """
        if self.bounds is None:
            raise ValueError("a metric without bounds has no scale")
        low, high = self.bounds
        share = (min(max(value, low), high) - low) / (high - low)
        return share if self.direction == "up" else 1 - share

    @property
    def scaled_margin(self) -> float:
        """The margin on that scale; 1 where there is none."""
        return 1.0 if self.bounds is None else self.margin / (self.bounds[1] - self.bounds[0])


def roles(metrics: Mapping[str, MetricPolicy]) -> Iterable[str]:
    """What is wrong with the roles of a task's metrics."""
    for name, metric in metrics.items():
        if (metric.role == "primary") != (name == "quality"):
            yield f"metrics.{name}.role: quality is the primary metric, and the only one"


class DecisionPolicy(Policy, frozen=True, kw_only=True):
    """What is frozen when a rollout starts; its digest is on every decision.

    `latency_bars` (milliseconds, by name: `p95`, `p99`, `slo`) and `launch` (which attempt of the
    same pair of versions this is) are filled in at the start (`stages.roll_out`). With `trigger` at
    `alarm`, which only a drill has, nothing but the declared alarms rolls back.
    """

    rollout: RolloutPolicy = RolloutPolicy()
    evidence: EvidencePolicy = EvidencePolicy()
    metrics: dict[str, MetricPolicy] = msgspec.field(default_factory=dict)
    alarms: dict[str, AlarmRule] = msgspec.field(default_factory=dict)
    latency_bars: dict[str, float] = msgspec.field(default_factory=dict)
    launch: int = 1
    release_window: str | None = None
    trigger: Literal["evidence", "alarm"] = "evidence"

    def problems(self) -> Iterable[str]:
        yield from roles(self.metrics)
        yield from misnamed(self.alarms)

    @property
    def digest(self) -> str:
        """The digest that names this policy."""
        return fingerprint.digest(self)

    @property
    def secondaries(self) -> dict[str, MetricPolicy]:
        """The metrics beside quality, by name."""
        return {n: metric for n, metric in self.metrics.items() if metric.role == "secondary"}

    @property
    def quality(self) -> MetricPolicy:
        """The primary metric."""
        return self.metrics.get("quality", MetricPolicy(role="primary"))
