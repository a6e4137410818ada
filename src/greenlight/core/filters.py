"""Conditions on feedback: `engagement_rate > 0.06 and rating >= 4`."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping
from typing import NamedTuple

OPERATORS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}

_TOKEN = re.compile(r"\s*([<>=!]+|[^\s<>=!]+)")
_METRIC = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]*")
_WORDS = {"GOOD": "GOOD is 1", "BAD": "BAD is 0"}


class Condition(NamedTuple):
    """What the newest feedback of a metric must be."""

    metric: str
    op: str
    value: float


def parse(text: str) -> tuple[Condition, ...]:
    """The conditions of a filter, METRIC OP NUMBER, joined by `and`.

    Raises:
        ValueError: no such filter; the message says where and what is wrong.
    """
    tokens = _TOKEN.findall(text)
    if not tokens:
        raise ValueError("an empty filter; write METRIC OP NUMBER, as in engagement_rate > 0.06")
    found = []
    for start in range(0, len(tokens), 4):
        found.append(_condition(tokens[start : start + 3]))
        joint = tokens[start + 3 : start + 4]
        if joint and joint != ["and"]:
            raise ValueError(
                f"{joint[0]!r} after {' '.join(tokens[start : start + 3])!r}: "
                "conditions are joined by `and`, nothing else"
            )
        if joint and len(tokens) == start + 4:
            raise ValueError("nothing after the last `and`; write METRIC OP NUMBER there")
    return tuple(found)


def _condition(tokens: list[str]) -> Condition:
    metric, op, number = (*tokens, "", "")[:3]
    if not _METRIC.fullmatch(metric):
        raise ValueError(f"{metric!r} is no name of a metric; write METRIC OP NUMBER")
    if op not in OPERATORS:
        got = f"got {op!r}" if op else "nothing follows"
        raise ValueError(f"one of {' '.join(OPERATORS)} must follow {metric!r}, {got}")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        got = f"got {number!r}" if number else "nothing follows"
        hint = f"; {_WORDS[number]}" if number in _WORDS else ""
        hint = "; write a share of 6 % as 0.06" if number.endswith("%") else hint
        raise ValueError(f"a number must follow {metric!r} {op}, {got}{hint}")
    return Condition(metric, op, value)


def holds(conditions: tuple[Condition, ...], values: Mapping[str, float]) -> bool:
    """Whether values (metric → number) meet every condition; what is not measured meets none."""
    return all(
        metric in values and bool(OPERATORS[op](values[metric], value))
        for metric, op, value in conditions
    )
