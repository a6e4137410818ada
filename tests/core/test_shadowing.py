"""The shadow: what a pair of answers says, how it is bet on, and what follows (S6, O1)."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from greenlight.core import budget
from greenlight.core.answers import ArmSummary, Copies
from greenlight.core.evidence import Evidence, begin, fold, freeze, thaw
from greenlight.core.policy import DecisionPolicy, RolloutPolicy, Step
from greenlight.core.records import HOUR, MINUTE, SECOND, JournalEntry
from greenlight.core.shadowing import failed_alone
from greenlight.core.situation import Situation, copies
from greenlight.core.states import Action, Status, Variant
from greenlight.core.verdict import Verdict, decide

POLICY = DecisionPolicy(rollout=RolloutPolicy(shadow=10 * MINUTE))
START, EPOCH = 1_000 * HOUR, 7
NOW = START + HOUR
CONTROL, CANDIDATE = Variant.CONTROL, Variant.CANDIDATE


@pytest.mark.parametrize("control", Status)
@pytest.mark.parametrize("candidate", Status)
def test_a_pair_speaks_where_one_failed_and_the_other_answered(
    control: Status, candidate: Status
) -> None:
    failures = {Status.ERROR, Status.TIMEOUT, Status.REFUSED}
    expected = {
        (True, False): CONTROL if candidate == Status.OK else None,
        (False, True): CANDIDATE if control == Status.OK else None,
    }.get((control in failures, candidate in failures))
    assert failed_alone(control, candidate) == expected


def test_the_shadow_is_the_first_rung_and_only_where_it_is_asked_for() -> None:
    rules = POLICY.rollout
    assert rules.ladder[0] == Step(weight=0.0, soak=10 * MINUTE)
    assert rules.ladder[1:] == rules.steps
    assert rules.ladder[rules.last_step].weight == 0.5
    assert RolloutPolicy().ladder == RolloutPolicy().steps
    assert budget.SHADOW in budget.harm_tests(POLICY)
    assert budget.SHADOW not in budget.harm_tests(DecisionPolicy())


def journal(failures: list[Variant], exposed: int = 0) -> Evidence:
    """Evidence of units in the shadow, the first of which met these lone failures."""
    exposures = [
        JournalEntry(
            rollout="r1",
            seq=n,
            test="exposure",
            unit=f"u{n}",
            epoch=EPOCH,
            arm=CONTROL,
            pi=0.0,
            y=0.0,
            minute=1,
            at=0,
        )
        for n in range(1, 1 + exposed)
    ]
    alone = [
        JournalEntry(
            rollout="r1",
            seq=exposed + n,
            test="shadow",
            unit=f"u{n}",
            epoch=EPOCH,
            arm=arm,
            pi=0.5,
            y=0.0,
            minute=1,
            at=0,
        )
        for n, arm in enumerate(failures, start=1)
    ]
    return fold(begin(POLICY), [*exposures, *alone], POLICY, {EPOCH: 0.0})


def test_each_pair_is_a_bet_at_even_odds() -> None:
    """The mean wealth of bets at odds of 2, 5, 20 and 100; a part of it waits for later starts."""
    once = journal([CANDIDATE]).log_e["shadow"]
    mean = sum(2 * ratio / (1 + ratio) for ratio in (2, 5, 20, 100)) / 4
    begun = (math.exp(once) - 1) / (mean - 1)
    assert begun == pytest.approx(0.6, abs=0.001), "what is at stake in the first minute"
    assert journal([CONTROL]).log_e["shadow"] < 0 < once
    assert journal([CANDIDATE, CONTROL]).log_e["shadow"] == pytest.approx(
        journal([CONTROL, CANDIDATE]).log_e["shadow"]
    )


def test_arms_that_fail_alike_are_hardly_ever_told_apart() -> None:
    """Ville: E reaches 1/α with a probability of α at most, whenever one looks."""
    rng, limit, alarms = np.random.default_rng(2025), math.log(20), 0
    for _ in range(300):
        arms = [CANDIDATE if luck else CONTROL for luck in rng.integers(0, 2, 60)]
        alarms += any(journal(arms[:size]).log_e["shadow"] >= limit for size in range(5, 61, 5))
    assert alarms / 300 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


def test_the_excess_is_a_share_of_the_units_in_the_shadow() -> None:
    assert journal([]).shadow_excess == 0.0
    assert journal([CANDIDATE, CANDIDATE, CONTROL], exposed=100).shadow_excess == 0.01
    state = journal([CANDIDATE, CONTROL], exposed=9)
    assert thaw(freeze(state)).shadow_excess == state.shadow_excess


def arms(**made: Any) -> list[ArmSummary]:
    """Both arms; the candidate's has copies."""
    return [
        ArmSummary(
            epoch=EPOCH,
            variant=variant,
            requests=1000 if variant == CONTROL else 0,
            served=1000 if variant == CONTROL else 0,
            failed=0,
            units=900 if variant == CONTROL else 0,
            good=0,
            bad=0,
            latency_ms=1.0,
            copies=Copies(**made) if variant == CANDIDATE else Copies(),
        )
        for variant in Variant
    ]


