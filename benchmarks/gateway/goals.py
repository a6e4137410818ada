"""What the gateway was to reach beside the others, and whether it did."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import msgspec

HEADLINE = "16"
"""Connections at which CPU per request is compared."""


class Goal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A bound, what was measured, and whether it is kept; None: it could not be measured."""

    name: str
    unit: str
    bound: float
    value: float | None
    met: bool | None
    least: bool = False
    """Whether the bound is the least that is good; otherwise the most."""
    information: bool = False
    """Nothing that was promised, and told all the same."""


def goals(rounds: Sequence[dict[str, Any]], found: dict[str, Any]) -> list[Goal]:
    """Every goal.

    Args:
        rounds: of each round, what was measured by server: a ratio is made within its round, where
            both met the same noise, and the median is what counts.
        found: the medians by server.
    """
    return [
        goal("CPU per request, times the floor's", "×", 1.3, ratio(rounds, "greenlight", "floor")),
        goal(
            "CPU per request of LiteLLM, times ours",
            "×",
            30.0,
            ratio(rounds, "litellm", "greenlight"),
            least=True,
        ),
        goal(
            "CPU per request of MLflow, times ours",
            "×",
            50.0,
            ratio(rounds, "mlflow", "greenlight"),
            least=True,
        ),
        goal(
            "overhead at 50 requests/s, p99",
            "ms",
            1.0,
            _of(found, "greenlight", "paced", "overhead", "p99"),
        ),
        goal(
            "classify in process at 120 requests/s on one core, p99",
            "ms",
            25.0,
            _of(found, "classify", "paced", "latency", "p99"),
        ),
        goal(
            "CPU per request of TensorZero, times ours",
            "×",
            1.0,
            ratio(rounds, "tensorzero", "greenlight"),
            least=True,
            information=True,
        ),
    ]


def goal(
    name: str,
    unit: str,
    bound: float,
    value: float | None,
    *,
    least: bool = False,
    information: bool = False,
) -> Goal:
    """One goal, held against what was measured; see `Goal`."""
    met = None
    if value is not None:
        met = value >= bound if least else value <= bound
    return Goal(
        name=name,
        unit=unit,
        bound=bound,
        value=None if value is None else round(value, 3),
        met=met,
        least=least,
        information=information,
    )


def ratio(rounds: Sequence[dict[str, Any]], over: str, under: str) -> float | None:
    """The median over the rounds in which both were measured."""
    pairs = [
        (_of(one, over, HEADLINE, "cpu_us"), _of(one, under, HEADLINE, "cpu_us")) for one in rounds
    ]
    ratios = [a / b for a, b in pairs if a is not None and b]
    return statistics.median(ratios) if ratios else None


def _of(found: dict[str, Any], *path: str) -> float | None:
    value: Any = found
    for name in path:
        if name not in value:
            return None
        value = value[name]
    return float(value)
