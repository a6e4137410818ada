"""What a rollout waits for is what its verdict rests on, and nothing else (O1)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core import growth, reasons
from greenlight.core.answers import Copies
from greenlight.core.evidence import begin
from greenlight.core.policy import DecisionPolicy, RolloutPolicy, Step
from greenlight.core.records import DAY, HOUR, MINUTE, SECOND
from greenlight.core.states import Action, Phase, RolloutStatus
from greenlight.core.verdict import decide
from greenlight.core.waiting import Ahead, ahead, way
from greenlight.core.words import span
from tests.core.test_verdict import LIMIT, NOW, POLICY, START, WIN, arms, evidence, situation
from tests.core.test_verdict import TABLE as VERDICTS


def look(given: dict[str, Any], shown: dict[str, Any], policy: DecisionPolicy = POLICY) -> Ahead:
    return ahead(situation(**given), evidence(**shown), policy, NOW)


def codes(found: Ahead) -> list[str]:
    return [wait.code for wait in found.waits_for]


def says(found: Ahead) -> list[str]:
    return [wait.says for wait in found.waits_for]


@pytest.mark.parametrize(("given", "shown"), [row[1:3] for row in VERDICTS])
def test_the_first_of_the_list_is_the_verdict(given: dict[str, Any], shown: dict[str, Any]) -> None:
    """One truth: it waits for something if and only if the verdict is to wait, first of all for
    what the verdict names."""
    given = {name: value for name, value in given.items() if name != "order"}
    verdict = decide(situation(**given), evidence(**shown), POLICY, NOW)
    found = look(given, shown)
    if verdict.action in (Action.STAY, Action.HOLD):
        assert codes(found)[0] == verdict.code
    else:
        assert found.waits_for == []
    ends = verdict.action in (Action.ROLLBACK, Action.WITHDRAW, Action.INCONCLUSIVE)
    assert (verdict.reason in found.step) == ends


@given(
    step=st.integers(0, 2),
    soaking=st.none() | st.integers(START, NOW),
    outcomes=st.integers(0, 200),
    exposed=st.integers(0, 200),
    late=st.integers(0, 40),
    served=st.integers(900, 1000),
    paused=st.none() | st.just("ben"),
    fresh=st.none() | st.integers(NOW - HOUR, NOW),
    log_e=st.fixed_dictionaries(
        {
            name: st.floats(-2, 9)
            for name in ("superiority", "no_worse__step", "no_worse__errors", "quality", "errors")
        }
    ),
)
def test_whatever_is_the_case_the_list_and_the_verdict_agree(
    step: int,
    soaking: int | None,
    outcomes: int,
    exposed: int,
    late: int,
    served: int,
    paused: str | None,
    fresh: int | None,
    log_e: dict[str, float],
) -> None:
    policy = msgspec.structs.replace(
        POLICY, rollout=msgspec.structs.replace(POLICY.rollout, holdback=0.05)
    )
    here = situation(
        step=step, soaking_since=soaking, paused=paused, complete_until=fresh, arms=arms(served)
    )
    shown = evidence(outcomes, exposed, late=late, **log_e)
    verdict = decide(here, shown, policy, NOW)
    found = ahead(here, shown, policy, NOW)
    waits = verdict.action in (Action.STAY, Action.HOLD)
    assert bool(found.waits_for) == waits
    if waits:
        first, *_ = growth.lacks(here, shown, policy, NOW)
        assert first.verdict == verdict and found.waits_for[0].code == verdict.code


def test_everything_that_is_missing_is_named_at_once() -> None:
    given = {"soaking_since": NOW - 10 * SECOND, "paused": "ben: a holiday"}
    shown = {"outcomes": 37, "exposed": 12, "no_worse__errors": 1.0, "no_worse__step": 1.0}
    assert says(look(given, shown)) == [
        "ben: a holiday",
        "this split stays for 50 s more",
        "12 of 100 units of control, 12 of 100 units of candidate",
        "errors: not shown to be no worse yet: E = 2.718, 20 is needed",
        "37 of 100 outcomes of control, 37 of 100 outcomes of candidate, or proof that its answers "
        "are no worse by 10%: E = 2.718, 20 is needed",
    ]
    last = look({**given, "step": 1, "paused": None}, shown)
    assert codes(last) == ["soaking", "collecting", "collecting", "undecided", "unproved"]
    assert "or proof" not in says(last)[2], "promotion takes the outcomes"


def test_only_the_arm_that_has_too_few_is_named() -> None:
    shown = evidence(outcomes=99)
    shown.counts["7/control"].outcomes = 100
    found = ahead(situation(), shown, POLICY, NOW)
    assert says(found)[0].startswith("99 of 100 outcomes of candidate, or proof")


def test_a_split_that_a_gateway_has_not_taken_over() -> None:
    assert says(look({"soaking_since": None}, {})) == ["every gateway takes this split over"]


def test_no_evidence_at_all_is_a_lack_too() -> None:
    found = look({"complete_until": None, "soaking_since": None}, {"outcomes": 0, "exposed": 0})
    assert codes(found) == ["stale", "soaking", "collecting", "collecting"]


def test_what_cannot_be_computed_is_named_once() -> None:
    policy = msgspec.structs.replace(
        POLICY,
        metrics={"money": msgspec.structs.replace(POLICY.metrics["money"], low=None, high=None)},
    )
    found = ahead(situation(step=1), evidence(superiority=WIN), policy, NOW)
    assert codes(found) == ["cannot_compute"] and "no_worse:money" in says(found)[0]


def test_before_growth_comes_what_the_verdict_holds_for() -> None:
    """Trust and a dead control are no part of growth, and stand first."""
    found = look({"control_down_since": START}, {"outcomes": 3, "no_worse__step": 0.0})
    assert codes(found) == ["control_down", "collecting"]
    untrusted = look({"untrusted_since": NOW - MINUTE}, {"source": 190})
    assert codes(untrusted)[0] == "concentration"
    assert [end.code for end in untrusted.ends] == ["concentration", "horizon"]
    assert untrusted.ends[0].says.endswith("the candidate is withdrawn in 29 min")
    begun = look({}, {"source": 190})
    assert begun.ends[0].says.endswith("withdrawn in 30 min")


def test_an_open_breaker_says_when_it_rolls_back() -> None:
    found = look({"unreachable_since": NOW - 12 * SECOND}, {})
    assert found.ends[0].says == "nothing gets through to the candidate: it is rolled back in 48 s"
    drill = msgspec.structs.replace(POLICY, trigger="alarm")
    ends = look({"unreachable_since": NOW - 12 * SECOND}, {}, drill).ends
    assert [end.code for end in ends] == ["horizon"]


def test_an_end_is_told_with_its_reason() -> None:
    found = look({}, {"quality": LIMIT})
    assert found.step.startswith(f"rollback (quality): {reasons.HARM['quality']}")
    assert (found.waits_for, found.ends) == ([], [])


FULL = DecisionPolicy(
    rollout=RolloutPolicy(
        steps=(Step(weight=0.01), Step(weight=0.1), Step(weight=0.5), Step(weight=1.0)),
        shadow=HOUR,
        holdback=0.05,
        holdback_for=2 * DAY,
    ),
    release_window="Mon-Thu 09:00-16:00 Europe/Berlin",
)


@pytest.mark.parametrize(
    ("step", "following"),
    [
        (0, "1% of units"),
        (1, "10% of units"),
        (2, "50% of units"),
        (3, "95% of units, the others held back"),
        (4, "promotion"),
    ],
)
def test_the_next_step(step: int, following: str) -> None:
    found = ahead(situation(step=step), begin(FULL), FULL, NOW)
    assert found.step == following
    assert [end.code for end in found.ends] == ([] if step == 4 else ["horizon"])


def test_in_the_shadow_copies_are_waited_for() -> None:
    [control, candidate] = arms()
    copied = msgspec.structs.replace(candidate, copies=Copies(made=12, answered=11))
    found = ahead(situation(arms=[control, copied], soaking_since=NOW), begin(FULL), FULL, NOW)
    assert says(found)[:2] == ["this split stays for 1 h more", "12 of 100 copies"]
    assert codes(found) == ["soaking", "collecting", "served_share"]


def test_pending_waits_for_its_window_and_for_people() -> None:
    """G4: no evidence is missing yet, for there is none to have."""
    given = {"pending": True, "window": "opens on Mon", "unapproved": "a signature is missing"}
    found = ahead(situation(**given, soaking_since=None), begin(FULL), FULL, NOW)
    assert found.step == "copies in the shadow"
    assert says(found) == ["a signature is missing", "opens on Mon"]
    assert found.ends[0].code == "horizon"
    overdue = situation(**given, started_at=NOW - FULL.rollout.horizon)
    assert ahead(overdue, begin(FULL), FULL, NOW).step.startswith("inconclusive (horizon): ")


@pytest.mark.parametrize("until", [None, NOW - 61 * SECOND, NOW + 61 * SECOND])
def test_pending_waits_for_gateways_whose_clocks_agree(until: int | None) -> None:
    """G4: an open window is not enough, for nothing begins while nobody is there to see it."""
    found = look({"pending": True, "complete_until": until}, {})
    assert codes(found) == ["stale"]


def places(status: RolloutStatus, step: int, policy: DecisionPolicy = FULL) -> dict[str, str]:
    return {f"{r.phase} {r.weight}": r.place for r in way(status, step, policy)}


def test_the_way_from_the_window_to_the_promotion() -> None:
    """The phases are those of the table (`core.lifecycle`)."""
    assert places(RolloutStatus.RUNNING, 2) == {
        "pending None": "passed",
        "shadow 0.0": "passed",
        "canary 0.01": "passed",
        "canary 0.1": "here",
        "last_step 0.5": "ahead",
        "holdback 0.95": "ahead",
        "promoted 1.0": "ahead",
    }
    assert places(RolloutStatus.PENDING, 0)["pending None"] == "here"
    assert "here" not in list(places(RolloutStatus.PENDING, 0).values())[1:]
    assert places(RolloutStatus.PROMOTED, 3)["promoted 1.0"] == "here"
    assert places(RolloutStatus.ROLLED_BACK, 1)["canary 0.01"] == "here"
    plain = [r.phase for r in way(RolloutStatus.RUNNING, 0, POLICY)]
    assert plain == [Phase.CANARY, Phase.LAST_STEP, Phase.PROMOTED]


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (1, "1 s"),
        (59 * SECOND + 1, "1 min"),
        (250 * SECOND, "4 min 10 s"),
        (HOUR, "1 h"),
        (HOUR + SECOND, "1 h"),
        (HOUR + MINUTE + SECOND, "1 h 1 min"),
        (13 * DAY + 4 * HOUR + 59 * MINUTE, "13 d 4 h"),
    ],
)
def test_how_long_is_still_to_wait(length: int, said: str) -> None:
    assert span(length) == said
