"""The truth table of verdicts: what goes first, and that nothing ships on doubt."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.alarms import ArmReading, Reading, State, judge
from greenlight.core.answers import ArmSummary
from greenlight.core.budget import thresholds
from greenlight.core.evidence import ArmCounts, Evidence, begin
from greenlight.core.policy import DecisionPolicy, MetricPolicy, RolloutPolicy, Step
from greenlight.core.records import HOUR, MINUTE, SECOND
from greenlight.core.situation import Order, Situation
from greenlight.core.states import Action, Variant
from greenlight.core.verdict import decide

POLICY = DecisionPolicy(
    rollout=RolloutPolicy(
        steps=(Step(weight=0.1, soak=MINUTE), Step(weight=0.5, soak=MINUTE), Step(weight=1.0)),
        horizon=10 * HOUR,
        feedback_window=5 * MINUTE,
        fast_window=MINUTE,
        min_outcomes=100,
    ),
    metrics={"clicked": MetricPolicy(), "money": MetricPolicy(kind="number", low=0, high=9)},
    latency_bars={"p95": 90.0},
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


def alarm(
    candidate: State, control: State = "ok", name: str = "p95_latency_ms"
) -> dict[str, Reading]:
    """One alarm, as the arms stand under it."""
    arms = {
        Variant.CANDIDATE: ArmReading(state=candidate),
        Variant.CONTROL: ArmReading(state=control),
    }
    judgement = judge(candidate, control)
    return {name: Reading(judgement=judgement, over=150.0, for_s=300, arms=arms)}


PROVED = {"no_worse:errors": 99.0, "no_worse:clicked": 99.0, "no_worse:money": 99.0}


def evidence(
    outcomes: int = 100,
    exposed: int = 1000,
    failed: int = 0,
    slow: int = 0,
    source: int = 0,
    late: int = 0,
    **log_e: float,
) -> Evidence:
    """Evidence with chosen log E; what is not named leans against harm, and is proved no worse.

    Colons in names are written as two underscores; `intention` and its like set both halves."""
    state = begin(POLICY)
    chosen = {**PROVED, **{name.replace("__", ":"): value for name, value in log_e.items()}}
    for pair, halves in {
        "intention": ("bad_more", "good_less"),
        "intention_better": ("bad_less", "good_as_much"),
        "presence": ("heard_more", "heard_less"),
    }.items():
        chosen |= dict.fromkeys(halves, chosen.pop(pair, -1.0))
    state.trials.presence_peak = max(0.0, chosen["heard_more"])
    state.split.peak = chosen.pop("srm", 0.0)
    for tests in (state.trials.assignment, state.trials.margin, state.trials.events):
        for name, test in tests.items():
            test.horizon = None
            test.log_wealth = [chosen.get(name, -1.0)] * len(test.log_wealth)
    for variant in Variant:
        own = variant == Variant.CANDIDATE
        state.counts[f"{EPOCH}/{variant}"] = ArmCounts(
            exposed=exposed,
            events={"error": failed if own else 0, "latency_p95": slow if own else 0},
            matured=200,
            outcomes=outcomes,
            good=outcomes // 2,
        )
    state.sources.counts, state.sources.total = {"abc": source}, source
    state.excluded = {"late": late}
    return state


LIMIT = thresholds(POLICY)["quality"]
WIN = thresholds(POLICY)["superiority"]
TRUST = thresholds(POLICY)["srm"]
LAST = {"step": 1}
STOP_IT = Order(action=Action.HOLD, by="ana", why="a holiday")
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
    ("evidence from the future", {"complete_until": NOW + 61 * SECOND}, {}, Action.HOLD, "stale"),
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
    ("too few units", {}, {"exposed": 99}, Action.STAY, "collecting"),
    ("too few outcomes", {}, {"outcomes": 99}, Action.STAY, "collecting"),
    (
        "too few outcomes, but proved no worse by the step's margin",
        {},
        {"outcomes": 99, "no_worse__step": WIN},
        Action.WIDEN,
        "no_harm",
    ),
    (
        "better, but too few outcomes",
        LAST,
        {"outcomes": 99, "superiority": 99.0},
        Action.STAY,
        "collecting",
    ),
    ("errors may be more", {}, {"no_worse__errors": WIN - 1e-6}, Action.STAY, "unproved"),
    (
        "better, but errors may be more",
        LAST,
        {"superiority": WIN, "no_worse__errors": WIN - 1e-6},
        Action.STAY,
        "unproved",
    ),
    (
        "better, but a secondary metric may be worse",
        LAST,
        {"superiority": WIN, "no_worse__clicked": WIN - 1e-6},
        Action.STAY,
        "unproved",
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
    ("a person says so", {"order": STOP_IT}, {"errors": 99.0, "failed": 9}, Action.HOLD, "order"),
    (
        "nothing gets through",
        {"unreachable_since": NOW - 61 * SECOND},
        {"errors": 99.0, "failed": 9},
        Action.ROLLBACK,
        "breaker",
    ),
    (
        "nothing has got through for a moment",
        {"unreachable_since": NOW - 59 * SECOND},
        {},
        Action.WIDEN,
        "no_harm",
    ),
    ("slow answers", {}, {"latency_p95": LIMIT, "slow": 9}, Action.ROLLBACK, "latency_p95"),
    ("slow answers too few to matter", {}, {"latency_p95": LIMIT}, Action.WIDEN, "no_harm"),
    ("an alarm", {"alarms": alarm("breached")}, {"srm": 99.0}, Action.ROLLBACK, "alarm"),
    (
        "an alarm where control has no traffic",
        {"alarms": alarm("breached", "no_data")},
        {},
        Action.ROLLBACK,
        "alarm",
    ),
    (
        "errors go before an alarm",
        {"alarms": alarm("breached")},
        {"errors": LIMIT, "failed": 9},
        Action.ROLLBACK,
        "errors",
    ),
    ("both breach", {"alarms": alarm("breached", "breached")}, {}, Action.HOLD, "alarm_page"),
    (
        "nothing is rolled back on what cannot be compared",
        {"alarms": alarm("breached", "failing")},
        {},
        Action.HOLD,
        "alarm_page",
    ),
    (
        "a page goes before what people have against it",
        {"alarms": alarm("ok", "breached"), "paused": "ana: later"},
        {},
        Action.HOLD,
        "alarm_page",
    ),
    ("no data for an alarm", {"alarms": alarm("no_data")}, {}, Action.HOLD, "alarm_no_data"),
    (
        "an alarm on old data, of which another one fails",
        {"alarms": {**alarm("stale"), **alarm("failing", name="class_shift")}},
        {},
        Action.HOLD,
        "alarm_failing",
    ),
    ("an alarm on old data", {"alarms": alarm("stale")}, {}, Action.HOLD, "alarm_stale"),
    (
        "an alarm that only pages does not keep harm from being rolled back",
        {"alarms": alarm("breached", "breached")},
        {"quality": LIMIT},
        Action.ROLLBACK,
        "quality",
    ),
    ("a wrong split", {}, {"srm": TRUST, "quality": 99.0}, Action.HOLD, "srm"),
    (
        "a wrong split does not excuse errors",
        {},
        {"srm": TRUST, "errors": LIMIT, "failed": 9},
        Action.ROLLBACK,
        "errors",
    ),
    (
        "a wrong split for too long",
        {"untrusted_since": NOW - 30 * MINUTE},
        {"srm": TRUST},
        Action.WITHDRAW,
        "srm",
    ),
    (
        "a wrong split at the horizon",
        {"started_at": NOW - 10 * HOUR},
        {"srm": TRUST},
        Action.HOLD,
        "srm",
    ),
    ("one voice", {}, {"source": 41, "quality": 99.0}, Action.HOLD, "concentration"),
    ("one voice of many", {}, {"source": 40}, Action.WIDEN, "no_harm"),
    (
        "one voice of few",
        {},
        {"source": 5, "outcomes": 10, "quality": 99.0},
        Action.HOLD,
        "concentration",
    ),
    ("unequal feedback", {}, {"presence": 9.0, "quality": 99.0}, Action.HOLD, "presence"),
    (
        "unequal feedback, and worse over all units",
        {},
        {"presence": 9.0, "intention": LIMIT},
        Action.ROLLBACK,
        "intention",
    ),
    (
        "equal feedback: the units that said nothing have no say",
        {},
        {"intention": LIMIT},
        Action.WIDEN,
        "no_harm",
    ),
    (
        "unequal feedback, and better over all units",
        LAST,
        {"presence": 9.0, "intention_better": WIN, "quality": 99.0},
        Action.PROMOTE,
        "intention",
    ),
    (
        "unequal feedback, better where it was given",
        LAST,
        {"presence": 9.0, "superiority": 99.0},
        Action.HOLD,
        "presence",
    ),
    (
        "a secondary metric is worse",
        {},
        {"metric__clicked": LIMIT},
        Action.ROLLBACK,
        "metric:clicked",
    ),
    ("late rows", {}, {"late": 20}, Action.HOLD, "late"),
    ("a few late rows", {}, {"late": 10}, Action.WIDEN, "no_harm"),
    (
        "harm needs no punctual rows",
        {},
        {"late": 900, "quality": LIMIT},
        Action.ROLLBACK,
        "quality",
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


def test_a_metric_without_bounds_cannot_be_computed_and_promotes_nothing() -> None:
    """EVIDENCE: "cannot compute" is an answer of its own, with its reason."""
    unbounded = msgspec.structs.replace(POLICY, metrics={"money": MetricPolicy(kind="number")})
    state = evidence(superiority=99.0)
    verdict = decide(situation(step=1), state, unbounded, NOW)
    assert (verdict.action, verdict.code) == (Action.HOLD, "cannot_compute")
    assert "declare low and high" in verdict.reason


def test_non_inferiority_promotes_where_the_policy_says_so() -> None:
    rules = msgspec.structs.replace(POLICY.evidence, promote_on="non_inferiority")
    policy = msgspec.structs.replace(POLICY, evidence=rules)
    proved = evidence(no_worse__quality=WIN)
    assert decide(situation(step=1), proved, policy, NOW).code == "no_worse"
    better = evidence(superiority=99.0)
    assert decide(situation(step=1), better, policy, NOW).code == "undecided"


def test_a_past_outage_does_not_hide_errors() -> None:
    """The excess is taken within each epoch: both arms failed alike while control had most of
    the users; pooled over the epochs, the candidate would seem to fail less often than control."""
    state = evidence(errors=LIMIT)
    state.counts = {
        "6/control": ArmCounts(exposed=9000, events={"error": 1800}),
        "6/candidate": ArmCounts(exposed=1000, events={"error": 200}),
        "7/control": ArmCounts(exposed=5000),
        "7/candidate": ArmCounts(exposed=5000, events={"error": 250}),
    }
    verdict = decide(situation(), state, POLICY, NOW)
    assert (verdict.action, verdict.code) == (Action.ROLLBACK, "errors")
    assert state.excess("error") == pytest.approx(2500 * 0.05 / (2500 + 900))


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
