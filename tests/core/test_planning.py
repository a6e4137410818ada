"""Planning: what has to be shown, and that the simulated needs are those of the engine."""

from __future__ import annotations

import numpy as np
import pytest

from greenlight.core.planning import Question, needed, questions
from greenlight.core.policy import DecisionPolicy, EvidencePolicy, MetricPolicy

POLICY = DecisionPolicy()


def silent(share: float, words: str) -> None:
    """Nobody watches."""
    assert 0 <= share <= 1


def test_what_a_rollout_has_to_show() -> None:
    asked = questions(POLICY, 0.8, 0.05)
    assert [(q.test, q.weight) for q in asked] == [
        ("no_worse", 0.1),
        ("harm", 0.1),
        ("harm", 0.5),
        ("superiority", 0.5),
    ]
    assert asked[-1].candidate == pytest.approx(0.85)
    assert questions(POLICY, 0.99, 0.05)[-1].candidate < 1


def test_non_inferiority_asks_for_its_margin() -> None:
    policy = DecisionPolicy(
        evidence=EvidencePolicy(promote_on="non_inferiority"),
        metrics={"quality": MetricPolicy(role="primary", margin=0.04)},
    )
    last = questions(policy, 0.8, 0.05)[-1]
    assert (last.test, last.margin, last.candidate) == ("no_worse", 0.04, 0.8)


def test_a_large_effect_needs_little_and_no_effect_is_never_shown() -> None:
    def ask(candidate: float) -> Question:
        return Question(
            text="better",
            test="superiority",
            weight=0.5,
            control=0.6,
            candidate=candidate,
            log_threshold=3.0,
        )

    rng = np.random.default_rng(1)
    some = needed(ask(0.8), POLICY, rng, silent, runs=100, limit=3000)
    assert some.median is not None and some.q80 is not None
    assert 50 < some.median < some.q80 < 1000
    none = needed(ask(0.6), POLICY, rng, silent, runs=100, limit=500)
    assert (none.median, none.q90) == (None, None)
