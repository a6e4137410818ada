"""Gates: the bars that an evaluation must clear before people are asked. They fail closed.

What the evaluation itself warns of (overfit, shuffled labels) is shown as `warn` where no gate of
that metric warns or fails already.

what the evaluation says of the live version    a gate with `min_delta`, or of a ratio to it
the difference, with its interval               holds the difference, or its lower end, to the bar
there is none (`{"none": true}`, or nothing)    passes: there is nothing to compare with
it could not be compared (`{"reason": …}`)      fails
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from greenlight.core import evaluation
from greenlight.core.metrics import COMPARED, METRICS, Metric
from greenlight.core.policy import GateRule

Outcome = Literal["pass", "warn", "fail"]

NOTHING_LIVE = "no version is live: there is nothing to compare with"

FAILED, WARNED = 1, 3
"""Exit codes of a command whose gates failed, or only warned where warnings are to count."""


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate said of one metric, with the numbers it saw.

    `METRIC_delta` is the difference from the live version that `min_delta` asks for.
    """

    metric: str
    outcome: Outcome
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What an evaluation holds at a path; `bottom` and `top` are what bars are held against."""

    value: float | None
    low: float | None
    high: float | None
    bottom: float = math.nan
    top: float = math.nan
    problem: str = ""

    def result(self, metric: str, outcome: Outcome, reason: str) -> GateResult:
        return GateResult(
            metric=metric,
            outcome=outcome,
            value=self.value,
            low=self.low,
            high=self.high,
            reason=reason,
        )


def check(document: Mapping[str, Any], rules: Mapping[str, GateRule]) -> list[GateResult]:
    """Hold an evaluation document against every rule, in the order of the rules.

    The document's own warnings come after them. Without a rule there is no result, for a warning
    lets nothing pass.

    A rule with `min_delta` gives a second result, of the difference from the live version. A metric
    that is unknown, absent or no number fails, and so does a bound without an interval: what cannot
    be computed cannot pass.
    """
    results = []
    for name, rule in rules.items():
        results.append(_check(document, name, rule))
        if rule.min_delta is not None:
            results.append(_check_delta(document, name, rule, rule.min_delta))
    return [*results, *_warnings(document, results)] if results else []


def passed(results: Sequence[GateResult]) -> bool:
    """No gate failed. A warning does not block; no gate at all does."""
    return bool(results) and all(result.outcome != "fail" for result in results)


def warned(results: Sequence[GateResult]) -> bool:
    """Some gate warned."""
    return any(result.outcome == "warn" for result in results)


def exit_code(results: Sequence[GateResult], *, fail_on_warn: bool = False) -> int:
    """How a command ends that was to bring a version through its gates.

    0: passed; 1: failed; 3: passed with a warning where `fail_on_warn` asks to be told. (2 is a
    mistake of the caller, as everywhere.)
    """
    if not passed(results):
        return FAILED
    return WARNED if fail_on_warn and warned(results) else 0


def _warnings(document: Mapping[str, Any], results: Sequence[GateResult]) -> list[GateResult]:
    """What the document warns of and no gate speaks of yet."""
    spoken = {result.metric for result in results if result.outcome != "pass"}
    return [
        GateResult(
            metric=warning["metric"],
            outcome="warn",
            value=_number(warning["value"]),
            reason=warning["reason"],
        )
        for warning in evaluation.warnings(document)
        if warning["metric"] not in spoken
    ]


def _check(document: Mapping[str, Any], name: str, rule: GateRule) -> GateResult:
    metric = METRICS.get(name)
    if metric is None:
        known = ", ".join(sorted(METRICS))
        return GateResult(metric=name, outcome="fail", reason=f"no such metric; known: {known}")
    if metric.beside_live and _nothing_live(document):
        return GateResult(metric=name, outcome="pass", reason=NOTHING_LIVE)
    seen = _see(document, metric.path, rule)
    if seen.problem:
        why = _why(document, metric.path)
        return seen.result(name, "fail", f"{seen.problem}: {why}" if why else seen.problem)
    outcome, reason = _judge(metric, rule, seen.bottom, seen.top)
    return seen.result(name, outcome, reason)


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
    return "pass", f"{bottom if metric.direction == 'up' else top:.4f} clears every bar"


def _check_delta(
    document: Mapping[str, Any], name: str, rule: GateRule, least: float
) -> GateResult:
    """Hold the difference from the live version against its bar; see the table of this module."""
    metric, path = f"{name}_delta", COMPARED.get(name)
    if path is None:
        reason = f"{name} is not compared with the live version; these are: {', '.join(COMPARED)}"
        return GateResult(metric=metric, outcome="fail", reason=reason)
    if _nothing_live(document):
        return GateResult(metric=metric, outcome="pass", reason=NOTHING_LIVE)
    seen = _see(document, path, rule)
    if seen.problem:
        why = _find(document, path[:1]).get("reason", seen.problem)
        return seen.result(metric, "fail", f"not compared with the live version: {why}")
    enough = seen.bottom >= least
    text = (
        f"{seen.bottom:+.4f} from the live version, {'at least' if enough else 'below'} {least:+g}"
    )
    return seen.result(metric, "pass" if enough else "fail", text)


def _nothing_live(document: Mapping[str, Any]) -> bool:
    """The evaluation says that no version was live; anything that it says beside that counts."""
    if "live" not in document:
        return True
    live = document["live"]
    return (
        isinstance(live, Mapping) and live.get("none") is True and set(live) <= {"none", "reason"}
    )


def _see(document: Mapping[str, Any], path: Sequence[str], rule: GateRule) -> _Seen:
    """The numbers at a path; the interval must be there if the rule asks for its lower end."""
    block = _find(document, path)
    value, low, high = (_number(block.get(key)) for key in ("value", "low", "high"))
    seen = _Seen(value=value, low=low, high=high)
    where = ".".join(path)
    if value is None:
        return msgspec.structs.replace(seen, problem=f"the evaluation holds no number at {where}")
    if rule.bound == "point":
        return msgspec.structs.replace(seen, bottom=value, top=value)
    if low is None or high is None or not low <= value <= high:
        return msgspec.structs.replace(seen, problem=f"the evaluation holds no interval at {where}")
    return msgspec.structs.replace(seen, bottom=low, top=high)


def _find(document: Mapping[str, Any], path: Sequence[str]) -> Mapping[str, Any]:
    block: object = document
    for key in path:
        block = block.get(key) if isinstance(block, Mapping) else None
    return block if isinstance(block, Mapping) else {}


def _why(document: Mapping[str, Any], path: Sequence[str]) -> str | None:
    """The reason that stands on the way to a number that is not there, if one does."""
    for length in range(1, len(path) + 1):
        reason = _find(document, path[:length]).get("reason")
        if isinstance(reason, str):
            return reason
    return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
