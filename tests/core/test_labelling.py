"""D3: what feedback teaches, and what a person must say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.filters import parse
from greenlight.core.labelling import (
    OUT,
    TAKEN,
    WAITING,
    Labelled,
    LabelPolicy,
    label,
    pseudonym,
    unit_of,
)
from greenlight.core.records import Feedback
from tests.contracts.making import feedback, inference

JUDGE = LabelPolicy(flip=frozenset({"wrong_label"}), labels=("APPROVE", "REJECT"))
ANSWER = inference("i1", output="APPROVE")


def good(at: int = 1, **fields: Any) -> Feedback:
    return feedback(f"f{at}", "i1", 1.0, at=at, **fields)


def bad(at: int = 1, **fields: Any) -> Feedback:
    return feedback(f"f{at}", "i1", 0.0, at=at, **fields)


def stars(value: float, at: int = 1, **fields: Any) -> Feedback:
    return feedback(f"f{at}", "i1", value, metric="stars", at=at, **fields)


def relabelled(to: str, at: int = 1) -> Feedback:
    return feedback(f"f{at}", "i1", 1.0, metric="relabel", correction=to, at=at)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([good()], ("APPROVE", "good")),
        ([good(correction="APPROVE")], ("APPROVE", "good")),
        ([bad(correction="REJECT")], ("REJECT", "corrected")),
        ([bad(reason_code="wrong_label")], ("REJECT", "flipped")),
        ([bad(reason_code="too_slow")], (None, "relabel")),
        ([bad()], (None, "relabel")),
        ([], (None, "unjudged")),
        ([stars(5)], (None, "unjudged")),
        ([stars(1, correction="REJECT")], ("REJECT", "corrected")),
        # The newest judgement counts.
        ([bad(1), good(2)], ("APPROVE", "good")),
        ([good(1), bad(2, reason_code="wrong_label")], ("REJECT", "flipped")),
        ([bad(2), good(1)], (None, "relabel")),
        # A correction counts, whatever it came with.
        ([bad(2), stars(1, 1, correction="REJECT")], ("REJECT", "corrected")),
        ([bad(1, correction="REJECT"), bad(2)], ("REJECT", "corrected")),
        # A correction says more than a reason code.
        (
            [bad(2, reason_code="wrong_label"), stars(1, correction="REJECT")],
            ("REJECT", "corrected"),
        ),
        # Where people contradict each other a person decides.
        ([good(2), bad(1, correction="REJECT")], (None, "conflicting")),
        ([good(1, correction="REJECT")], (None, "conflicting")),
        ([bad(1, correction="APPROVE")], (None, "conflicting")),
        ([bad(2), stars(1, correction="APPROVE")], (None, "conflicting")),
        (
            [stars(1, 1, correction="REJECT"), stars(1, 2, correction="MAYBE")],
            (None, "conflicting"),
        ),
        ([bad(1, correction="MAYBE")], (None, "unknown_label")),
        # And their word is the last one, until their next.
        ([relabelled("REJECT"), good(2)], ("REJECT", "relabelled")),
        ([bad(5), relabelled("REJECT", 1), relabelled("APPROVE", 2)], ("APPROVE", "relabelled")),
        ([relabelled("REJECTED")], (None, "unknown_label")),
    ],
)
def test_the_table_of_labels(words: list[Feedback], expected: tuple[str | None, str]) -> None:
    assert label(ANSWER, words, JUDGE) == Labelled(*expected)
    assert label(ANSWER, reversed(words), JUDGE) == Labelled(*expected)


def test_a_flip_needs_an_answer_that_is_one_of_the_two() -> None:
    maybe = inference("i1", output="MAYBE")
    assert label(maybe, [bad(reason_code="wrong_label")], JUDGE) == Labelled(None, "relabel")


def test_without_a_policy_any_label_will_do_and_nothing_flips() -> None:
    policy = LabelPolicy()
    assert label(ANSWER, [bad(reason_code="wrong_label")], policy) == Labelled(None, "relabel")
    assert label(ANSWER, [bad(correction="new")], policy) == Labelled("new", "corrected")


def test_a_correction_with_personal_data_waits_for_a_person() -> None:
    """D6: a label with personal data ends a run, and no client's word may do that."""
    word = bad(correction="write to jo@example.com")
    assert label(ANSWER, [word], LabelPolicy()) == Labelled(None, "unknown_label")
    assert label(ANSWER, [word, relabelled("new", 9)], LabelPolicy()) == Labelled(
        "new", "relabelled"
    )


