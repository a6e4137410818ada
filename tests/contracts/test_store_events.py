"""What every store promises of events, and of the questions that evidence asks of them."""

from __future__ import annotations

from typing import Any

import pytest

from greenlight.adapters.stores.common import EVENT_KINDS
from greenlight.core.answers import ArmSummary, Event, Exposure, Said
from greenlight.core.errors import Conflict
from greenlight.core.records import Feedback, Inference, Replica
from greenlight.core.states import Status, Variant
from greenlight.ports import Store
from tests.contracts.making import ROLLOUT, entry, feedback, inference, link, rollout

FOREVER = 10**15
CANDIDATE = {"variant": Variant.CANDIDATE, "version": "sha256:v2", "served_version": "sha256:v2"}


def exposed(store: Store, lacking: str = "exposure", until: int = FOREVER) -> list[tuple[str, int]]:
    """(unit, at) of what the test still waits for."""
    return [(e.unit, e.at) for e in store.exposures(ROLLOUT, lacking=lacking, until=until)]


def events(store: Store, kind: str = "error", **asked: Any) -> list[tuple[str, int, int]]:
    """(unit, epoch, at) of the first events of a kind that are in no journal."""
    found = store.first_events(ROLLOUT, kind=kind, **{"until": FOREVER} | asked)
    assert {event.kind for event in found} <= {kind}
    return [(event.unit, event.epoch, event.at) for event in found]


def said(inference: str, value: float, at: int, reviewer: str | None = None) -> Said:
    """One word on an answer."""
    return Said(inference=inference, value=value, at=at, reviewer=reviewer)


# Arrival


def test_events_may_arrive_any_number_of_times(store: Store) -> None:
    made = [inference("i1"), inference("i2", at=101, reason="two ideas on one card")]
    words = [feedback("f1", "i1")]
    for _ in range(2):
        store.ingest(made, words)
        store.ingest([*made, *made], [*words, *words])
    assert store.scan(Inference) == made
    assert store.scan(Feedback) == words
    assert [(s.requests, s.units, s.good) for s in store.summarise(ROLLOUT)] == [(2, 1, 1)]
    assert exposed(store) == [("ana", 100)]


def test_an_id_that_is_there_is_skipped_whatever_it_says(store: Store) -> None:
    store.ingest([inference("i1")], [feedback("f1", "i1", 1.0)])
    store.ingest([inference("i1", at=1, unit="eve", epoch=7)], [feedback("f1", "i1", 0.0)])
    assert store.scan(Inference) == [inference("i1")]
    assert exposed(store) == [("ana", 100)]
    assert [(s.requests, s.good, s.bad) for s in store.summarise(ROLLOUT)] == [(1, 1, 0)]


def test_a_batch_with_a_number_that_is_none_is_refused_whole(store: Store) -> None:
    with pytest.raises(ValueError, match="latency_ms is nan"):
        store.ingest([inference("i1"), inference("i2", latency_ms=float("nan"))], [])
    assert store.scan(Inference) == []
    assert store.summarise(ROLLOUT) == []


def test_requests_outside_a_rollout_are_only_stored(store: Store) -> None:
    store.ingest([inference("i1", rollout=None, status=Status.ERROR)], [feedback("f1", "i1")])
    assert len(store.scan(Inference)) == 1
    assert exposed(store) == []
    assert events(store) == []
    assert store.summarise(ROLLOUT) == []


def test_a_heartbeat_replaces_the_one_before(store: Store) -> None:
    for at in (1, 2):
        store.heartbeat(Replica(id="g1", epochs={"t": at}, applied_at={}, flushed_through=9, at=at))
    store.heartbeat(Replica(id="g2", epochs={}, applied_at={}, flushed_through=9, at=3))
    assert [(held.id, held.at, held.epochs) for held in store.scan(Replica)] == [
        ("g1", 2, {"t": 2}),
        ("g2", 3, {}),
    ]


# Exposures


def test_an_exposure_is_a_units_first_inference_in_an_epoch(store: Store) -> None:
    store.ingest(
        [
            inference("i3", at=120, epoch=2, weight=0.5, **CANDIDATE),
            inference("i2", at=110),
            inference("i1", at=100, bucket=0.25, unit_source="body"),
            inference("i4", at=90, unit="ben", unit_source="request"),
            inference("i5", at=80, rollout="r2"),
        ],
        [],
    )
    assert store.exposures(ROLLOUT, lacking="exposure", until=FOREVER) == [
        Exposure(
            rollout=ROLLOUT,
            epoch=epoch,
            unit=unit,
            variant=variant,
            weight=weight,
            bucket=bucket,
            unit_source=source,
            at=at,
        )
        for unit, epoch, variant, weight, bucket, source, at in [
            ("ben", 1, Variant.CONTROL, 0.1, 0.625, "request", 90),
            ("ana", 1, Variant.CONTROL, 0.1, 0.25, "body", 100),
            ("ana", 2, Variant.CANDIDATE, 0.5, 0.625, "header", 120),
        ]
    ]


