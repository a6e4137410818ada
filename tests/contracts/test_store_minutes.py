"""What every store promises of single minutes: what declared alarms are measured on."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenlight.adapters.stores import questions_minutes
from greenlight.adapters.stores.memory import MemoryStore
from greenlight.adapters.stores.sql import SqlStore
from greenlight.adapters.stores.sqlite import engine_for
from greenlight.core import ids
from greenlight.core.answers import ArmMinute
from greenlight.core.records import MINUTE, SECOND, Feedback, Inference, Shadow
from greenlight.core.retention import Erasure
from greenlight.core.states import Status, Variant
from greenlight.ports import Store
from tests.contracts.making import ROLLOUT, feedback, inference, shadow

BEGAN = 1_800_000_007 * SECOND + 41
"""When the first minute begins: anywhere."""
CONTROL, CANDIDATE = Variant.CONTROL, Variant.CANDIDATE


def asked(at: int, number: int = 0, **fields: Any) -> Inference:
    """A request of so many µs after the beginning."""
    moment = BEGAN + at
    return inference(ids.uuid7(moment, number.to_bytes(10, "big")), at=moment, **fields)


def said(of: Inference, at: int, value: float, number: int = 0, **fields: Any) -> Feedback:
    """A word on an answer, received so many µs after the beginning."""
    return feedback(f"f-{of.id}-{at}-{number}", of.id, value, at=BEGAN + at, **fields)


def copy(of: Inference, agreed: bool | None) -> Shadow:
    return shadow(of.id, at=of.at, agreed=agreed)


def look(store: Store, minutes: int = 1, **fields: Any) -> list[ArmMinute]:
    span = {"since": BEGAN, "until": BEGAN + minutes * MINUTE}
    return store.minutes("intent", ROLLOUT, **span, **fields)


def test_calls_are_counted_by_what_became_of_them(store: Store) -> None:
    """O2: a call refused for what was asked, or left by its client, is neither a success nor a
    failure; an open breaker is a failure, and says nothing of how long anybody waited."""
    store.ingest(
        [
            asked(n, n, status=status, latency_ms=10.0 + n, variant=CANDIDATE)
            for n, status in enumerate(Status)
        ],
        [],
    )
    (found,) = look(store)
    assert [*Status][:3] == [Status.OK, Status.ERROR, Status.TIMEOUT]
    assert found == ArmMinute(
        at=BEGAN, variant=CANDIDATE, requests=4, failed=3, timed=2, p95_ms=12.0
    )


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (19, 19), (20, 19), (21, 20), (100, 95)])
def test_the_percentile_is_the_nearest_rank(store: Store, count: int, rank: int) -> None:
    """O2"""
    store.ingest([asked(n, n, latency_ms=float((11 * n) % count + 1)) for n in range(count)], [])
    (found,) = look(store)
    assert (found.p95_ms, found.timed) == (rank, count)


def test_a_minute_has_its_first_moment_and_not_its_last(store: Store) -> None:
    """O2: minutes begin anywhere, to the microsecond; ids only know the millisecond."""
    edges = [-1, 0, MINUTE - 1, MINUTE, 2 * MINUTE - 1, 2 * MINUTE]
    made = [asked(at, n) for n, at in enumerate(edges)]
    store.ingest(made, [said(made[0], at, 1.0) for at in edges])
    found = look(store, minutes=2)
    assert [(one.at, one.requests, one.good) for one in found] == [
        (BEGAN, 2, 2),
        (BEGAN + MINUTE, 2, 2),
    ]
    assert look(store, minutes=0) == []


def test_feedback_counts_when_it_is_received(store: Store) -> None:
    """O2: of both arms, of whatever age the answer is; what is neither GOOD nor BAD is neither."""
    old = asked(-MINUTE, 1, variant=CANDIDATE)
    new = asked(5, 2)
    words = [
        said(old, 1, 0.0),
        said(old, 2, 1.0),
        said(new, 3, 0.0, 1),
        said(new, 4, 0.5),
        said(new, 5, 0.0, metric="stars"),
        said(new, MINUTE, 0.0, 2),
    ]
    store.ingest([old, new], words)
    candidate, control = look(store)
    assert (candidate.variant, candidate.requests, candidate.good, candidate.bad) == (
        CANDIDATE,
        0,
        1,
        1,
    )
    assert (control.variant, control.requests, control.good, control.bad) == (CONTROL, 1, 0, 1)


def test_copies_are_the_candidates(store: Store) -> None:
    """O2, S6: only those that both versions answered are compared."""
    made = [asked(n, n) for n in range(4)]
    store.ingest(
        made, [], [copy(one, how) for one, how in zip(made, (True, True, False, None), strict=True)]
    )
    candidate, control = look(store)
    assert (candidate.variant, candidate.compared, candidate.agreed) == (CANDIDATE, 3, 2)
    assert (control.requests, control.compared) == (4, 0)


def test_labels_are_those_that_the_assigned_version_gave_itself(store: Store) -> None:
    """O2: what control answered for a failed candidate is not the candidate's word, and what was
    not kept is none."""
    fallback = {"variant": CANDIDATE, "version": "sha256:v2", "served_version": "sha256:v1"}
    own = {**fallback, "served_version": "sha256:v2"}
    store.ingest(
        [
            asked(1, 1, output="a", **own),
            asked(2, 2, output="a", **own),
            asked(3, 3, output="b", **own),
            asked(4, 4, output="c", status=Status.ERROR, **fallback),
            asked(5, 5, output="d", status=Status.OK, **fallback),
            asked(6, 6, output="", **own),
            asked(7, 7, output="b"),
        ],
        [],
    )
    candidate, control = look(store, labels=True)
    assert (candidate.labels, control.labels) == ({"a": 2, "b": 1}, {"b": 1})
    assert candidate.requests == 6
    assert [one.labels for one in look(store)] == [{}, {}]


def test_other_rollouts_and_tasks_do_not_count(store: Store) -> None:
    """O2"""
    others = [
        asked(1, 1, rollout="r2"),
        asked(2, 2, rollout=None),
        asked(3, 3, task="tone", rollout=ROLLOUT),
    ]
    store.ingest(others, [said(one, 4, 0.0) for one in others], [copy(others[2], True)])
    assert [one for one in look(store) if one.requests or one.bad] == []


def test_an_erased_unit_is_not_counted_any_more(store: Store) -> None:
    """R: erasure reaches what alarms are measured on."""
    made = [asked(1, 1, unit="ana"), asked(2, 2, unit="ben")]
    store.ingest(made, [said(one, 3, 1.0) for one in made])
    erasure = Erasure(task="intent", before=BEGAN + MINUTE, unit="ana")
    for _ in store.erase(erasure, lambda count: bytes(count)):
        pass
    assert [(one.requests, one.good) for one in look(store)] == [(1, 1)]


moments = st.integers(-1, 3 * MINUTE)
calls = st.lists(
    st.tuples(
        moments,
        st.sampled_from(Variant),
        st.sampled_from(Status),
        st.floats(0, 500),
        st.sampled_from(["intent", "intent", "tone"]),
        st.sampled_from([ROLLOUT, ROLLOUT, "r2", None]),
        st.sampled_from(["a", "b", ""]),
        st.sampled_from([None, True, False]),
    ),
    max_size=12,
)
words = st.lists(st.tuples(st.integers(0, 11), moments, st.sampled_from([0.0, 1.0])), max_size=12)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, to be copied instead of made anew."""
    path = tmp_path_factory.mktemp("template") / "store.db"
    SqlStore(f"sqlite:///{path}").close()
    return path


