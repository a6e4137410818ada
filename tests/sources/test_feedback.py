"""Feedback as a source: pages, bounds, a base, and the way of a row through the relabel queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core import ids
from greenlight.core.curation import Row
from greenlight.core.errors import BadInput, MissingData, NotFound, Refused
from greenlight.core.filters import parse
from greenlight.core.labelling import LabelPolicy, pseudonym
from greenlight.core.records import DAY, MILLISECOND, SECOND, Dataset, Feedback, Inference
from greenlight.datasets import PublicSource
from greenlight.ports import Example
from greenlight.sources.feedback import Asked, DataCollector, Window
from greenlight.sources.rows import OVER, Bounds
from greenlight.stages import relabel
from tests.contracts.making import feedback, inference, version

START = 1_800_000_000 * SECOND
NOW = START + DAY
POLICY = LabelPolicy(flip=frozenset({"wrong_label"}), labels=("APPROVE", "REJECT"))
RANDOM = np.random.default_rng(1).bytes


class Desk:
    """A store to which answers and feedback come, one a second."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.made = 0

    def answer(self, text: str, *words: dict[str, Any], **fields: Any) -> Inference:
        """An answer and what was said of it."""
        self.made += 1
        at = START + self.made * SECOND
        one = inference(
            ids.uuid7(at, self.made.to_bytes(10, "big")),
            **{"input": text, "output": "APPROVE", "at": at} | fields,
        )
        said = [
            feedback(f"{one.id}-{n}", one.id, **{"at": at + n} | word)
            for n, word in enumerate(words)
        ]
        self.store.ingest([one], said)
        return one

    def source(self, **fields: Any) -> DataCollector:
        """A source on all of it."""
        defaults: dict[str, Any] = {
            "task": "intent",
            "window": Window(since=START, until=NOW),
            "policy": POLICY,
            "bounds": Bounds(),
            "licence": "own",
            "citation": "us",
            "progress": lambda share, words: None,
        }
        return DataCollector(self.store, **defaults | fields)

    def queue(self, **fields: Any) -> list[relabel.Relabel]:
        return relabel.queue(self.store, "intent", POLICY, since=START, until=NOW, **fields)

    def label(self, one: Inference, given: str, **fields: Any) -> Feedback:
        asked: dict[str, Any] = {"reviewer": "ana", "now": NOW - SECOND, "random": RANDOM}
        return relabel.label(self.store, one.id, given, **asked | fields)


GOOD: dict[str, Any] = {"value": 1.0}
BAD: dict[str, Any] = {"value": 0.0}


def rows(source: DataCollector, size: int = 100) -> list[tuple[str, Row]]:
    return [(split, row) for split, chunk in source.chunks(lambda: size) for row in chunk]


def test_feedback_becomes_rows_and_every_exclusion_is_counted() -> None:
    """D2, D3: the newest first, with lineage and pseudonyms; what is left out has a reason."""
    desk = Desk()
    one = desk.answer("first", GOOD)
    two = desk.answer(" as it came\n", BAD | {"reason_code": "wrong_label"}, unit_source="request")
    desk.answer("three", BAD | {"correction": "REJECT"}, unit="ben", served_version="sha256:v0")
    for text, *words in [
        ("silence",),
        ("bad", BAD),
        ("", GOOD),
        ("contradicted", BAD, GOOD | {"correction": "REJECT"}),
        ("odd", BAD | {"correction": "MAYBE"}),
        ("rated", {"metric": "stars", "value": 5.0}),
    ]:
        desk.answer(text, *words)
    desk.answer("mute", GOOD, output="")
    desk.answer("elsewhere", GOOD, task="tone")
    source = desk.source()
    found = rows(source)
    assert [(split, row.text, row.label) for split, row in found] == [
        ("rows", "three", "REJECT"),
        ("rows", " as it came\n", "REJECT"),
        ("rows", "first", "APPROVE"),
    ]
    assert [row.unit for _, row in found] == [
        pseudonym("intent", "ben"),
        "",
        pseudonym("intent", "ana"),
    ]
    assert [row.inference for _, row in found][1:] == [two.id, one.id]
    assert source.exclusions == {
        "no_feedback": 1,
        "relabel": 1,
        "masked": 1,
        "conflicting": 1,
        "unknown_label": 1,
        "unjudged": 1,
        "unanswered": 1,
    }
    assert +Counter(source.details["labelled"]) == {"good": 1, "corrected": 1, "flipped": 1}
    assert source.details["window"] == {"since": START, "until": NOW}
    assert source.queries == 3 and not source.own_split


