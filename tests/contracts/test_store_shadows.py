"""What every store promises of the copies that a candidate gets in the shadow (S6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from greenlight.core.answers import ArmSummary, Copies
from greenlight.core.records import JournalEntry, Shadow
from greenlight.core.retention import Erasure
from greenlight.core.states import Status, Variant
from greenlight.ports import Store
from tests.contracts.making import ROLLOUT, entry, inference, shadow

FOREVER = 10**15
CANDIDATE, CONTROL = Variant.CANDIDATE, Variant.CONTROL


@pytest.fixture
def random() -> Callable[[int], bytes]:
    return np.random.default_rng(1).bytes


def alone(store: Store) -> list[tuple[str, int, Variant]]:
    """(unit, at, arm that failed) of the first copies that no journal has."""
    found = store.first_events(ROLLOUT, kind="shadow", until=FOREVER)
    return [(event.unit, event.at, event.variant) for event in found]


def arm(store: Store, variant: Variant) -> ArmSummary:
    """The counts of an arm in epoch 1."""
    return next(found for found in store.summarise(ROLLOUT) if found.variant == variant)


def test_copies_are_kept_and_counted_for_the_candidate_only(store: Store) -> None:
    """Nothing of them is traffic: no request, no unit, no exposure of the candidate."""
    made = [inference(f"i{n}", at=100 + n) for n in range(4)]
    copies = [
        shadow("i0", latency_ms=10.0, input_tokens=7, output_tokens=3, cost=0.5),
        shadow("i1", at=101, latency_ms=20.0, agreed=False),
        shadow("i2", at=102, latency_ms=30.0, agreed=None, status=Status.ERROR, alone=CANDIDATE),
        shadow("i3", at=103, latency_ms=40.0, agreed=None, status=Status.SHORT_CIRCUIT),
    ]
    for _ in range(2):
        store.ingest(made, [], copies)
        store.ingest([], [], [*copies, *copies])
    assert store.scan(Shadow) == copies
    assert arm(store, CONTROL).copies == Copies()
    found = arm(store, CANDIDATE)
    assert (found.requests, found.units, found.served, found.latency_ms) == (0, 0, 0, 0.0)
    assert (found.input_tokens, found.output_tokens, found.cost) == (7, 3, 0.5)
    assert found.copies == Copies(
        made=4, answered=2, failed=1, compared=2, agreed=1, latency_ms=25.0
    )
    exposed = store.exposures(ROLLOUT, lacking="exposure", until=FOREVER)
    assert [(e.unit, e.variant) for e in exposed] == [("ana", CONTROL)]


def test_a_copy_of_nothing_is_not_kept(store: Store) -> None:
    """What it was of may have been erased while it was under way."""
    store.ingest([], [], [shadow("gone", alone=CANDIDATE)])
    assert store.scan(Shadow) == [] and alone(store) == []
    assert store.summarise(ROLLOUT) == []


def test_the_first_copy_of_a_unit_that_one_arm_failed_alone_waits_for_the_journal(
    store: Store,
) -> None:
    store.ingest(
        [inference(f"i{n}", at=100 + n) for n in range(4)] + [inference("j", unit="ben", at=9)],
        [],
        [
            shadow("i2", at=102, alone=CANDIDATE),
            shadow("i3", at=103, alone=CONTROL),
            shadow("i0", at=100),
            shadow("j", unit="ben", at=9, alone=CONTROL),
        ],
    )
    assert alone(store) == [("ben", 9, CONTROL), ("ana", 102, CANDIDATE)]
    store.ingest([], [], [shadow("i1", at=101, alone=CONTROL)])
    assert alone(store) == [("ben", 9, CONTROL), ("ana", 101, CONTROL)]
    store.commit(append=[entry(1, test="shadow")])
    assert alone(store) == [("ben", 9, CONTROL)]


@pytest.mark.parametrize("status", [Status.ERROR, Status.OK])
def test_copies_go_with_the_requests_they_are_of(
    store: Store, random: Callable[[int], bytes], status: Status
) -> None:
    """D11."""
    store.ingest(
        [inference("i1", status=status), inference("i2", unit="ben", status=status)],
        [],
        [shadow("i1", alone=CANDIDATE), shadow("i2", unit="ben", alone=CANDIDATE)],
    )
    store.commit(append=[entry(1, test="shadow")])
    total: Counter[str] = Counter()
    for counts in store.erase(Erasure(task="intent", unit="ana", before=FOREVER), random):
        total.update(counts)
    assert (total["inferences"], total["shadows"], total["firsts"]) == (
        1,
        1,
        1 + (status == Status.ERROR),
    )
    assert [held.id for held in store.scan(Shadow)] == ["i2"]
    assert alone(store) == [("ben", 100, CANDIDATE)]
    assert [held.unit.startswith("erased:") for held in store.scan(JournalEntry)] == [True]
    assert arm(store, CANDIDATE).copies.made == 2, "counts name nobody"
    store.ingest([], [], [shadow("i1", alone=CANDIDATE)])
    assert [held.id for held in store.scan(Shadow)] == ["i2"], "it does not come back"