def test_among_inferences_of_one_moment_the_smaller_id_is_first(store: Store) -> None:
    store.ingest([inference("i2", bucket=0.5)], [])
    store.ingest([inference("i1", bucket=0.25), inference("i3", bucket=0.75)], [])
    assert [e.bucket for e in store.exposures(ROLLOUT, lacking="fast", until=FOREVER)] == [0.25]


def test_exposures_come_in_order_up_to_a_moment_and_a_limit(store: Store) -> None:
    units = [("d", 100), ("b", 100), ("c", 99), ("a", 101)]
    store.ingest([inference(f"i-{unit}", unit=unit, at=at) for unit, at in units], [])
    store.ingest([inference("i-z", unit="b", at=100, epoch=2)], [])
    assert exposed(store) == [("c", 99), ("b", 100), ("b", 100), ("d", 100), ("a", 101)]
    assert exposed(store, until=100) == [("c", 99), ("b", 100), ("b", 100), ("d", 100)]
    assert exposed(store, until=98) == []
    page = store.exposures(ROLLOUT, lacking="exposure", until=FOREVER, limit=3)
    assert [(e.unit, e.epoch) for e in page] == [("c", 1), ("b", 1), ("b", 2)]


def test_a_late_arrival_moves_an_exposure_back(store: Store) -> None:
    store.ingest([inference("i2", at=200), inference("i9", at=150, unit="ben")], [])
    moved = inference("i1", at=100, bucket=0.25, unit_source="body", **CANDIDATE)
    store.ingest([moved], [])
    assert exposed(store) == [("ana", 100), ("ben", 150)]
    assert exposed(store, until=149) == [("ana", 100)]
    [past] = store.past(ROLLOUT, ["ana"])["ana"]
    assert (past.at, past.bucket, past.variant) == (100, 0.25, Variant.CANDIDATE)
    assert past.unit_source == "body"
    store.ingest([inference("i3", at=300)], [])
    assert exposed(store) == [("ana", 100), ("ben", 150)]


def test_each_test_waits_until_its_own_entry_is_written(store: Store) -> None:
    store.ingest([inference("i1"), inference("i2", unit="ben"), inference("i3", epoch=2)], [])
    store.commit(
        append=[
            entry(1),
            entry(2, test="fast", unit="ben"),
            entry(3, test="quality"),
            entry(4, test="presence", rollout="r2"),
        ]
    )
    assert exposed(store, "exposure") == [("ana", 100), ("ben", 100)]
    assert exposed(store, "fast") == [("ana", 100), ("ana", 100)]
    assert exposed(store, "presence") == [("ana", 100), ("ana", 100), ("ben", 100)]


def test_a_refused_commit_settles_nothing(store: Store) -> None:
    store.ingest([inference("i1")], [])
    store.commit(append=[link(1)])
    with pytest.raises(Conflict):
        store.commit(append=[entry(1), link(1)])
    assert exposed(store) == [("ana", 100)]


def test_what_is_journaled_stays_journaled(store: Store) -> None:
    """A late arrival moves the exposure, but its evidence has been counted."""
    store.ingest([inference("i2", at=200)], [])
    store.commit(append=[entry(1)])
    store.ingest([inference("i1", at=100)], [])
    assert exposed(store, "exposure") == []
    assert exposed(store, "fast") == [("ana", 100)]
    store.commit(append=[entry(2, test="fast")])
    assert exposed(store, "fast") == []


def test_evidence_may_be_there_before_the_exposure(store: Store) -> None:
    store.commit(append=[entry(1), entry(2, test="error", unit="ben")])
    store.ingest([inference("i1"), inference("i2", unit="ben", status=Status.ERROR)], [])
    assert exposed(store) == [("ben", 100)]
    assert exposed(store, "fast") == [("ana", 100), ("ben", 100)]
    assert events(store) == []


def test_a_test_that_follows_no_exposures_is_named(store: Store) -> None:
    with pytest.raises(ValueError, match="'quality' follows exposures: exposure, fast, presence"):
        store.exposures(ROLLOUT, lacking="quality", until=FOREVER)


# First events