def test_what_cannot_be_a_row() -> None:
    """A masked text teaches nothing even when relabelled; without an answer GOOD means nothing."""
    masked = inference("i1", input="", output="APPROVE")
    assert label(masked, [good()], JUDGE) == Labelled(None, "masked")
    assert label(masked, [relabelled("REJECT")], JUDGE) == Labelled(None, "masked")
    silent = inference("i1", output="")
    assert label(silent, [good()], JUDGE) == Labelled(None, "unanswered")
    assert label(silent, [relabelled("REJECT")], JUDGE) == Labelled("REJECT", "relabelled")


def test_a_filter_looks_at_the_newest_of_each_metric() -> None:
    """D2: rows are selected by what was measured."""
    policy = LabelPolicy(conditions=parse("stars >= 4"))
    assert label(ANSWER, [good(9), stars(5)], policy) == Labelled("APPROVE", "good")
    assert label(ANSWER, [good(9), stars(5), stars(2, 2)], policy) == Labelled(None, "filtered")
    assert label(ANSWER, [good(9)], policy) == Labelled(None, "filtered")
    assert label(ANSWER, [good(9), relabelled("x", 3)], policy) == Labelled("x", "relabelled")


def test_who_answered_does_not_matter() -> None:
    """What was seen is what was judged, also where control answered for the candidate."""
    fallen = inference("i1", output="APPROVE", version="v2", served_version="v1")
    assert label(fallen, [good()], JUDGE) == Labelled("APPROVE", "good")


def test_a_unit_becomes_a_pseudonym_of_its_task() -> None:
    """D11: data sets hold no names."""
    assert unit_of(ANSWER) == pseudonym("intent", "ana") != pseudonym("tone", "ana")
    assert "ana" not in unit_of(ANSWER)
    assert unit_of(inference("i1", unit_source="request")) == ""


words = st.lists(
    st.builds(
        lambda at, value, metric, correction, reason: feedback(
            f"f{at}", "i1", value, metric=metric, correction=correction, reason_code=reason, at=at
        ),
        at=st.integers(0, 9),
        value=st.sampled_from([0.0, 1.0]),
        metric=st.sampled_from(["quality", "quality", "stars", "relabel"]),
        correction=st.sampled_from([None, "APPROVE", "REJECT", "MAYBE"]),
        reason=st.sampled_from([None, "wrong_label", "slow"]),
    ),
    max_size=5,
    unique_by=lambda word: word.id,
)


@given(words, st.randoms(use_true_random=False))
def test_every_row_is_taken_waits_or_is_out(said: list[Feedback], random: Any) -> None:
    """Whatever was said, in whatever order: one outcome, and a label only where taken."""
    found = label(ANSWER, said, JUDGE)
    assert found.how in ((*WAITING, *OUT) if found.label is None else TAKEN)
    assert found.label in (None, *JUDGE.labels)
    shuffled = list(said)
    random.shuffle(shuffled)
    assert label(ANSWER, shuffled, JUDGE) == found


# --- where words have tags ------------------------------------------------------------------------

TAGGED = inference("i1", input="Ana in  Rome", output="B-person O O")


