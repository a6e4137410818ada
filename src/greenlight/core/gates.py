"""Gates: the bars that an evaluation must clear before people are asked. They fail closed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from greenlight.core.metrics import METRICS, Metric
from greenlight.core.policy import GateRule

Outcome = Literal["pass", "warn", "fail"]


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate said of one metric, with the numbers it saw."""

    metric: str
    outcome: Outcome
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str


def check(document: Mapping[str, Any], rules: Mapping[str, GateRule]) -> list[GateResult]:
    """Hold an evaluation document against every rule, in the order of the rules.

    A metric that is unknown, absent or no number fails, and so does a bound without an interval:
    what cannot be computed cannot pass.
    """
    return [_check(document, name, rule) for name, rule in rules.items()]


def passed(results: Sequence[GateResult]) -> bool:
    """No gate failed. A warning does not block; no gate at all does."""
    return bool(results) and all(result.outcome != "fail" for result in results)


def _check(document: Mapping[str, Any], name: str, rule: GateRule) -> GateResult:
    metric = METRICS.get(name)
    if metric is None:
        known = ", ".join(sorted(METRICS))
        return GateResult(metric=name, outcome="fail", reason=f"no such metric; known: {known}")
    block = _find(document, metric.path)
    value, low, high = (_number(block.get(key)) for key in ("value", "low", "high"))
    where = ".".join(metric.path)
    outcome: Outcome
    if value is None:
        outcome, reason = "fail", f"the evaluation holds no number at {where}"
    elif rule.bound == "point":
        outcome, reason = _judge(metric, rule, value, value)
    elif low is None or high is None or not low <= value <= high:
        outcome, reason = "fail", f"the evaluation holds no interval at {where}"
    else:
        outcome, reason = _judge(metric, rule, low, high)
    return GateResult(metric=name, outcome=outcome, value=value, low=low, high=high, reason=reason)


def _judge(metric: Metric, rule: GateRule, bottom: float, top: float) -> tuple[Outcome, str]:
    """Hold the end that makes passing harder against each bar."""
    if rule.min is not None and bottom < rule.min:
        return "fail", f"{bottom:.4f} is below the least allowed, {rule.min:g}"
    if rule.max is not None and top > rule.max:
        return "fail", f"{top:.4f} is above the most allowed, {rule.max:g}"
    if rule.warn is not None and metric.direction == "up" and bottom < rule.warn:
        return "warn", f"{bottom:.4f} is below {rule.warn:g}"
    if rule.warn is not None and metric.direction == "down" and top > rule.warn:
        return "warn", f"{top:.4f} is above {rule.warn:g}"
    return "pass", "clears every bar"


def _find(document: Mapping[str, Any], path: Sequence[str]) -> Mapping[str, Any]:
    block: object = document
    for key in path:
        block = block.get(key) if isinstance(block, Mapping) else None
    return block if isinstance(block, Mapping) else {}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