def test_a_first_error_is_a_units_first_failed_attempt(store: Store) -> None:
    store.ingest(
        [
            inference("i1", at=100),
            inference("i3", at=120, status=Status.TIMEOUT, **CANDIDATE),
            inference("i2", at=110, status=Status.ERROR, **CANDIDATE),
            inference("i4", at=90, unit="ben", status=Status.SHORT_CIRCUIT),
            inference("i5", at=115, epoch=2, status=Status.TIMEOUT),
        ],
        [],
    )
    assert store.first_events(ROLLOUT, kind="error", until=FOREVER) == [
        Event(rollout=ROLLOUT, kind="error", epoch=epoch, unit="ana", variant=variant, at=at)
        for epoch, variant, at in [(1, Variant.CANDIDATE, 110), (2, Variant.CONTROL, 115)]
    ]
    assert events(store, until=110) == [("ana", 1, 110)]
    assert events(store, limit=1) == [("ana", 1, 110)]
    store.commit(append=[entry(1, test="error")])
    assert events(store) == [("ana", 2, 115)]
    store.ingest([inference("i0", at=50, epoch=2, status=Status.ERROR)], [])
    assert events(store) == [("ana", 2, 50)]
    assert len(exposed(store)) == 3


@pytest.mark.parametrize(
    ("status", "latency_ms", "expected"),
    [
        (Status.OK, 20.0, ""),
        (Status.OK, 20.5, "p95"),
        (Status.OK, 40.5, "p95 p99"),
        (Status.OK, 501.0, "p95 p99 slo"),
        (Status.ERROR, 5.0, "error"),
        (Status.ERROR, 41.0, "error p95 p99"),
        (Status.TIMEOUT, 5.0, "error p95 p99 slo"),
        (Status.SHORT_CIRCUIT, 999.0, ""),
        (Status.CANCELLED, 999.0, ""),
        (Status.REFUSED, 999.0, ""),
    ],
)
def test_which_events_a_request_is(
    store: Store, status: Status, latency_ms: float, expected: str
) -> None:
    """EVIDENCE, latency: the call's own time; a timeout exceeds, a call never made does not."""
    store.commit(append=[rollout()])
    store.ingest([inference("i1", status=status, latency_ms=latency_ms)], [])
    found = {kind.removeprefix("latency_") for kind in EVENT_KINDS if events(store, kind)}
    assert found == set(expected.split())


@pytest.mark.parametrize("status", [Status.OK, Status.ERROR, Status.TIMEOUT])
def test_what_fails_while_the_other_arms_breaker_is_open_is_no_event(
    store: Store, status: Status
) -> None:
    """The other arm's failures are hidden then: to count these would be to count one side only."""
    store.commit(append=[rollout()])
    store.ingest([inference("i1", status=status, latency_ms=999.0, alone=True)], [])
    assert not any(events(store, kind) for kind in EVENT_KINDS)
    store.ingest([inference("i2", status=status, latency_ms=999.0, at=101)], [])
    assert [found[2] for found in events(store, "latency_slo")] == [101]


def test_each_kind_of_event_has_its_own_first(store: Store) -> None:
    store.commit(append=[rollout()])
    store.ingest(
        [
            inference("i1", at=100, latency_ms=30.0),
            inference("i2", at=110, latency_ms=50.0, **CANDIDATE),
            inference("i3", at=120, status=Status.TIMEOUT),
            inference("i4", at=130, latency_ms=60.0, unit="ben", epoch=2),
        ],
        [],
    )
    assert events(store, "latency_p95") == [("ana", 1, 100), ("ben", 2, 130)]
    assert events(store, "latency_p99") == [("ana", 1, 110), ("ben", 2, 130)]
    assert events(store, "latency_slo") == events(store) == [("ana", 1, 120)]
    [event, _] = store.first_events(ROLLOUT, kind="latency_p99", until=FOREVER)
    assert event.variant is Variant.CANDIDATE
    store.commit(append=[entry(1, test="latency_p99"), entry(2, test="error")])
    assert events(store, "latency_p99") == [("ben", 2, 130)]
    assert events(store) == []
    store.ingest([inference("i0", at=90, latency_ms=50.0)], [])
    assert events(store, "latency_p95") == [("ana", 1, 90), ("ben", 2, 130)]
    assert events(store, "latency_p99") == [("ben", 2, 130)]
    assert events(store, "latency_slo") == [("ana", 1, 120)]


