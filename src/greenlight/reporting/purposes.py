"""What each test of a rollout is for, and how far it is: in the order in which people ask."""

from __future__ import annotations

from typing import Literal

import msgspec

from greenlight.core import budget
from greenlight.core.growth import carrying
from greenlight.core.ruling import quality_tests, word_tests
from greenlight.reporting.underway import Underway

Purpose = Literal["harm", "promotion", "step", "trust", "shown"]


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A test with its E and its threshold, as natural logarithms."""

    test: str
    purpose: Purpose
    """`harm` rolls back, `promotion` and `step` are proofs that those need, `trust` holds
    everything; `shown` is there to be looked at."""
    counts: bool
    """Whether it does so as things stand."""
    log_e: float | None
    """Of a test of trust the highest that it ever had; None where it is not computed."""
    log_threshold: float


def bars(found: Underway) -> list[Bar]:
    """Every test of a rollout."""
    evidence, policy = found.evidence, found.policy
    carries, _, win = carrying(evidence, policy)
    tests = found.tests | {carries: (evidence.log_e.get(carries), win)}
    trust = (budget.SAME_SPLIT, budget.SAME_VOICE)
    step = f"{budget.NO_WORSE}:step"
    chosen: dict[str, tuple[Purpose, bool]] = {
        test: ("harm", policy.trigger == "evidence" and _counts(test, found))
        for test in budget.harm_tests(policy)
    }
    chosen |= {test: ("promotion", True) for test in (carries, *budget.proofs(policy))}
    if found.rollout.step < policy.rollout.last_step:
        chosen[step] = ("step", True)
    chosen |= {test: ("trust", True) for test in trust}
    chosen |= {test: ("shown", False) for test in tests if test not in chosen}
    peaks = evidence.peaks
    return [
        Bar(
            test=test,
            purpose=purpose,
            counts=counts,
            log_e=peaks[test] if test in trust else tests[test][0],
            log_threshold=tests[test][1],
        )
        for test, (purpose, counts) in chosen.items()
        if test in tests
    ]


def _counts(test: str, found: Underway) -> bool:
    """Whether a test of harm rolls back: which of those of people's words do depends on trust."""
    of_words = ("intention", *quality_tests(found.policy))
    return test not in of_words or test in word_tests(found.evidence, found.policy)
