"""What every store promises of answers with feedback: what data sets are made of."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenlight.adapters.stores import questions
from greenlight.adapters.stores.memory import MemoryStore
from greenlight.adapters.stores.sql import SqlStore
from greenlight.adapters.stores.sqlite import engine_for
from greenlight.core import ids
from greenlight.core.records import MILLISECOND, SECOND, Feedback, Inference
from greenlight.ports import Store
from tests.contracts.making import feedback, inference

MINUTE_0 = 1_800_000_000 * SECOND


def asked(second: int, **fields: Any) -> Inference:
    """An answer to a request of that second; its id says so."""
    at = MINUTE_0 + second * SECOND
    return inference(ids.uuid7(at, second.to_bytes(10, "big")), at=at, **fields)


def said(of: Inference, after: int = 1, value: float = 1.0, **fields: Any) -> Feedback:
    """A word on an answer, so many seconds later."""
    at = of.at + after * SECOND
    name = fields.pop("id", f"{of.id}-{after}")
    return feedback(name, of.id, value, at=at, **fields)


def window(since: int, until: int) -> dict[str, int]:
    return {"since": MINUTE_0 + since * SECOND, "until": MINUTE_0 + until * SECOND}


def test_answers_come_newest_first_with_all_that_was_said(store: Store) -> None:
    """D2: rows are selected by feedback, in a window."""
    one, two, three, four = asked(1), asked(2), asked(3), asked(4, task="tone")
    words = [said(one), said(three, 5, 0.0), said(three, 2, metric="stars"), said(four)]
    store.ingest([one, two, three, four], words)
    found = store.answers("intent", **window(0, 60))
    assert found == [(three, [words[2], words[1]]), (one, [words[0]])]
    assert store.answers("tone", **window(0, 60)) == [(four, [words[3]])]
    assert store.answers("mood", **window(0, 60)) == []
    assert store.count_answers("intent", **window(0, 60)) == (3, 2)
    assert store.count_answers("mood", **window(0, 60)) == (0, 0)


def test_a_window_has_its_first_moment_and_not_its_last(store: Store) -> None:
    made = [asked(second) for second in range(5)]
    store.ingest(made, [said(one, 0) for one in made])
    found = store.answers("intent", **window(1, 4))
    assert [one for one, _ in found] == [made[3], made[2], made[1]]
    assert store.count_answers("intent", **window(1, 4)) == (3, 3)
    everything = store.answers("intent", since=-1, until=MINUTE_0 * 2)
    assert len(everything) == 5
    assert store.answers("intent", since=-2, until=-1) == []


def test_what_is_said_after_the_window_is_not_there(store: Store) -> None:
    """A run that is resumed sees what it saw the first time."""
    one, two = asked(1), asked(2)
    store.ingest([one, two], [said(one, 1), said(two, 3, 0.0)])
    before = store.answers("intent", **window(0, 10))
    late = [said(one, 9, 0.0), said(two, 8)]
    store.ingest([], late)
    assert store.answers("intent", **window(0, 10)) == before
    assert store.answers("intent", **window(0, 11)) == [
        (two, [said(two, 3, 0.0), late[1]]),
        (one, [said(one, 1), late[0]]),
    ]


def test_pages_join_without_gap_or_overlap(store: Store) -> None:
    made = [asked(second) for second in range(25)]
    store.ingest(made, [said(one) for one in made if one.at % (3 * SECOND)])
    whole = store.answers("intent", **window(0, 60))
    assert len(whole) == 16
    pages, after = [], None
    while page := store.answers("intent", **window(0, 60), after=after, limit=5):
        pages += page
        after = page[-1][0].id
    assert pages == whole


def test_newly_judged_answers_are_counted_once_each(store: Store) -> None:
    """T1: enough new feedback begins a run; a second word on one answer is not one more answer."""
    one, two, other = asked(1), asked(2), asked(3, task="tone")
    keyed = said(two, 30, id=ids.uuid7(two.at, b"an old id!"))
    store.ingest(
        [one, two, other],
        [said(one), said(one, 20), said(one, 25, metric="stars"), keyed, said(other)],
    )
    store.ingest([], [feedback("stray", ids.floor(MINUTE_0), at=MINUTE_0 + SECOND)])
    since = window(0, 0)["since"]
    assert store.count_feedback("intent", since) == 2
    assert store.count_feedback("intent", since + 21 * SECOND) == 2
    assert store.count_feedback("intent", since + 21 * SECOND + 1) == 1
    assert store.count_feedback("intent", keyed.at) == 1
    assert store.count_feedback("intent", keyed.at + 1) == 0
    assert store.count_feedback("mood", since) == 0


moments = st.integers(0, 6)
made = st.lists(
    st.tuples(moments, st.sampled_from(["intent", "tone"])), max_size=8, unique_by=lambda one: one
)
words = st.lists(
    st.tuples(st.integers(0, 7), moments, st.sampled_from(["quality", "stars"])), max_size=12
)


@settings(max_examples=25)
@given(made=made, words=words, since=moments, until=moments, limit=st.integers(1, 4))
def test_both_stores_give_the_same_answers(
    tmp_path_factory: pytest.TempPathFactory,
    made: list[tuple[int, str]],
    words: list[tuple[int, int, str]],
    since: int,
    until: int,
    limit: int,
) -> None:
    inferences = [
        inference(ids.uuid7(at * MILLISECOND, bytes([n] * 10)), at=at * MILLISECOND, task=task)
        for n, (at, task) in enumerate(made)
    ]
    feedbacks = [
        feedback(f"f{n}", inferences[of].id, at=at * MILLISECOND, metric=metric)
        for n, (of, at, metric) in enumerate(words)
        if of < len(inferences)
    ]
    path = tmp_path_factory.mktemp("both") / "store.db"
    with (
        contextlib.closing(MemoryStore()) as memory,
        contextlib.closing(SqlStore(f"sqlite:///{path}")) as sql,
    ):
        found = []
        for store in (memory, sql):
            store.ingest(inferences, feedbacks)
            span = {"since": since * MILLISECOND, "until": until * MILLISECOND}
            page = store.answers("intent", **span, limit=limit)
            after = page[-1][0].id if page else None
            rest = store.answers("intent", **span, after=after)
            counts = store.count_answers("intent", **span)
            found.append((page, rest, counts, store.count_feedback("intent", span["since"])))
        assert found[0] == found[1]


def test_every_question_goes_by_an_index(tmp_path: Path) -> None:
    """D5: no question reads what lies outside of its window, and none sorts."""
    url = f"sqlite:///{tmp_path}/store.db"
    SqlStore(url).close()
    engine, _ = engine_for(url)
    plans = {}
    with engine.connect() as connection:
        for name in ("ANSWERS", "SAID", "COUNT_ANSWERS", "COUNT_FEEDBACK"):
            compiled = getattr(questions, name).compile(dialect=connection.dialect)
            given = tuple(0 for _ in compiled.positiontup)
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", given)
            plans[name] = [row[-1] for row in plan]
    engine.dispose()
    in_window = "SEARCH inferences USING INDEX ix_inferences_task_id (task=? AND id>? AND id<?)"
    covered = in_window.replace("INDEX", "COVERING INDEX")
    of_one = "SEARCH feedback USING INDEX ix_feedback_inference_id_metric (inference_id=?)"
    assert plans["ANSWERS"] == [in_window, "CORRELATED SCALAR SUBQUERY 1", of_one]
    assert plans["COUNT_ANSWERS"] == [covered, *plans["ANSWERS"][1:]]
    assert plans["SAID"] == [covered, of_one]
    assert plans["COUNT_FEEDBACK"] == [
        "USE TEMP B-TREE FOR count(DISTINCT)",
        "SEARCH feedback USING INDEX ix_feedback_metric_at (metric=? AND at>?)",
        "SEARCH inferences USING COVERING INDEX ix_inferences_task_id (task=? AND id=?)",
    ]