def test_bars_are_those_of_the_rollout_when_its_events_arrive(store: Store) -> None:
    """A rollout without bars, or one that the store does not know, has no latency events."""
    store.commit(
        append=[
            rollout("r2", policy={"latency_bars": {"p95": 5.0, "slo": None, "p50": 1.0}}),
            rollout("r3", policy={}),
        ]
    )
    slow = {"latency_ms": 900.0}
    made = [inference(f"i{n}", rollout=f"r{n}", **slow) for n in (1, 2, 3)]
    store.ingest([*made, inference("i4", rollout=None, **slow)], [])
    store.commit(append=[rollout()])
    found = {
        (on, kind)
        for on in ("r1", "r2", "r3")
        for kind in EVENT_KINDS
        if store.first_events(on, kind=kind, until=FOREVER)
    }
    assert found == {("r2", "latency_p95")}
    store.ingest([inference("i5", at=101, latency_ms=30.0)], [])
    assert events(store, "latency_p95") == [("ana", 1, 101)]


def test_who_failed_within_a_window(store: Store) -> None:
    """From the exposure on, the end excluded; journaled or not, and errors only."""
    failed = {"status": Status.ERROR}
    store.commit(append=[rollout(), entry(1, test="error")])
    store.ingest(
        [
            inference("i1", at=100),
            inference("i2", at=149, **failed),
            inference("i3", at=100, unit="ben"),
            inference("i4", at=150, unit="ben", **failed),
            inference("i5", at=200, epoch=2, latency_ms=900.0),
            inference("i6", at=100, unit="eve", status=Status.TIMEOUT),
            inference("i7", at=100, unit="eve", rollout="r2"),
        ],
        [],
    )
    exposures = store.exposures(ROLLOUT, lacking="fast", until=FOREVER)
    assert store.failed_within(ROLLOUT, exposures, 50) == {("ana", 1), ("eve", 1)}
    assert store.failed_within(ROLLOUT, exposures, 51) == {("ana", 1), ("eve", 1), ("ben", 1)}
    assert store.failed_within("r2", exposures, 50) == set()
    assert store.failed_within(ROLLOUT, [], 50) == set()


def test_a_kind_of_event_that_there_is_not_is_named(store: Store) -> None:
    with pytest.raises(ValueError, match="'latency_p50': error, latency_p95, latency_p99, latency"):
        store.first_events(ROLLOUT, kind="latency_p50", until=FOREVER)


# What is known of units, and what they said


def test_the_past_of_units_is_every_exposure_by_epoch(store: Store) -> None:
    store.ingest(
        [
            inference("i1", epoch=2, at=50),
            inference("i2", epoch=10, at=60),
            inference("i3", epoch=1, at=70),
            inference("i4", unit="ben"),
            inference("i5", unit="eve"),
            inference("i6", unit="ana", rollout="r2", epoch=3),
        ],
        [],
    )
    store.commit(append=[entry(1)])
    past = store.past(ROLLOUT, ["ben", "ana", "nobody"])
    assert set(past) == {"ana", "ben"}
    assert [(e.epoch, e.at) for e in past["ana"]] == [(1, 70), (2, 50), (10, 60)]
    assert store.past(ROLLOUT, []) == {}


def test_feedback_counts_within_the_window(store: Store) -> None:
    store.ingest(
        [inference("i1", at=100), inference("i2", at=140), inference("i3", at=150, epoch=2)],
        [
            feedback("f6", "i1", 0.0, at=199),
            feedback("f5", "i1", 1.0, at=200),
            feedback("f4", "i2", 0.0, at=150, reviewer="kim"),
            feedback("f3", "i1", 1.0, at=150),
            feedback("f2", "i1", 1.0, at=99),
            feedback("f1", "i1", 0.5, at=120, metric="stars"),
            feedback("f0", "i3", 1.0, at=160),
            feedback("f7", "unknown", 1.0, at=160),
        ],
    )
    exposures = store.exposures(ROLLOUT, lacking="fast", until=149)
    assert store.feedback_on(ROLLOUT, "quality", exposures, 100) == {
        ("ana", 1): [said("i1", 1.0, 150), said("i2", 0.0, 150, "kim"), said("i1", 0.0, 199)],
    }
    assert store.feedback_on(ROLLOUT, "stars", exposures, 100) == {
        ("ana", 1): [said("i1", 0.5, 120)]
    }
    assert store.feedback_on(ROLLOUT, "quality", exposures, 0) == {}
    assert store.feedback_on(ROLLOUT, "quality", [], 100) == {}
    assert store.feedback_on("r2", "quality", exposures, 100) == {}


