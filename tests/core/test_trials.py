"""Which entry feeds which test, with what: each test beside one that is fed by hand."""

from __future__ import annotations

import math

import pytest

from greenlight.core import budget
from greenlight.core.evidence import begin, fold
from greenlight.core.policy import DecisionPolicy, EvidencePolicy, MetricPolicy, RolloutPolicy, Step
from greenlight.core.records import DAY, MINUTE, JournalEntry
from greenlight.core.states import Variant
from greenlight.core.stats.betting import MarginTest
from greenlight.core.stats.evalues import AssignmentTest, EventTest
from greenlight.core.stats.sequential import Difference
from greenlight.core.stats.srm import SampleRatioTest

POLICY = DecisionPolicy(
    rollout=RolloutPolicy(
        steps=(Step(weight=0.1), Step(weight=0.5), Step(weight=1.0)),
        horizon=3 * DAY,
        step_margin=0.07,
    ),
    evidence=EvidencePolicy(error_margin=0.03, good_margin=0.04),
    metrics={"kept": MetricPolicy(margin=0.05)},
    latency_bars={"slo": 100.0},
)
HORIZON = 3 * DAY // MINUTE
WEIGHTS = {1: 0.1, 2: 0.5}
CONTROL, CANDIDATE = Variant.CONTROL, Variant.CANDIDATE


def entry(
    seq: int, test: str, arm: Variant, y: float, *, epoch: int = 2, pi: float = 0.5, **more: object
) -> JournalEntry:
    made = JournalEntry(
        rollout="r1",
        seq=seq,
        test=test,
        unit=f"u{seq}",
        epoch=epoch,
        arm=arm,
        pi=pi,
        y=y,
        minute=7 * seq,
        at=0,
    )
    return made if not more else type(made)(**{**_fields(made), **more})


def _fields(made: JournalEntry) -> dict[str, object]:
    return {name: getattr(made, name) for name in made.__struct_fields__}


def told(*entries: JournalEntry) -> dict[str, float]:
    return fold(begin(POLICY), entries, POLICY, WEIGHTS).log_e


OUTCOMES = [(CANDIDATE, 0.0), (CONTROL, 1.0), (CANDIDATE, 1.0), (CANDIDATE, 0.0), (CONTROL, 0.0)]
"""Whose unit, and what was said."""


def reference(test: AssignmentTest | MarginTest, taken: list[tuple[Variant, float]]) -> float:
    """log E of a test that is fed by hand, the outcome number n in minute 7·n."""
    for number, (arm, y) in enumerate(taken, start=1):
        test.take(int(arm is CANDIDATE), y, 0.5, 7 * number)
    return test.log_e


def test_what_is_said_of_answers() -> None:
    found = told(*(entry(n, "quality", arm, y) for n, (arm, y) in enumerate(OUTCOMES, start=1)))
    harm = AssignmentTest("harm", horizon=HORIZON)
    assert found["quality"] == reference(harm, OUTCOMES)
    assert found["superiority"] == reference(AssignmentTest("superiority"), OUTCOMES)
    assert found["no_worse:quality"] == reference(MarginTest(0.02), OUTCOMES)
    assert [found["early_harm"], found["presence"]] == pytest.approx([0.0, 0.0], abs=1e-12)


def test_intention_to_treat_counts_everybody() -> None:
    """Who says nothing is no BAD and no GOOD; the pair is worth its weaker half."""
    said = [
        entry(n, "quality", arm, y)
        if n != 3
        else entry(n, "presence", arm, 0.0)  # the third said nothing
        for n, (arm, y) in enumerate(OUTCOMES, start=1)
    ]
    found = told(entry(9, "exposure", CONTROL, 0.0), *said)
    no_bad = [(arm, 1.0 if n == 3 else y) for n, (arm, y) in enumerate(OUTCOMES, start=1)]
    is_good = [(arm, 0.0 if n == 3 else y) for n, (arm, y) in enumerate(OUTCOMES, start=1)]
    assert found["intention"] == min(
        reference(AssignmentTest("harm", horizon=HORIZON), no_bad),
        reference(MarginTest(0.04, reverse=True, horizon=HORIZON), is_good),
    )
    assert found["intention_better"] == min(
        reference(AssignmentTest("superiority"), no_bad),
        reference(MarginTest(0.04), is_good),
    )