@settings(max_examples=30)
@given(calls=calls, words=words, since=moments, count=st.integers(0, 3), labels=st.booleans())
def test_both_stores_give_the_same_minutes(
    template: Path,
    tmp_path_factory: pytest.TempPathFactory,
    calls: list[tuple[Any, ...]],
    words: list[tuple[int, int, float]],
    since: int,
    count: int,
    labels: bool,
) -> None:
    """O2"""
    made, copies = [], []
    for n, (at, variant, status, latency, task, rollout, output, agreed) in enumerate(calls):
        fields = {"variant": variant, "status": status, "latency_ms": latency, "output": output}
        made.append(asked(at, n, task=task, rollout=rollout, **fields))
        if task == "intent" and rollout == ROLLOUT:
            copies.append(copy(made[-1], agreed))
    spoken = [said(made[of], at, v, n) for n, (of, at, v) in enumerate(words) if of < len(made)]
    path = shutil.copy(template, tmp_path_factory.mktemp("both"))
    with (
        contextlib.closing(MemoryStore()) as memory,
        contextlib.closing(SqlStore(f"sqlite:///{path}")) as sql,
    ):
        found = []
        for store in (memory, sql):
            store.ingest(made, spoken, copies)
            span = {"since": BEGAN + since, "until": BEGAN + since + count * MINUTE}
            found.append(store.minutes("intent", ROLLOUT, **span, labels=labels))
        assert found[0] == found[1]


def test_every_question_goes_by_an_index(tmp_path: Path) -> None:
    """O2: a minute costs what came in it, however much the store holds."""
    url = f"sqlite:///{tmp_path}/store.db"
    SqlStore(url).close()
    engine, _ = engine_for(url)
    plans = {}
    with engine.connect() as connection:
        for name in ("CALLS", "LABELLED", "WORDS", "COPIES"):
            compiled = getattr(questions_minutes, name).compile(dialect=connection.dialect)
            given = tuple(0 for _ in compiled.positiontup)
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", given)
            plans[name] = [row[-1] for row in plan]
    engine.dispose()
    in_window = ["SEARCH inferences USING INDEX ix_inferences_task_id (task=? AND id>? AND id<?)"]
    assert plans["CALLS"] == plans["LABELLED"] == in_window
    assert plans["WORDS"] == [
        "SEARCH feedback USING INDEX ix_feedback_metric_at (metric=? AND at>? AND at<?)",
        "SEARCH inferences USING INDEX ix_inferences_task_id (task=? AND id=?)",
    ]
    assert plans["COPIES"] == [
        "SEARCH shadows USING INDEX ix_shadows_rollout_id (rollout=? AND id>? AND id<?)"
    ]