def test_questions_about_more_units_than_one_query_holds(store: Store) -> None:
    count = 1201
    store.ingest(
        [inference(f"i{n:04}", unit=f"u{n:04}", at=n) for n in range(count)],
        [feedback(f"f{n:04}", f"i{n:04}", float(n % 2), at=n + 1) for n in range(count)],
    )
    exposures = store.exposures(ROLLOUT, lacking="presence", until=FOREVER)
    assert [e.at for e in exposures] == list(range(count))
    units = [e.unit for e in exposures]
    assert {unit: [e] for unit, e in zip(units, exposures, strict=True)} == store.past(
        ROLLOUT, units
    )
    assert store.feedback_on(ROLLOUT, "quality", exposures, 2) == {
        (f"u{n:04}", 1): [said(f"i{n:04}", float(n % 2), n + 1)] for n in range(count)
    }
    store.commit(append=[entry(n, test="presence", unit=f"u{n:04}") for n in range(1, count)])
    assert exposed(store, "presence") == [("u0000", 0)]


# Counts


def test_a_summary_counts_each_arm_of_each_epoch(store: Store) -> None:
    store.ingest(
        [
            inference("i1", at=100, latency_ms=10.0, input_tokens=7, output_tokens=2, cost=0.25),
            inference("i9", at=102, latency_ms=10.0, input_tokens=1, cost=1e-6, alone=True),
            inference("i2", at=101, latency_ms=20.5, status=Status.SHORT_CIRCUIT),
            inference("i3", unit="ben", **CANDIDATE, latency_ms=1.0),
            inference(
                "i4",
                unit="eve",
                **CANDIDATE | {"served_version": "sha256:v1"},
                fallback_from="sha256:v2",
                status=Status.TIMEOUT,
                latency_ms=3.0,
            ),
            inference("i5", epoch=2, latency_ms=7.0),
            inference("i6", rollout="r2"),
        ],
        [feedback("f1", "i1", 1.0), feedback("f2", "i3", 0.0), feedback("f3", "i4", 0.5)],
    )
    assert store.summarise(ROLLOUT) == [
        ArmSummary(
            epoch=1,
            variant=Variant.CANDIDATE,
            requests=2,
            served=1,
            failed=1,
            units=2,
            good=0,
            bad=1,
            latency_ms=2.0,
        ),
        ArmSummary(
            epoch=1,
            variant=Variant.CONTROL,
            requests=3,
            served=3,
            failed=0,
            units=1,
            good=1,
            bad=0,
            latency_ms=13.5,
            input_tokens=8,
            output_tokens=2,
            cost=0.250001,
        ),
        ArmSummary(
            epoch=2,
            variant=Variant.CONTROL,
            requests=1,
            served=1,
            failed=0,
            units=1,
            good=0,
            bad=0,
            latency_ms=7.0,
        ),
    ]


def test_the_latest_word_on_an_answer_counts(store: Store) -> None:
    def verdicts() -> tuple[int, int]:
        [arm] = store.summarise(ROLLOUT)
        return arm.good, arm.bad

    store.ingest([inference("i1"), inference("i2", at=101)], [feedback("f1", "i1", at=200)])
    assert verdicts() == (1, 0)
    store.ingest([], [feedback("f2", "i1", 0.0, at=300)])
    assert verdicts() == (0, 1)
    store.ingest([], [feedback("f3", "i1", 1.0, at=299), feedback("f0", "i1", 1.0, at=300)])
    assert verdicts() == (0, 1)
    store.ingest([], [feedback("f4", "i1", 1.0, at=300), feedback("f5", "i2", 1.0)])
    assert verdicts() == (2, 0)
    store.ingest([], [feedback("f6", "i2", 0.0, at=900, metric="card_created")])
    assert verdicts() == (2, 0)
    store.ingest([], [feedback("f7", "i2", 0.5, at=901)])
    assert verdicts() == (1, 0)


def test_feedback_may_arrive_before_its_inference(store: Store) -> None:
    store.ingest([], [feedback("f1", "i1", 0.0)])
    assert store.summarise(ROLLOUT) == []
    store.ingest([inference("i1")], [feedback("f0", "i1", 1.0, at=199)])
    assert [(arm.good, arm.bad) for arm in store.summarise(ROLLOUT)] == [(0, 1)]


def test_a_unit_counts_in_the_arm_of_its_first_inference(store: Store) -> None:
    store.ingest([inference("i2", at=200), inference("i3", at=300, **CANDIDATE)], [])
    assert [(s.variant, s.requests, s.units) for s in store.summarise(ROLLOUT)] == [
        (Variant.CANDIDATE, 1, 0),
        (Variant.CONTROL, 1, 1),
    ]
    store.ingest([inference("i1", at=100, **CANDIDATE)], [])
    assert [(s.variant, s.requests, s.units) for s in store.summarise(ROLLOUT)] == [
        (Variant.CANDIDATE, 2, 1),
        (Variant.CONTROL, 1, 0),
    ]