@pytest.mark.parametrize("better", [False, True])
def test_each_half_of_a_pair_is_fed(better: bool) -> None:
    """Many users of one mind, so that either half is the weaker one in one of the pairs."""
    taken = [(CANDIDATE if n % 2 else CONTROL, float((n % 2 == 1) is better)) for n in range(1, 80)]
    said = [entry(n, "quality", arm, y) for n, (arm, y) in enumerate(taken, start=1)]
    state = fold(begin(POLICY), [entry(99, "exposure", CONTROL, 0.0), *said], POLICY, WEIGHTS)
    trials = state.trials
    halves = {
        "bad_more": AssignmentTest("harm", horizon=HORIZON),
        "bad_less": AssignmentTest("superiority"),
    }
    bounds = {
        "good_less": MarginTest(0.04, reverse=True, horizon=HORIZON),
        "good_as_much": MarginTest(0.04),
    }
    for name, test in halves.items():
        assert trials.assignment[name].log_e == reference(test, taken), name
    for name, bound in bounds.items():
        assert trials.margin[name].log_e == reference(bound, taken), name


def test_silence_is_fed_to_both_halves() -> None:
    taken = [(CANDIDATE, 0.0), (CONTROL, 1.0), (CANDIDATE, 0.0)]
    silent = [entry(n, "presence", arm, y) for n, (arm, y) in enumerate(taken, start=1)]
    state = fold(begin(POLICY), [entry(9, "exposure", CONTROL, 0.0), *silent], POLICY, WEIGHTS)
    more = reference(AssignmentTest("superiority"), taken)
    less = reference(AssignmentTest("harm"), taken)
    assert state.log_e["presence"] == pytest.approx(math.log((math.exp(more) + math.exp(less)) / 2))
    # The second said something, so it waits for what was said; the others are no BAD and no GOOD.
    bad, good = AssignmentTest("superiority"), MarginTest(0.04)
    for number in (1, 3):
        bad.take(1, 1.0, 0.5, 7 * number)
        good.take(1, 0.0, 0.5, 7 * number)
    assert state.trials.assignment["bad_less"].log_e == bad.log_e
    assert state.trials.margin["good_as_much"].log_e == good.log_e


def test_the_tests_of_a_step_begin_with_a_wider_split_only() -> None:
    """Exposures at the same split leave them alone, entries of an older split do not enter."""
    said: list[JournalEntry] = []
    for number, (arm, y) in enumerate(OUTCOMES, start=1):
        said.append(entry(number, "exposure", arm, 0.0))
        said.append(entry(number, "quality", arm, y))
    older = entry(20, "quality", CANDIDATE, 0.0, epoch=1, pi=0.1)
    assert told(*said, older)["no_worse:step"] == reference(MarginTest(0.07), OUTCOMES)
    early = [entry(n, "exposure", CONTROL, 0.0, epoch=1, pi=0.1) for n in (30, 31)]
    first = entry(32, "quality", CANDIDATE, 0.0, epoch=1, pi=0.1)
    assert told(*early, first)["no_worse:step"] != 0.0
    assert told(*early, first, *said)["no_worse:step"] == reference(MarginTest(0.07), OUTCOMES)


def test_health_and_metrics_and_early_harm() -> None:
    taken = OUTCOMES
    rows = [entry(9, "exposure", CONTROL, 0.0)]
    for number, (arm, y) in enumerate(taken, start=1):
        rows += [entry(number, name, arm, y) for name in ("fast", "healthy", "metric:kept")]
    found = told(*rows)
    assert found["early_harm"] == reference(AssignmentTest("harm", horizon=HORIZON), taken)
    assert found["no_worse:errors"] == reference(MarginTest(0.03), taken)
    assert found["no_worse:kept"] == reference(MarginTest(0.05), taken)
    reverse = MarginTest(0.05, reverse=True, horizon=HORIZON)
    assert found["metric:kept"] == reference(reverse, taken)


def test_a_slow_answer_is_no_error() -> None:
    rows = [entry(n, "exposure", CONTROL if n % 2 else CANDIDATE, 0.0) for n in range(1, 7)]
    found = told(*rows, entry(8, "latency_slo", CANDIDATE, 1.0))
    test = EventTest(POLICY.evidence.latency_tolerance, horizon=HORIZON)
    test.take(1, 0.5, 56)
    assert found["latency_slo"] == test.log_e
    assert found["errors"] == pytest.approx(0.0, abs=1e-12)


