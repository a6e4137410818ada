"""How much feedback a rollout takes: the engine's own tests, on simulated outcomes.

A question is asked of many simulated rollouts at once (`core.stats.many`), and answered by
quantiles: half of the rollouts need at most the median, nine in ten at most `q90`. What too few
could answer within `LIMIT` outcomes is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np

from greenlight.core import budget
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import MINUTE
from greenlight.core.stats.many import AssignmentTests, MarginTests

RUNS = 300
LIMIT = 60_000
"""Outcomes after which a simulated rollout gives up."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be shown, at which split, and how far apart the arms really are."""

    text: str
    test: str
    """`superiority`, `harm` or `no_worse`."""
    weight: float
    control: float
    """Probability of GOOD, in (0, 1)."""
    candidate: float
    log_threshold: float
    margin: float = 0.0


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """How many outcomes of both arms together it takes; None: more than `LIMIT`."""

    question: Question
    median: int | None
    q80: int | None
    q90: int | None


def questions(policy: DecisionPolicy, rate: float, effect: float) -> list[Question]:
    """What a rollout has to show, step by step.

    Args:
        policy: the task's.
        rate: control's probability of GOOD, in (0, 1).
        effect: how much better (or worse) a candidate is that should be told from control, in
            (0, 1); an effect that rates cannot have is cut off at the end of the scale.
    """
    limits = budget.thresholds(policy)
    rules = policy.rollout
    better, worse = min(rate + effect, 0.9999), max(rate - effect, 0.0001)
    found = []
    for number, step in enumerate(rules.steps[:-1]):
        if number < len(rules.steps) - 2:
            found.append(
                Question(
                    text=f"no worse by {rules.step_margin:.0%} (an equal candidate widens)",
                    test="no_worse",
                    weight=step.weight,
                    control=rate,
                    candidate=rate,
                    log_threshold=limits["no_worse:step"],
                    margin=rules.step_margin,
                )
            )
        found.append(
            Question(
                text=f"worse by {rate - worse:.1%} (rolled back)",
                test="harm",
                weight=step.weight,
                control=rate,
                candidate=worse,
                log_threshold=limits["quality"],
            )
        )
    last = rules.ladder[rules.last_step].weight
    if policy.evidence.promote_on == "superiority":
        found.append(
            Question(
                text=f"better by {better - rate:.1%} (promoted)",
                test="superiority",
                weight=last,
                control=rate,
                candidate=better,
                log_threshold=limits["superiority"],
            )
        )
    else:
        margin = policy.quality.scaled_margin
        found.append(
            Question(
                text=f"no worse by {margin:.1%} (an equal candidate is promoted)",
                test="no_worse",
                weight=last,
                control=rate,
                candidate=rate,
                log_threshold=limits["no_worse:quality"],
                margin=margin,
            )
        )
    return found


def needed(
    question: Question,
    policy: DecisionPolicy,
    rng: np.random.Generator,
    progress: Callable[[float, str], None],
    *,
    runs: int = RUNS,
    limit: int = LIMIT,
) -> Need:
    """Simulate a question.

    Args:
        question: what is to be shown.
        policy: for the horizon.
        rng: the source of luck.
        progress: is told how much is done.
        runs: how many rollouts to simulate.
        limit: outcomes after which each gives up.
    """
    test = _test(question, policy, runs)
    first = np.full(runs, np.inf)
    for number in range(1, limit + 1):
        arm = rng.random(runs) < question.weight
        good = rng.random(runs) < np.where(arm, question.candidate, question.control)
        test.take(arm.astype(float), good.astype(float), np.full(runs, question.weight))
        log_e: object = test.log_e
        first[np.isinf(first) & (np.asarray(log_e) >= question.log_threshold)] = number
        if number % 100 == 0:
            crossed = float(np.isfinite(first).mean())
            progress(max(crossed, number / limit), question.text)
            if crossed > 0.93:
                break
    quantiles = [np.quantile(first, at, method="inverted_cdf") for at in (0.5, 0.8, 0.9)]
    median, q80, q90 = (int(value) if math.isfinite(value) else None for value in quantiles)
    return Need(question=question, median=median, q80=q80, q90=q90)


def _test(question: Question, policy: DecisionPolicy, runs: int) -> AssignmentTests | MarginTests:
    if question.test == "no_worse":
        return MarginTests(margin=question.margin, runs=runs)
    if question.test == "superiority":
        return AssignmentTests(direction="superiority", runs=runs)
    horizon = max(1, policy.rollout.horizon // MINUTE)
    return AssignmentTests(direction="harm", runs=runs, horizon=horizon)
