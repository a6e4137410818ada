"""Evidence is a fold: in pieces or in one go, live or replayed, it is the same to the bit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core import budget
from greenlight.core.answers import Said
from greenlight.core.evidence import begin, fold, freeze, outcome, thaw
from greenlight.core.policy import DecisionPolicy, EvidencePolicy, MetricPolicy
from greenlight.core.records import JournalEntry
from greenlight.core.states import Variant
from greenlight.core.stats.evalues import AssignmentTest, EventTest

POLICY = DecisionPolicy(
    metrics={"clicked": MetricPolicy(margin=0.05)}, latency_bars={"p95": 90.0, "slo": 150.0}
)
TESTS = (
    "exposure",
    "error",
    "latency_p95",
    "latency_slo",
    "fast",
    "healthy",
    "presence",
    "quality",
    "metric:clicked",
)
WEIGHTS = {1: 0.1, 2: 0.5}


def entry(seq: int, test: str, **changes: object) -> JournalEntry:
    """An entry of a candidate unit in epoch 1, changed as asked."""
    fields: dict[str, object] = {
        "unit": f"user-{seq}",
        "epoch": 1,
        "arm": Variant.CANDIDATE,
        "pi": 0.1,
        "y": 1.0,
        "minute": 1,
    }
    return JournalEntry(rollout="r", seq=seq, test=test, at=0, **{**fields, **changes})  # type: ignore[arg-type]


ENTRIES = st.lists(
    st.builds(
        lambda test, arm, pi, y, epoch: {
            "test": test,
            "arm": arm,
            "pi": pi,
            "y": y,
            "epoch": epoch,
        },
        st.sampled_from(TESTS),
        st.sampled_from(Variant),
        st.sampled_from([0.0, 0.1, 0.4, 0.5, 1.0]),
        st.sampled_from([0.0, 1.0]),
        st.sampled_from([1, 2]),
    ),
    max_size=40,
).map(
    lambda rows: [entry(seq, minute=1 + seq // 7, **row) for seq, row in enumerate(rows, start=1)]
)


@given(ENTRIES, st.integers(0, 40))
def test_replay_is_equal_to_the_bit(entries: list[JournalEntry], cut: int) -> None:
    """Folding in two parts, with the state stored as JSON between, equals one fold."""
    whole = fold(begin(POLICY), entries, POLICY, WEIGHTS)
    first = fold(begin(POLICY), entries[:cut], POLICY, WEIGHTS)
    rest = fold(thaw(freeze(first)), entries[cut:], POLICY, WEIGHTS)
    assert freeze(rest) == freeze(whole)


@given(ENTRIES)
def test_a_fold_leaves_its_argument_alone(entries: list[JournalEntry]) -> None:
    start = begin(POLICY)
    before = freeze(start)
    fold(start, entries, POLICY, WEIGHTS)
    assert freeze(start) == before


def test_superiority_counts_the_last_step_only() -> None:
    """EVIDENCE, budget: promotion rests on tests started at the last step before it."""
    early = fold(begin(POLICY), [entry(1, "quality")], POLICY, WEIGHTS)
    assert early.log_e["superiority"] == pytest.approx(0.0)
    late = fold(begin(POLICY), [entry(1, "quality", epoch=2, pi=0.5)], POLICY, WEIGHTS)
    assert late.log_e["superiority"] > 0


def test_errors_are_shared_out_by_the_units_at_risk_just_before() -> None:
    rows = [entry(seq, "exposure", y=0.0) for seq in range(1, 3)]
    rows += [entry(seq, "exposure", y=0.0, arm=Variant.CONTROL) for seq in range(3, 9)]
    rows += [entry(9, "error", unit="user-1", y=0.0), entry(10, "error", unit="user-2", y=0.0)]
    evidence = fold(begin(POLICY), rows, POLICY, WEIGHTS)
    expected = EventTest()
    expected.update("candidate", 2 / 8, 1)
    expected.update("candidate", 1 / 7, 1)
    assert evidence.log_e["errors"] == expected.log_e
    assert evidence.arm(Variant.CANDIDATE).failed == 2


def test_at_a_units_first_request_the_assignment_itself_is_the_share() -> None:
    """Among few units at risk, itself included, the share would be unfair."""
    rows = [entry(1, "exposure", y=0.0), entry(2, "error", unit="user-1", y=1.0)]
    evidence = fold(begin(POLICY), rows, POLICY, WEIGHTS)
    expected = EventTest()
    expected.update("candidate", 0.1, 1)
    assert evidence.log_e["errors"] == expected.log_e
    assert evidence.at_risk["error/1/0x1.999999999999ap-4"] == [0, 0]


def test_a_fault_after_days_of_health_is_an_excess_now() -> None:
    """The share over a long epoch hardly moves; the last minutes tell."""
    rows = [
        entry(seq, "exposure", y=0.0, arm=Variant.CANDIDATE if seq % 10 == 0 else Variant.CONTROL)
        for seq in range(1, 3001)
    ]
    late = [
        entry(
            3000 + seq,
            "exposure",
            y=0.0,
            minute=2000,
            arm=Variant.CANDIDATE if seq % 10 == 0 else Variant.CONTROL,
        )
        for seq in range(1, 101)
    ]
    fault = [entry(4000, "error", unit="user-10", y=0.0, minute=2000)]
    evidence = fold(begin(POLICY), [*rows, *late, *fault], POLICY, WEIGHTS)
    assert evidence.recent.excess("error") == pytest.approx(0.1)
    assert evidence.excess("error") == pytest.approx(0.1)
    assert evidence.arm(Variant.CANDIDATE).failed / 310 < 0.004


def test_strata_do_not_mix() -> None:
    """A unit seen before as control has another π and is compared with its like only."""
    rows = [
        entry(1, "exposure", y=0.0, epoch=2, pi=0.5),
        entry(2, "exposure", y=0.0, epoch=2, pi=4 / 9, arm=Variant.CONTROL),
        entry(3, "error", epoch=2, pi=0.5, unit="user-1", y=0.0),
    ]
    evidence = fold(begin(POLICY), rows, POLICY, WEIGHTS)
    assert evidence.log_e["errors"] == pytest.approx(0.0)


def test_a_failure_of_a_unit_that_was_not_at_risk_is_no_event() -> None:
    """Its exposure came late and under another π: the counts of the others must stay whole."""
    rows = [
        entry(1, "exposure", y=0.0, epoch=2, pi=0.5),
        entry(2, "error", epoch=2, pi=4 / 9, unit="user-1"),
        entry(3, "exposure", y=0.0, epoch=2, pi=4 / 9, arm=Variant.CONTROL),
    ]
    evidence = fold(begin(POLICY), rows, POLICY, WEIGHTS)
    assert evidence.log_e["errors"] == pytest.approx(0.0)
    assert min(count for stratum in evidence.at_risk.values() for count in stratum) == 0


def test_an_unknown_test_is_an_error() -> None:
    with pytest.raises(ValueError, match="latency"):
        fold(begin(POLICY), [entry(1, "latency")], POLICY, WEIGHTS)


def test_state_survives_before_anything_happened() -> None:
    assert freeze(thaw(freeze(begin(POLICY)))) == freeze(begin(POLICY))


def test_what_is_excluded_is_counted_and_enters_no_test() -> None:
    """EVIDENCE, cohorts: late rows are stored, marked, and never in E."""
    rows = [entry(seq, test, excluded="late") for seq, test in enumerate(TESTS, start=1)]
    evidence = fold(begin(POLICY), rows, POLICY, WEIGHTS)
    assert evidence.log_e == begin(POLICY).log_e
    assert evidence.excluded == {"late": 1}
    assert evidence.late_share == 1.0
    assert evidence.arm(Variant.CANDIDATE).exposed == 0


def test_tests_of_a_step_begin_anew_with_a_wider_split() -> None:
    arms = [Variant.CANDIDATE, *[Variant.CONTROL] * 9]
    first = [entry(seq, "healthy", arm=arms[seq % 10]) for seq in range(1, 4000)]
    evidence = fold(begin(POLICY), [entry(0, "exposure"), *first], POLICY, WEIGHTS)
    assert evidence.log_e["no_worse:errors"] > 1
    wider = fold(evidence, [entry(300, "exposure", epoch=2, pi=0.5)], POLICY, WEIGHTS)
    assert wider.log_e["no_worse:errors"] == 0.0
    behind = fold(wider, [entry(301, "healthy", epoch=1)], POLICY, WEIGHTS)
    assert behind.log_e["no_worse:errors"] == 0.0, "a cohort of the step before is not in it"


def test_a_split_that_is_not_what_it_should_be_is_found() -> None:
    """SRM on units new to the rollout: half of them meet a 10 % candidate."""
    arms = [Variant.CANDIDATE, Variant.CONTROL]
    rows = [entry(seq, "exposure", arm=arms[seq % 2]) for seq in range(1, 100)]
    evidence = fold(begin(POLICY), rows, POLICY, WEIGHTS)
    assert evidence.peaks["srm"] > budget.thresholds(POLICY)["srm"]
    known = [entry(seq, "exposure", arm=arms[seq % 2], pi=0.3) for seq in range(1, 100)]
    assert fold(begin(POLICY), known, POLICY, WEIGHTS).peaks["srm"] == 0.0


def test_feedback_that_comes_unequally_often_is_found_and_both_metrics_see_every_unit() -> None:
    """EVIDENCE, presence: the candidate's users say BAD twice as often, and otherwise nothing."""
    rows = []
    for seq in range(1, 3000):
        arm = Variant.CANDIDATE if seq % 2 else Variant.CONTROL
        heard = seq % 8 in (1, 3) or seq % 16 == 0
        unit = {"arm": arm, "epoch": 2, "pi": 0.5, "unit": f"user-{seq}"}
        rows.append(entry(2 * seq, "presence", y=float(heard), **unit))
        if heard:
            rows.append(entry(2 * seq + 1, "quality", y=float(seq % 8 == 0), **unit))
    evidence = fold(begin(POLICY), rows, POLICY, WEIGHTS)
    limits = budget.thresholds(POLICY)
    assert evidence.peaks["presence"] > limits["presence"]
    assert evidence.arm(Variant.CANDIDATE).matured == 1500
    assert evidence.log_e["intention"] > limits["intention"]


