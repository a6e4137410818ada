"""Plan: how many outcomes and how many days a rollout of a task takes, before it begins."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from greenlight.core import budget
from greenlight.core.metrics import BAD, GOOD
from greenlight.core.planning import Need, needed, questions
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import DAY
from greenlight.core.words import span
from greenlight.ports import Progress, Store

WINDOW = 7 * DAY
"""How far back the traffic is looked at."""
SAMPLE = 1000
"""Judged answers that tell the rate of GOOD."""
ENOUGH = 30
ASSUMED = 0.8
"""The rate of GOOD where too few answers were judged to know it."""


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What a task gets to hear: the rate of GOOD, and judged answers per day (None: unknown)."""

    rate: float
    per_day: float | None
    known: str
    """Where that is known from."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a rollout would take."""

    traffic: Traffic
    effect: float
    needs: list[Need]
    besides: list[str]
    """Time that no feedback shortens."""
    warnings: list[str]


def traffic(store: Store, task: str, now: int) -> Traffic:
    """What was said of a task's answers in the last seven days."""
    _, judged = store.count_answers(task, since=now - WINDOW, until=now)
    page = store.answers(task, since=now - WINDOW, until=now, limit=SAMPLE)
    last = [[word.value for word in words if word.metric == "quality"][-1:] for _, words in page]
    values = [value for (value,) in (one for one in last if one) if value in (GOOD, BAD)]
    per_day = judged * DAY / WINDOW if judged else None
    if len(values) < ENOUGH:
        known = f"assumed: only {len(values)} answers of the last 7 days were judged GOOD or BAD"
        return Traffic(rate=ASSUMED, per_day=per_day, known=known)
    rate = min(max(sum(values) / len(values), 0.001), 0.999)
    known = f"the newest {len(values)} judged answers of the last 7 days"
    return Traffic(rate=rate, per_day=per_day, known=known)


def plan(
    policy: DecisionPolicy,
    seen: Traffic,
    *,
    effect: float,
    rng: np.random.Generator,
    progress: Progress,
) -> Estimate:
    """Simulate what a rollout takes.

    Args:
        policy: the task's.
        seen: its traffic.
        effect: how much better or worse a candidate is that should be told from control.
        rng: the source of luck.
        progress: is told how much is done.
    """
    asked = questions(policy, seen.rate, effect)

    def part(number: int) -> Progress:
        return lambda share, words: progress((number + share) / len(asked), words)

    needs = [needed(question, policy, rng, part(number)) for number, question in enumerate(asked)]
    return Estimate(
        traffic=seen,
        effect=effect,
        needs=needs,
        besides=_besides(policy),
        warnings=[*_never(policy), *_too_long(policy, seen, effect, needs)],
    )


def days(need: int | None, per_day: float | None) -> float | None:
    """How many days that many outcomes take; None where that is not known."""
    return None if need is None or not per_day else need / per_day


def _besides(policy: DecisionPolicy) -> list[str]:
    rules = policy.rollout
    found = []
    if rules.shadow:
        found.append(f"before users meet it: {span(rules.shadow)} in the shadow")
    soaks = sum(step.soak for step in rules.steps[:-1])
    if soaks:
        found.append(f"at its splits, at least: {span(soaks)}")
    if rules.holdback:
        found.append(
            f"after its proof: {span(rules.holdback_for)} with {rules.holdback:.0%} held back"
        )
    return found


def _never(policy: DecisionPolicy) -> list[str]:
    """What no amount of feedback changes."""
    proofs = budget.proofs(policy)
    return [
        f"this policy can never promote: {gap.test} cannot be computed, because {gap.reason}"
        for gap in budget.missing(policy)
        if gap.test in proofs
    ]


def _too_long(
    policy: DecisionPolicy, seen: Traffic, effect: float, needs: Sequence[Need]
) -> list[str]:
    rules = policy.rollout
    found = []
    if policy.evidence.promote_on == "superiority" and seen.rate + effect >= 1:
        found.append(
            f"control is GOOD {seen.rate:.1%} of the time: nothing can be better by {effect:.1%}; "
            'plan for a smaller effect, or promote_on = "non_inferiority"'
        )
    if not seen.per_day:
        return [*found, "how long it takes is not known: give --per-day, or let feedback come in"]
    matures = (rules.horizon - rules.shadow - rules.feedback_window - rules.grace) / DAY
    left = f"{matures:.1f} days" if matures >= 1 else f"{matures * 24:.1g} hours"
    total = 0.0
    for need in needs:
        if need.question.test == "harm":
            continue
        took = days(need.q80, seen.per_day)
        total = float("inf") if took is None else total + took
    if total > matures:
        found.append(
            f"at {seen.per_day:,.0f} judged answers a day one rollout in five or more will not be "
            f"decided within the horizon: {left} are left for feedback to count; "
            "lengthen the horizon, ask for more feedback, or plan for a larger effect"
        )
    return found
