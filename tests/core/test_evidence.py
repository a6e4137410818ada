"""Evidence is a fold: in pieces or in one go, live or replayed, it is the same to the bit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.evidence import TESTS, begin, fold, freeze, thaw, thresholds
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import JournalEntry, Variant
from greenlight.core.stats.event_test import EventTest

POLICY = DecisionPolicy()
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
    rows += [entry(9, "error", unit="user-1"), entry(10, "error", unit="user-2")]
    evidence = fold(begin(POLICY), rows, POLICY, WEIGHTS)
    expected = EventTest.of(evidence.errors.stakes.horizon)
    expected.update(True, 2 / 8, 1)
    expected.update(True, 1 / 7, 1)
    assert evidence.log_e["errors"] == expected.log_e
    assert evidence.arm(Variant.CANDIDATE).failed == 2


def test_strata_do_not_mix() -> None:
    """A unit seen before as control has another π and is compared with its like only."""
    rows = [
        entry(1, "exposure", y=0.0, epoch=2, pi=0.5),
        entry(2, "exposure", y=0.0, epoch=2, pi=4 / 9, arm=Variant.CONTROL),
        entry(3, "error", epoch=2, pi=0.5, unit="user-1"),
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


def test_harm_shares_its_budget() -> None:
    limits = thresholds(POLICY)
    spent = sum(math.exp(-limits[test]) for test in ("quality", "early_harm", "errors"))
    assert spent == pytest.approx(POLICY.evidence.alpha_harm)


def test_an_unknown_test_is_an_error() -> None:
    with pytest.raises(ValueError, match="latency"):
        fold(begin(POLICY), [entry(1, "latency")], POLICY, WEIGHTS)


def test_state_survives_before_anything_happened() -> None:
    assert freeze(thaw(freeze(begin(POLICY)))) == freeze(begin(POLICY))
