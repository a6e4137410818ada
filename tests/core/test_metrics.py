"""What number feedback stands for."""

from __future__ import annotations

import pytest

from greenlight.core.errors import BadInput
from greenlight.core.metrics import BAD, GOOD, RELABEL, score


def test_good_and_bad_are_numbers_and_a_number_is_itself() -> None:
    assert (score("quality", "GOOD"), score("quality", "BAD"), score("stars", 4)) == (GOOD, BAD, 4)


@pytest.mark.parametrize(
    ("metric", "value", "message"),
    [
        ("quality", 1, "quality takes GOOD or BAD"),
        ("stars", "GOOD", "stars takes a number"),
        ("stars", True, "stars takes a number"),
        ("stars", float("nan"), "stars takes a number"),
        (RELABEL, 1, "greenlight relabel label"),
    ],
)
def test_what_is_no_feedback(metric: str, value: object, message: str) -> None:
    """D3: a label that outranks all feedback comes from a person on this side, never a client."""
    with pytest.raises(BadInput, match=message):
        score(metric, value)