def test_who_gives_the_outcomes_is_counted() -> None:
    rows = [entry(seq, "quality", source="abc" if seq % 3 else None) for seq in range(1, 31)]
    evidence = fold(begin(POLICY), rows, POLICY, WEIGHTS)
    assert (evidence.sources.most, evidence.sources.total) == (20, 20)


def test_a_policy_of_non_inferiority_has_its_reverse_for_harm() -> None:
    """EVIDENCE: reversed, it is the harm test of a non-inferiority policy."""
    rules = EvidencePolicy(promote_on="non_inferiority")
    policy = DecisionPolicy(
        evidence=rules, metrics={"quality": MetricPolicy(role="primary", margin=0.1)}
    )
    rows = [
        entry(
            seq,
            "quality",
            epoch=2,
            pi=0.5,
            arm=Variant.CANDIDATE if seq % 2 else Variant.CONTROL,
            y=float(seq % 5 > 0),
        )
        for seq in range(1, 2000)
    ]
    evidence = fold(begin(policy), rows, policy, WEIGHTS)
    assert evidence.log_e["no_worse:quality"] > budget.thresholds(policy)["no_worse:quality"]
    assert evidence.log_e["quality"] < 0


def test_events_are_compared_within_epochs() -> None:
    assert fold(begin(POLICY), [], POLICY, WEIGHTS).excess("error") == 0.0


def test_superiority_equals_the_test_itself() -> None:
    test = AssignmentTest("superiority")
    rows = [entry(seq, "quality", epoch=2, pi=0.5, y=float(seq % 3 > 0)) for seq in range(1, 50)]
    for row in rows:
        test.update("candidate", row.y, 0.5)
    assert fold(begin(POLICY), rows, POLICY, WEIGHTS).log_e["superiority"] == test.log_e


def test_the_first_judged_answer_counts_by_the_last_word_on_it() -> None:
    def word(inference: str, value: float, at: int) -> Said:
        return Said(inference=inference, value=value, at=at, reviewer=None)

    said = [word("a", 1.0, 1), word("b", 0.0, 2), word("a", 0.0, 3)]
    assert outcome(said) == said[2]
    assert outcome([]) is None