def test_what_is_left_out_is_counted_and_the_rest_goes_on() -> None:
    rows = [
        entry(1, "exposure", CONTROL, 0.0, excluded="late"),
        entry(2, "exposure", CONTROL, 0.0, excluded="late"),
        entry(3, "exposure", CONTROL, 0.0, excluded="unit_source"),
        entry(4, "quality", CONTROL, 0.0, excluded="late"),
        entry(5, "exposure", CONTROL, 0.0),
        entry(6, "exposure", CANDIDATE, 0.0),
        entry(7, "exposure", CANDIDATE, 0.0, epoch=1, pi=0.1),
    ]
    state = fold(begin(POLICY), rows, POLICY, WEIGHTS)
    assert state.excluded == {"late": 2, "unit_source": 1}
    assert state.arm(CONTROL).exposed == state.arm(CONTROL, 2).exposed == 1
    assert (state.arm(CANDIDATE).exposed, state.arm(CANDIDATE, 1).exposed) == (2, 1)
    assert state.arm(CONTROL).outcomes == 0


def test_units_of_which_nothing_was_left_to_chance_say_nothing() -> None:
    """π of 0 or 1: neither split nor errors nor the difference look at them."""
    weights = {1: 1.0, 2: 0.5, 3: 0.0}
    rows = [
        entry(1, "exposure", CANDIDATE, 0.0, epoch=1, pi=1.0),
        entry(2, "quality", CANDIDATE, 0.0, epoch=1, pi=1.0),
        entry(3, "exposure", CONTROL, 0.0, epoch=3, pi=0.0),
        entry(4, "quality", CONTROL, 1.0, epoch=3, pi=0.0),
        entry(5, "error", CONTROL, 1.0, epoch=3, pi=0.0),
        entry(6, "error", CANDIDATE, 1.0, epoch=1, pi=1.0),
    ]
    state = fold(begin(POLICY), rows, POLICY, weights)
    assert state.at_risk == {} and state.split == SampleRatioTest()
    assert state.difference == Difference()
    assert state.log_e["errors"] == pytest.approx(0.0, abs=1e-12)
    assert state.arm(CANDIDATE).failed == state.arm(CONTROL).failed == 1


def test_the_split_is_that_of_units_nothing_was_known_of() -> None:
    rows = [
        entry(1, "exposure", CANDIDATE, 0.0),
        entry(2, "exposure", CONTROL, 0.0),
        entry(3, "exposure", CANDIDATE, 0.0),
        entry(4, "exposure", CANDIDATE, 0.0, pi=0.4 / 0.9),
    ]
    expected = SampleRatioTest()
    for arm in (CANDIDATE, CONTROL, CANDIDATE):
        expected.update(arm is CANDIDATE, 0.5, 2)
    assert fold(begin(POLICY), rows, POLICY, WEIGHTS).split == expected


def test_voices_and_the_difference() -> None:
    voices = ["s-1", "s-2", "s-1", None, "s-1"]
    rows = [
        entry(n, "quality", arm, y, source=voice)
        for n, ((arm, y), voice) in enumerate(zip(OUTCOMES, voices, strict=True), start=1)
    ]
    state = fold(begin(POLICY), rows, POLICY, WEIGHTS)
    assert state.sources.most == 3
    expected = Difference()
    for arm, y in OUTCOMES:
        expected.update(arm is CANDIDATE, y, 0.5)
    assert state.difference == expected


def test_a_few_recent_units_are_enough_for_an_excess() -> None:
    rows = [
        entry(1, "exposure", CONTROL, 0.0),
        entry(2, "exposure", CANDIDATE, 0.0),
        entry(3, "error", CANDIDATE, 1.0),
    ]
    rows = [type(row)(**{**_fields(row), "minute": 1}) for row in rows]
    state = fold(begin(POLICY), rows, POLICY, WEIGHTS)
    assert state.recent.excess(budget.ERROR) == 1.0


def test_what_was_said_is_counted_by_arm() -> None:
    rows = [entry(n, "quality", arm, y) for n, (arm, y) in enumerate(OUTCOMES * 3, start=1)]
    state = fold(begin(POLICY), rows, POLICY, WEIGHTS)
    own, other = state.arm(CANDIDATE), state.arm(CONTROL)
    assert (own.outcomes, own.good) == (9, 3)
    assert (other.outcomes, other.good) == (6, 3)


def test_a_horizon_of_a_minute_is_the_shortest() -> None:
    rules = RolloutPolicy(
        horizon=MINUTE, feedback_window=MINUTE // 4, fast_window=MINUTE // 4, grace=0
    )
    state = begin(DecisionPolicy(rollout=rules))
    assert state.trials.assignment["quality"].horizon == 1
    kept = begin(POLICY).trials.margin["metric:kept"]
    assert kept.horizon == HORIZON
