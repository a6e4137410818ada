"""D1, T3: what a provider takes, and what it will ask for it, told before anything is uploaded."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core import finetuning
from greenlight.core.errors import BadInput
from greenlight.core.finetuning import Range, Tally, epochs_of, estimate, tokens_of
from greenlight.core.messages import Message

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


def talk(*said: tuple[str, str]) -> list[Message]:
    return [Message(role, content) for role, content in said]


@given(TEXTS, TEXTS, TEXTS)
def test_what_is_written_is_what_is_read(system: str, text: str, answer: str) -> None:
    said = talk(("system", system), ("user", text), ("assistant", answer))
    line = Tally().add(said)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    found = json.loads(line)["messages"]
    assert [(one["role"], one["content"]) for one in found] == [
        ("system", system),
        ("user", text),
        ("assistant", answer),
    ]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([], "messages: 0, and a question and an answer"),
        ([("assistant", "b")], "messages: 1, and a question and an answer"),
        ([("user", "a"), ("user", "b")], r"messages\[1\].role: 'user'; the last message"),
        ([("tool", "a"), ("assistant", "b")], r"messages\[0\].role: 'tool' is none of system"),
        ([("user", "a"), ("assistant", " \n")], r"messages\[1\].content: no words"),
        ([("user", ""), ("assistant", "b")], r"messages\[0\].content: no words"),
        (
            [("user", "ab\ud83d"), ("assistant", "b")],
            r"messages\[0\].content: U\+D83D at character 2 is half a character",
        ),
    ],
)
def test_a_conversation_that_a_provider_would_refuse(
    said: Sequence[tuple[str, str]], told: str
) -> None:
    """D1: row, field, value and the fix are named."""
    tally = Tally("train")
    tally.add(talk(("user", "a"), ("assistant", "b")))
    with pytest.raises(BadInput, match=rf"train row 2: {told}.*; mend the row or leave it out"):
        tally.add(talk(*said))


def test_a_row_longer_than_the_provider_learns() -> None:
    """The end would be cut off, and with it the answer."""
    tally = Tally("train", most_tokens=20)
    tally.add(talk(("user", "a" * 40), ("assistant", "b")))
    with pytest.raises(
        BadInput, match="row 2: messages: some 21 tokens, and the provider learns 20"
    ):
        tally.add(talk(("user", "a" * 44), ("assistant", "b")))
    Tally("train", most_tokens=20, limited=False).add(talk(("user", "a" * 99), ("assistant", "b")))


def test_a_file_longer_than_the_provider_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Tally().add(talk(("user", "a"), ("assistant", "b")))
    monkeypatch.setattr(finetuning, "MOST_BYTES", 2 * len(line))
    tally = Tally()
    for _ in range(2):
        tally.add(talk(("user", "a"), ("assistant", "b")))
    with pytest.raises(BadInput, match=r"train row 3: with it the file is longer than .*max_rows"):
        tally.add(talk(("user", "a"), ("assistant", "b")))


def test_too_few_rows() -> None:
    tally = Tally()
    for _ in range(9):
        tally.add(talk(("user", "a"), ("assistant", "b")))
    with pytest.raises(BadInput, match="train: 9 rows, and a provider trains on 10 or more"):
        tally.finish()
    tally.add(talk(("user", "a"), ("assistant", "b")))
    tally.finish()


def test_tokens_are_a_quarter_of_the_bytes_and_what_stands_around_messages() -> None:
    assert tokens_of(talk(("user", "12345678"), ("assistant", "1"))) == 2 + 1 + 3 * 3
    assert tokens_of(talk(("user", "\u00e9" * 4), ("assistant", "1"))) == 2 + 1 + 3 * 3


@pytest.mark.parametrize(
    ("rows", "wanted", "epochs"),
    [
        (10, "auto", 10),
        (2, "auto", 25),
        (34, "auto", 3),
        (8333, "auto", 3),
        (10_000, "auto", 2),
        (50_000, "auto", 1),
        (50_000, 7, 7),
    ],
)
def test_epochs_are_those_that_the_provider_would_choose(
    rows: int, wanted: int | str, epochs: int
) -> None:
    assert epochs_of(rows, wanted) == epochs


def test_an_estimate_says_between_what_the_truth_lies() -> None:
    """T3: tokens × epochs × price; the bounds are those that were measured."""
    tally = Tally()
    for _ in range(100):
        tally.add(talk(("user", "a" * 364), ("assistant", "b")))
    assert tally.tokens == 100 * 101
    found = estimate(tally, "auto", 10.0)
    assert (found.rows, found.epochs) == (100, 3)
    assert found.tokens == Range(5555 * 3, 10_100 * 3, 16_160 * 3)
    assert found.cost is not None
    assert found.cost.likely == pytest.approx(0.303)
    assert (found.cost.low, found.cost.high) == pytest.approx((0.16665, 0.4848))
    assert estimate(tally, 1, None).cost is None
    assert finetuning.told(found)["tokens"]["likely"] == 30_300


@given(st.floats(1e-6, 1e6))
def test_a_limit_that_is_named_is_enough(cost: float) -> None:
    named = finetuning.ceiling(cost)
    assert cost <= named * (1 + 1e-12) and named <= cost * 1.0011
    assert float(f"{named:g}") == named


def test_what_was_billed() -> None:
    assert finetuning.billed(2_000_000, 3.0) == 6.0
    assert finetuning.billed(None, 3.0) is None and finetuning.billed(5, None) is None