@pytest.mark.parametrize(
    ("words", "labels", "expected"),
    [
        ([good()], (), ("B-person O O", "good")),
        ([bad(correction="B-person O B-place")], (), ("B-person O B-place", "corrected")),
        ([relabelled("O O O")], ("B-place",), ("O O O", "relabelled")),
        ([bad(correction="B-person O")], (), (None, "misfit")),
        ([bad(correction="person")], (), (None, "misfit")),
        ([relabelled("O O O O")], (), (None, "misfit")),
        ([bad(correction="O O B-place")], ("B-person", "I-person"), (None, "unknown_label")),
        ([bad(correction="O 07700 900123")], (), (None, "misfit")),
        ([bad(correction="O B-07700 I-900123")], (), ("O B-07700 I-900123", "corrected")),
        ([bad(correction="O O B-jo@example.com")], (), (None, "unknown_label")),
        ([bad()], (), (None, "relabel")),
    ],
)
def test_a_label_is_a_tag_for_each_word(
    words: list[Feedback], labels: tuple[str, ...], expected: tuple[str | None, str]
) -> None:
    """D3: a correction that does not fit its text teaches nothing, and stops no run."""
    assert label(TAGGED, words, LabelPolicy(kind="tag", labels=labels)) == Labelled(*expected)


def test_an_answer_that_does_not_fit_waits() -> None:
    """The text was cut, or another kind of model answered."""
    answer = inference("i1", input="Ana", output="O O")
    assert label(answer, [good()], LabelPolicy(kind="tag")) == Labelled(None, "misfit")
    assert "misfit" in WAITING


REASONED = inference("i1", output="REJECT", reason="two ideas on one card")
CARDS = LabelPolicy(flip=frozenset({"wrong_reject"}), labels=("APPROVE", "REJECT"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # The label stands, and so does why.
        ([good()], ("REJECT", "good", "REJECT: two ideas on one card")),
        ([good(comment="well seen")], ("REJECT", "good", "REJECT: two ideas on one card")),
        ([relabelled("REJECT")], ("REJECT", "relabelled", "REJECT: two ideas on one card")),
        # Whoever set it right says why, or nobody does.
        (
            [bad(reason_code="wrong_reject", comment="one  idea,\nin two words")],
            ("APPROVE", "flipped", "APPROVE: one idea, in two words"),
        ),
        ([bad(reason_code="wrong_reject")], ("APPROVE", "flipped", "")),
        ([bad(reason_code="wrong_reject", comment=" ")], ("APPROVE", "flipped", "")),
        ([bad(correction="APPROVE", comment="Reject.")], ("APPROVE", "corrected", "")),
        ([bad(correction="APPROVE", comment=" approve")], ("APPROVE", "corrected", "")),
        (
            [bad(correction="APPROVE", comment="one idea")],
            ("APPROVE", "corrected", "APPROVE: one idea"),
        ),
        (
            [bad(1, comment="no"), stars(1, 2, correction="APPROVE", comment="one idea")],
            ("APPROVE", "corrected", "APPROVE: one idea"),
        ),
        (
            [
                bad(1, reason_code="wrong_reject", comment="older"),
                stars(1, 2, comment="of something else"),
                bad(3, reason_code="wrong_reject", comment="newer"),
            ],
            ("APPROVE", "flipped", "APPROVE: newer"),
        ),
        (
            [
                feedback("f1", "i1", 1.0, metric="relabel", correction="APPROVE", at=1),
                stars(1, 2, correction="APPROVE", comment="of a correction"),
            ],
            ("APPROVE", "relabelled", ""),
        ),
        ([bad(reason_code="vague", comment="hm")], (None, "relabel", "")),
    ],
)
def test_an_answer_with_a_reason_is_learnt_with_one(
    words: list[Feedback], expected: tuple[str | None, str, str]
) -> None:
    """D3, D4: the words that go with the label, and never those of the label that was wrong."""
    assert label(REASONED, words, CARDS) == Labelled(*expected)
    assert label(REASONED, reversed(words), CARDS) == Labelled(*expected)


def test_comments_do_not_make_a_label_more_than_one() -> None:
    """A model that gives labels alone is not taught to talk."""
    said = [bad(reason_code="wrong_label", comment="see the second sentence")]
    assert label(ANSWER, said, JUDGE) == Labelled("REJECT", "flipped")
