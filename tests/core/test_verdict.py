"""The truth table of verdicts: what goes first, and that nothing ships on doubt."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.answers import ArmSummary
from greenlight.core.evidence import ArmCounts, Evidence, begin, thresholds
from greenlight.core.policy import DecisionPolicy, RolloutPolicy, Step
from greenlight.core.records import HOUR, MINUTE, SECOND, Action, Variant
from greenlight.core.verdict import Situation, decide, error_excess

POLICY = DecisionPolicy(
    rollout=RolloutPolicy(
        steps=(Step(weight=0.1, soak=MINUTE), Step(weight=0.5, soak=MINUTE), Step(weight=1.0)),
        horizon=10 * HOUR,
        feedback_window=5 * MINUTE,
        fast_window=MINUTE,
        min_outcomes=100,
    )
)
START = 1_000 * HOUR
NOW = START + HOUR
EPOCH = 7


def arms(served: int = 1000) -> list[ArmSummary]:
    """Traffic of the current epoch; `served` of the candidate's 1,000 requests by itself."""
    return [
        ArmSummary(
            epoch=EPOCH,
            variant=variant,
            requests=1000,
            served=served if variant == Variant.CANDIDATE else 1000,
            failed=0,
            units=800,
            good=500,
            bad=50,
            latency_ms=5.0,
        )
        for variant in Variant
    ]


def situation(**changes: Any) -> Situation:
    """A rollout at its first step that could widen at once."""
    healthy = Situation(
        step=0,
        epoch=EPOCH,
        started_at=START,
        soaking_since=START,
        complete_until=NOW - SECOND,
        arms=arms(),
    )
    return msgspec.structs.replace(healthy, **changes)


def evidence(outcomes: int = 100, failed: int = 0, **log_e: float) -> Evidence:
    """Evidence with chosen log E; what is not named leans against harm."""
    state = begin(POLICY)
    tests = {
        "quality": state.harm,
        "early_harm": state.early_harm,
        "errors": state.errors,
        "superiority": state.superiority,
    }
    for name, test in tests.items():
        test.stakes.horizon = None
        test.stakes.log_wealth = [log_e.get(name, -1.0)] * len(test.stakes.log_wealth)
    for variant in Variant:
        state.counts[f"{EPOCH}/{variant}"] = ArmCounts(
            exposed=1000,
            failed=failed if variant == Variant.CANDIDATE else 0,
            matured=200,
            outcomes=outcomes,
            good=outcomes // 2,
        )
    return state


