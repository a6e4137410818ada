"""Counting events and hearing people, where the numbers are small enough to do by hand."""

from __future__ import annotations

import pytest

from greenlight.core import budget
from greenlight.core.answers import Said
from greenlight.core.evidence import HALF_LIFE, ArmCounts, Evidence, Recent, begin, outcome
from greenlight.core.policy import DecisionPolicy


def counted(**counts: ArmCounts) -> Evidence:
    """Evidence with these counts, named `control_7` for control's in epoch 7."""
    state = begin(DecisionPolicy())
    for name, own in counts.items():
        arm, _, epoch = name.partition("_")
        state.counts[f"{epoch}/{arm}"] = own
    return state


def test_an_excess_is_taken_within_epochs_and_weighted_by_their_units() -> None:
    """Mantel and Haenszel by hand: (100·.2·… + …)/…, epochs without one of the arms left out."""
    state = counted(
        control_1=ArmCounts(exposed=50, events={"error": 50}),
        control_2=ArmCounts(exposed=300, events={"error": 30}),
        candidate_2=ArmCounts(exposed=100, events={"error": 30}),
        control_10=ArmCounts(exposed=60, events={"slow": 6}),
        candidate_10=ArmCounts(exposed=40, events={"error": 4}),
        candidate_11=ArmCounts(exposed=9, events={"error": 9}),
    )
    first, second = 300 * 100 / 400, 60 * 40 / 100
    expected = (first * (0.3 - 0.1) + second * (0.1 - 0.0)) / (first + second)
    assert state.excess("error") == pytest.approx(expected)
    assert state.excess("slow") == 0.0, "lately nobody met anything: 0 is more than below 0"
    assert state.excess("other") == 0.0
    assert counted().excess("error") == 0.0


def test_what_is_recent_is_forgotten_by_half() -> None:
    recent = Recent(exposed=[40.0, 8.0], events={"error": [4.0, 2.0]}, minute=3)
    assert recent.excess("error") == pytest.approx(2 / 8 - 4 / 40)
    assert recent.excess("slow") == 0.0
    recent.reach(3 + int(HALF_LIFE))
    assert recent.minute == 3 + int(HALF_LIFE)
    assert recent.exposed == pytest.approx([20.0, 4.0])
    assert recent.events["error"] == pytest.approx([2.0, 1.0])
    recent.reach(1)
    assert recent.minute == 3 + int(HALF_LIFE)
    assert recent.exposed == pytest.approx([20.0, 4.0])
    assert Recent(exposed=[4.0, 0.0], events={"error": [1.0, 0.0]}).excess("error") == 0.0
    assert Recent(exposed=[0.0, 4.0], events={"error": [0.0, 1.0]}).excess("error") == 0.0


def test_counts_of_an_arm_are_those_of_an_epoch_or_of_all() -> None:
    state = counted(
        control_1=ArmCounts(exposed=5, events={"error": 1}, matured=4, outcomes=3, good=2),
        control_2=ArmCounts(exposed=50, events={"slow": 10}, matured=40, outcomes=30, good=20),
        candidate_2=ArmCounts(exposed=7),
    )
    total = ArmCounts(exposed=55, events={"error": 1, "slow": 10}, matured=44, outcomes=33, good=22)
    assert [state.arm(v) for v in ("control", "candidate")] == [total, ArmCounts(exposed=7)]  # type: ignore[arg-type]
    assert state.arm("control", 1).failed == 1  # type: ignore[arg-type]
    assert state.arm("candidate", 1) == ArmCounts()  # type: ignore[arg-type]


def test_the_last_word_on_the_first_judged_answer_counts() -> None:
    said = [
        Said(inference=inference, value=value, at=at, reviewer=None)
        for at, (inference, value) in enumerate([("a", 1.0), ("a", 0.5), ("b", 0.0), ("a", 0.0)])
    ]
    assert outcome(said) == said[3]
    assert outcome(said[:3]) == said[1]
    assert outcome(said[:1]) == said[0]


def test_what_cannot_be_computed_says_why_to_the_word() -> None:
    gaps = {gap.test: gap.reason for gap in budget.missing(DecisionPolicy())}
    for name in ("p95", "p99"):
        assert gaps[f"latency_{name}"] == (
            "control had answered too few requests before the start to know its percentiles"
        )
    assert gaps["latency_slo"] == "evidence.latency_slo_ms is not set"
