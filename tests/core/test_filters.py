"""Conditions on feedback: what may be written, and what is said of the rest."""

from __future__ import annotations

import re

import pytest

from greenlight.core.filters import Condition, holds, parse


def test_a_filter_is_conditions_joined_by_and() -> None:
    """D2: rows are selected by engagement."""
    assert parse("engagement_rate > 0.06") == (Condition("engagement_rate", ">", 0.06),)
    assert parse(" stars>=4 and  quality=1 and x.y != -1e-3") == (
        Condition("stars", ">=", 4.0),
        Condition("quality", "=", 1.0),
        Condition("x.y", "!=", -0.001),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty filter"),
        ("engagement_rate", "must follow 'engagement_rate', nothing follows"),
        ("engagement rate > 1", "one of < <= > >= = != must follow 'engagement', got 'rate'"),
        ("stars >", "a number must follow 'stars' >, nothing follows"),
        ("stars > four", "got 'four'"),
        ("stars > nan", "got 'nan'"),
        ("rate > 6%", "a share of 6 % as 0.06"),
        ("quality = GOOD", "GOOD is 1"),
        ("stars => 4", "got '=>'"),
        ("stars == 4", "got '=='"),
        ("> 4", "'>' is no name of a metric"),
        ("stars > 4 or stars < 2", "joined by `and`, nothing else"),
        ("stars > 4 and", "nothing after the last `and`"),
        ("stars > 4 AND x > 1", "'AND' after 'stars > 4'"),
    ],
)
def test_what_is_wrong_with_a_filter_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(text)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"stars": 4.0, "rate": 0.1}, True),
        ({"stars": 3.9, "rate": 0.1}, False),
        ({"stars": 4.0, "rate": 0.06}, False),
        ({"stars": 5.0}, False),
        ({}, False),
    ],
)
def test_a_row_must_meet_every_condition(values: dict[str, float], expected: bool) -> None:
    """What was not measured meets no condition."""
    assert holds(parse("stars >= 4 and rate > 0.06"), values) is expected
    assert holds((), values)