def verdict(evidence: Evidence, made: dict[str, Any] | None = None, **changes: Any) -> Verdict:
    """In the shadow, with enough copies answered and its time over, unless it is said otherwise."""
    situation = Situation(
        step=0,
        epoch=EPOCH,
        started_at=START,
        soaking_since=START,
        complete_until=NOW - SECOND,
        arms=arms(**made or {"made": 500, "answered": 500}),
    )
    return decide(msgspec.structs.replace(situation, **changes), evidence, POLICY, NOW)


def test_a_candidate_that_answers_its_copies_meets_its_first_users() -> None:
    found = verdict(journal([CANDIDATE, CONTROL], exposed=1000))
    assert (found.action, found.code) == (Action.WIDEN, "shadowed")
    assert "10% of units" in found.reason


@pytest.mark.parametrize(
    ("changes", "action", "code"),
    [
        ({"soaking_since": NOW - MINUTE}, Action.STAY, "soaking"),
        ({"made": {"made": 99, "answered": 99}}, Action.STAY, "collecting"),
        ({"made": {}}, Action.STAY, "collecting"),
        ({"made": {"made": 200, "answered": 197}}, Action.HOLD, "served_share"),
        ({"complete_until": None}, Action.HOLD, "stale"),
        ({"unapproved": "revoked"}, Action.HOLD, "unapproved"),
        ({"unreachable_since": START}, Action.ROLLBACK, "breaker"),
        ({"started_at": NOW - 15 * 24 * HOUR}, Action.INCONCLUSIVE, "horizon"),
    ],
)
def test_what_keeps_it_in_the_shadow_or_ends_it(
    changes: dict[str, Any], action: Action, code: str
) -> None:
    if changes.get("made") == {}:
        changes = {"arms": arms()}
    found = verdict(journal([], exposed=1000), **changes)
    assert (found.action, found.code) == (action, code)


def test_lone_failures_end_it_before_any_user_meets_it() -> None:
    found = verdict(journal([CANDIDATE] * 30, exposed=1000))
    assert (found.action, found.code) == (Action.ROLLBACK, "shadow")
    assert "could answer, the candidate failed" in found.reason


def test_a_few_lone_failures_make_it_wait_unless_they_are_too_rare_to_matter() -> None:
    found = verdict(journal([CANDIDATE] * 3, exposed=1000))
    assert (found.action, found.code) == (Action.STAY, "signs_of_harm")
    assert "shadow: E =" in found.reason
    rare = verdict(journal([CANDIDATE] * 30, exposed=40_000))
    assert (rare.action, rare.code) == (Action.WIDEN, "shadowed")


def test_after_it_the_copies_say_nothing_of_the_first_step() -> None:
    found = verdict(journal([], exposed=1000), step=1)
    assert (found.action, found.code) == (Action.STAY, "collecting")


def test_copies_of_several_epochs_add_up() -> None:
    two = [*arms(made=1, answered=1, latency_ms=10.0), *arms(made=3, failed=2, latency_ms=30.0)]
    assert copies(two) == Copies(made=4, answered=1, failed=2, latency_ms=25.0)
    assert copies([]) == Copies()
