"""Answers that say why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.reasoned import LONGEST, short, whole


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("two  ideas\n on one\x00card ", "two ideas on one card"),
        ("", None),
        (" \n\t", None),
        ("x" * (LONGEST + 1), "x" * LONGEST),
        ("x" * (LONGEST - 1) + " y", "x" * (LONGEST - 1)),
    ],
)
def test_a_reason_is_one_line_and_short(words: str, kept: str | None) -> None:
    assert short(words) == kept


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_short_reason_stays_as_it_is(words: str) -> None:
    kept = short(words)
    assert kept is None or short(kept) == kept


def test_label_and_reason_are_one_answer() -> None:
    assert whole("REJECT", "two ideas") == "REJECT: two ideas"
    assert whole("REJECT", None) == "REJECT"