LIMIT = thresholds(POLICY)["quality"]
WIN = thresholds(POLICY)["superiority"]
LAST = {"step": 1}
TABLE = [
    ("nothing wrong at the canary", {}, {}, Action.WIDEN, "no_harm"),
    ("better at the last step", LAST, {"superiority": WIN}, Action.PROMOTE, "superior"),
    ("not better yet", LAST, {"superiority": WIN - 1e-6}, Action.STAY, "undecided"),
    ("better, but at the canary", {}, {"superiority": 99.0}, Action.WIDEN, "no_harm"),
    ("quality harm", {}, {"quality": LIMIT}, Action.ROLLBACK, "quality"),
    ("quality harm, just short", {}, {"quality": LIMIT - 1e-6}, Action.STAY, "signs_of_harm"),
    ("early harm", {}, {"early_harm": LIMIT}, Action.ROLLBACK, "early_harm"),
    ("errors", {}, {"errors": LIMIT, "failed": 2}, Action.ROLLBACK, "errors"),
    ("errors too few to matter", {}, {"errors": LIMIT, "failed": 0}, Action.WIDEN, "no_harm"),
    (
        "errors go before quality",
        {},
        {"errors": LIMIT, "failed": 9, "quality": LIMIT},
        Action.ROLLBACK,
        "errors",
    ),
    (
        "harm goes before the horizon",
        {"started_at": NOW - 10 * HOUR},
        {"quality": LIMIT},
        Action.ROLLBACK,
        "quality",
    ),
    (
        "the horizon goes before promotion",
        {"step": 1, "started_at": NOW - 10 * HOUR},
        {"superiority": 99.0},
        Action.INCONCLUSIVE,
        "horizon",
    ),
    (
        "harm needs no fresh evidence",
        {"complete_until": None},
        {"early_harm": LIMIT},
        Action.ROLLBACK,
        "early_harm",
    ),
    ("no gateway", {"complete_until": None}, {}, Action.HOLD, "stale"),
    ("a silent gateway", {"complete_until": NOW - 61 * SECOND}, {}, Action.HOLD, "stale"),
    ("approval withdrawn", {"unapproved": "revoked by ana"}, {}, Action.HOLD, "unapproved"),
    (
        "better, but approval withdrawn",
        {"step": 1, "unapproved": "revoked by ana"},
        {"superiority": 99.0},
        Action.HOLD,
        "unapproved",
    ),
    ("control answers for it", {"arms": arms(served=989)}, {}, Action.HOLD, "served_share"),
    (
        "better, because control answers for it",
        {"step": 1, "arms": arms(served=500)},
        {"superiority": 99.0},
        Action.HOLD,
        "served_share",
    ),
    ("still soaking", {"soaking_since": NOW - MINUTE + 1}, {}, Action.STAY, "soaking"),
    ("a gateway is behind", {"soaking_since": None}, {}, Action.STAY, "soaking"),
    ("too few outcomes", {}, {"outcomes": 99}, Action.STAY, "collecting"),
    (
        "better, but too few outcomes",
        LAST,
        {"outcomes": 99, "superiority": 99.0},
        Action.STAY,
        "collecting",
    ),
    (
        "not better yet and leaning to harm",
        LAST,
        {"superiority": 0.0, "quality": 0.1},
        Action.STAY,
        "undecided",
    ),
    (
        "better and leaning to harm",
        LAST,
        {"superiority": 99.0, "quality": 0.1},
        Action.STAY,
        "signs_of_harm",
    ),
]


@pytest.mark.parametrize(
    ("where", "found", "action", "code"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_truth_table(
    where: dict[str, Any], found: dict[str, Any], action: Action, code: str
) -> None:
    """O1, O5: verdicts and their precedence."""
    verdict = decide(situation(**where), evidence(**found), POLICY, NOW)
    assert (verdict.action, verdict.code) == (action, code)
    assert verdict.reason


def test_a_past_outage_does_not_hide_errors() -> None:
    """The excess is taken within each epoch: both arms failed alike while control had most of
    the users; pooled over the epochs, the candidate would seem to fail less often than control."""
    state = evidence(errors=LIMIT)
    state.counts = {
        "6/control": ArmCounts(exposed=9000, failed=1800),
        "6/candidate": ArmCounts(exposed=1000, failed=200),
        "7/control": ArmCounts(exposed=5000),
        "7/candidate": ArmCounts(exposed=5000, failed=250),
    }
    verdict = decide(situation(), state, POLICY, NOW)
    assert (verdict.action, verdict.code) == (Action.ROLLBACK, "errors")
    assert error_excess(state) == pytest.approx(2500 * 0.05 / (2500 + 900))


LOG_E = st.floats(-50, 50)


@given(LOG_E, LOG_E, LOG_E, LOG_E, st.integers(0, 200), st.integers(0, 1))
def test_never_ship_on_doubt(
    quality: float, early: float, errors: float, superiority: float, outcomes: int, step: int
) -> None:
    """Traffic grows only with E of every harm test at most 1 (errors: unless too few to matter),
    and promotion only with E of superiority at its threshold."""
    state = evidence(
        outcomes=outcomes,
        failed=5,
        quality=quality,
        early_harm=early,
        errors=errors,
        superiority=superiority,
    )
    verdict = decide(situation(step=step), state, POLICY, NOW)
    if verdict.action in (Action.WIDEN, Action.PROMOTE):
        assert max(quality, early, errors) <= 1e-6
        assert outcomes >= 100
    if verdict.action == Action.PROMOTE:
        assert superiority >= math.log(20) - 1e-9
    if max(quality, early) >= LIMIT + 1e-9:
        assert verdict.action == Action.ROLLBACK