def test_the_same_window_gives_the_same_rows_whatever_comes_later() -> None:
    """T2: a run that is resumed collects what it collected before it was killed."""
    desk = Desk()
    one = desk.answer("one", GOOD)
    window = Window(since=START, until=one.at + MILLISECOND)
    before = rows(desk.source(window=window))
    desk.store.ingest([], [feedback("late", one.id, 0.0, at=one.at + MILLISECOND)])
    desk.answer("two", GOOD)
    assert rows(desk.source(window=window)) == before != []


@pytest.mark.parametrize("size", [1, 3, 7, 5000])
def test_pages_are_as_small_as_memory_asks(size: int) -> None:
    """D5, T5: the rows are the same, the queries two a page and one."""
    desk = Desk()
    for n in range(20):
        desk.answer(f"text {n}", GOOD if n % 4 else BAD)
    source = desk.source()
    found = rows(source, size)
    assert [row.text for _, row in found] == [f"text {n}" for n in range(19, -1, -1) if n % 4]
    assert source.queries == 1 + 2 * (20 // size + 1)


def test_the_newest_rows_are_taken_and_the_rest_is_counted() -> None:
    """D2: at least so many, at most so many."""
    desk = Desk()
    for n in range(20):
        desk.answer(f"text {n}", GOOD if n % 4 else BAD)
    source = desk.source(bounds=Bounds(5, 6))
    assert [row.text for _, row in rows(source, 4)] == [
        f"text {n}" for n in (19, 18, 17, 15, 14, 13)
    ]
    assert source.exclusions == {"relabel": 1, "over_max_rows": 13}
    with pytest.raises(MissingData, match="feedback-intent: 15 rows, min_rows asks for 16; wait"):
        rows(desk.source(bounds=Bounds(16, 100)))
    with pytest.raises(MissingData, match="0 rows"):
        rows(Desk().source(bounds=Bounds(1)))


def test_a_filter_selects() -> None:
    """D2: rows are selected by engagement."""
    desk = Desk()
    for n in range(5):
        desk.answer(f"text {n}", GOOD, {"metric": "rate", "value": n / 100})
    desk.answer("unmeasured", GOOD)
    policy = LabelPolicy(conditions=parse("rate > 0.02"))
    source = desk.source(policy=policy, window=Window(since=START, until=NOW, filter="rate > 0.02"))
    assert [row.text for _, row in rows(source)] == ["text 4", "text 3"]
    assert source.exclusions == {"filtered": 4} and source.details["filter"] == "rate > 0.02"


def public(train: Sequence[str] = ("b1", "b2"), test: Sequence[str] = ("t1",)) -> PublicSource:
    return PublicSource(
        name="public",
        origin="https://data.example/public",
        licence="CC BY 4.0",
        citation="They",
        train=[Example(text, "APPROVE") for text in train],
        test=[Example(text, "REJECT") for text in test],
    )


def test_a_base_goes_along_and_its_test_rows_stay_the_benchmark() -> None:
    desk = Desk()
    desk.answer("ours", GOOD)
    source = desk.source(base=public(), bounds=Bounds(1))
    assert source.own_split and source.name == "public+feedback-intent"
    assert [(split, row.text) for split, row in rows(source)] == [
        ("train", "b1"),
        ("train", "b2"),
        ("test", "t1"),
        ("train", "ours"),
    ]
    assert source.licence == "CC BY 4.0 (base); own (feedback)"
    assert source.details["base"]["origin"] == "https://data.example/public"
    with pytest.raises(MissingData, match="1 rows, min_rows asks for 2"):
        rows(desk.source(base=public(), bounds=Bounds(2)))


def test_what_is_stored_while_rows_are_counted_is_counted_once(monkeypatch: Any) -> None:
    """D3: gateways store what was said before the window's end a moment later."""
    desk = Desk()
    silent, *_ = [desk.answer(f"text {n}", *([GOOD] if n % 2 else [])) for n in range(6)]
    count = desk.store.count_answers

    def meanwhile(*args: Any, **fields: Any) -> tuple[int, int]:
        found = count(*args, **fields)
        desk.store.ingest([], [feedback("late", silent.id, at=silent.at + 1)])
        return found

    monkeypatch.setattr(desk.store, "count_answers", meanwhile)
    source = desk.source()
    assert len(rows(source)) == 4 and source.exclusions == {"no_feedback": 2}
    source = desk.source(bounds=Bounds(most=1))
    assert len(rows(source)) == 1 and source.exclusions == {"no_feedback": 2, OVER: 3}


# The relabel queue


def test_what_feedback_cannot_label_waits_and_is_taken_once_a_person_has(monkeypatch: Any) -> None:
    """D3, D11: queue → label → the next data set."""
    monkeypatch.setattr(relabel, "PAGE", 2)
    desk = Desk()
    plain = desk.answer("plain", BAD | {"reason_code": "slow", "comment": "no"})
    desk.answer("fine", GOOD)
    torn = desk.answer("torn", BAD, GOOD | {"correction": "REJECT"})
    odd = desk.answer("odd", BAD | {"correction": "MAYBE"})
    desk.answer("", BAD)
    waiting = desk.queue()
    assert [(one.inference, one.reason) for one in waiting] == [
        (odd.id, "unknown_label"),
        (torn.id, "conflicting"),
        (plain.id, "relabel"),
    ]
    assert waiting[2] == relabel.Relabel(
        inference=plain.id,
        text="plain",
        answer="APPROVE",
        reason="relabel",
        reason_code="slow",
        comment="no",
        corrections=[],
        at=plain.at,
    )
    assert waiting[1].corrections == ["REJECT"]
    assert desk.queue(limit=1) == waiting[:1]

    evidence = desk.store.summarise("r1")
    word = desk.label(plain, "REJECT", why="read it twice", labels=POLICY.labels)
    assert (word.metric, word.correction, word.reviewer) == ("relabel", "REJECT", "ana")
    assert desk.store.summarise("r1") == evidence, "the judgement stays as it was"
    assert [one.inference for one in desk.queue()] == [odd.id, torn.id]
    source = desk.source()
    assert [(row.text, row.label) for _, row in rows(source)] == [
        ("fine", "APPROVE"),
        ("plain", "REJECT"),
    ]
    assert source.details["labelled"]["relabelled"] == 1
    desk.label(plain, "APPROVE", now=NOW - 1)
    assert rows(desk.source())[1][1].label == "APPROVE"


def test_a_label_must_be_one_of_those_there_are() -> None:
    desk = Desk()
    one = desk.answer("text", BAD)
    with pytest.raises(BadInput, match=r"label 'REJEKT': there is none .*; did you mean 'REJECT'"):
        desk.label(one, "REJEKT", labels=POLICY.labels)
    for wrong in ("", "a\0b"):
        with pytest.raises(BadInput, match="without NUL"):
            desk.label(one, wrong)
    with pytest.raises(BadInput, match="label: personal data in it"):
        desk.label(one, "jo@example.com")
    with pytest.raises(BadInput, match="comment"):
        desk.label(one, "REJECT", why="\0")
    with pytest.raises(NotFound, match="no such answer of task tone"):
        desk.label(one, "REJECT", task="tone")
    with pytest.raises(NotFound, match="no such answer; see"):
        relabel.label(desk.store, "x", "y", reviewer="a", now=NOW, random=RANDOM)
    with pytest.raises(Refused, match="its text was not kept"):
        desk.label(desk.answer("", BAD), "REJECT")
    assert desk.queue()[0].inference == one.id


def test_labels_follow_from_the_data_of_the_version_that_answered() -> None:
    desk = Desk()
    dataset = Dataset(
        digest="sha256:d", task="intent", name="x", manifest={"labels": ["card", "mail"]}, at=1
    )
    served = version("sha256:v1", lineage={"dataset": "sha256:d"})
    desk.store.commit(append=[dataset, served])
    one = desk.answer("text", BAD, served_version="sha256:v1")
    with pytest.raises(BadInput, match="did you mean 'card'"):
        desk.label(one, "cart")
    assert desk.label(one, "card").correction == "card"
    assert desk.label(one, "new", labels=("new", "old")).correction == "new"
    other = desk.answer("text", BAD, served_version="sha256:gone")
    assert desk.label(other, "anything").correction == "anything"


# --- where words have tags ------------------------------------------------------------------------


def test_tags_become_rows_and_what_does_not_fit_waits() -> None:
    """D3: the reason is counted; a person mends it word by word."""
    desk = Desk()
    policy = LabelPolicy(kind="tag", labels=("B-place", "I-place"))
    desk.answer("to New York", GOOD, output="O B-place I-place")
    odd = desk.answer("to Rome", BAD | {"correction": "B-place"}, output="O O")
    source = desk.source(policy=policy)
    assert [(row.text, row.label) for _, row in rows(source)] == [
        ("to New York", "O B-place I-place")
    ]
    assert source.exclusions["misfit"] == 1
    waiting = relabel.queue(desk.store, "intent", policy, since=START, until=NOW)
    assert [(one.inference, one.reason) for one in waiting] == [(odd.id, "misfit")]
    for given, says in [
        ("B-place", "1 tags for 2 words"),
        ("O place", "tag 'place': there is none of that name"),
        ("O B-planet", "tag 'B-planet': there is none of that name; did you mean 'B-place'"),
    ]:
        with pytest.raises(BadInput, match=says):
            desk.label(odd, given, kind="tag", labels=policy.labels)
    desk.label(odd, "O B-place", kind="tag", labels=policy.labels)
    found = rows(desk.source(policy=policy))
    assert ("to Rome", "O B-place") in [(row.text, row.label) for _, row in found]


def test_rows_say_what_their_answers_were_asked_with() -> None:
    """D4: by the version that answered; what nobody can tell any more is left out, and counted."""
    desk = Desk()
    for served in ("sha256:v0", "sha256:v1", "sha256:v1", "sha256:gone", "sha256:here"):
        desk.answer(f" {served}  as served\n", GOOD, served_version=served)
    asked: list[str] = []

    def find(version: str) -> Asked | None:
        asked.append(version)
        if version == "sha256:gone":
            raise NotFound(version)
        if version == "sha256:here":
            return None
        return Asked(f"prompt of {version}", {"kind": "prompt", "template": version})

    source = desk.source(asked=find)
    found = [row for _, row in rows(source, 2)]
    assert [(row.text, row.prompt) for row in found] == [
        (" sha256:here  as served\n", ""),
        (" sha256:v1  as served\n", "prompt of sha256:v1"),
        (" sha256:v1  as served\n", "prompt of sha256:v1"),
        (" sha256:v0  as served\n", "prompt of sha256:v0"),
    ]
    assert source.exclusions == {"prompt_unknown": 1}
    assert source.prompts == {
        f"prompt of {version}": {"kind": "prompt", "template": version}
        for version in ("sha256:v0", "sha256:v1")
    }
    assert sorted(asked) == ["sha256:gone", "sha256:here", "sha256:v0", "sha256:v1"]


def test_what_nobody_answered_was_asked_of_the_version_that_was_to() -> None:
    """D3, D4: a person may label it all the same, and it is learnt as it would have been asked."""

    def find(version: str) -> Asked:
        if not version:
            raise NotFound("nobody answered")
        return Asked(f"prompt of {version}", {"kind": "prompt"})

    desk = Desk()
    one = desk.answer("mute", output="", version="sha256:v1", served_version="")
    desk.label(one, "REJECT", labels=("APPROVE", "REJECT"))
    [(_, row)] = rows(desk.source(asked=find))
    assert (row.label, row.prompt) == ("REJECT", "prompt of sha256:v1")
