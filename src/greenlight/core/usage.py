"""What answers took: time, tokens and money, of one version and beside another on the same items.

A model at a provider is asked for one answer at a time, so each has a latency of its own, and the
provider counts its tokens. A model in this process answers many texts at once: the time of a batch
is no latency, and there is nothing to pay, so there is a reason and no number.

Intervals are percentile bootstraps over items (`core.stats.resampling`). Two versions are held
against each other by ratios, on the same items drawn together: 1.2 is a fifth more than the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from greenlight.core.chat import Tokens
from greenlight.core.stats.resampling import Items, Statistic, bootstrap_interval, paired_bootstrap

SEED = 2025
PER = 1000
"""A cost is that of so many answers."""
PERCENTILES = {"p50": 0.5, "p95": 0.95}

_NO_OWN = "no answer has a latency or a price of its own"

Block = dict[str, Any]
"""`value` with `low` and `high`, its 95 % interval; or a `reason`."""


class Prices(msgspec.Struct, frozen=True):
    """Of a million tokens, in whatever currency the installation counts."""

    input: float
    output: float

    def cost(self, tokens: Tokens) -> float | None:
        """What an answer cost; None where its tokens were not counted."""
        if tokens.input is None or tokens.output is None:
            return None
        return (tokens.input * self.input + tokens.output * self.output) / 1e6


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What the answers of one version took, item by item."""

    label: str
    """The version's."""
    milliseconds: Sequence[float | None]
    """From the request to the whole answer, without waiting for a place or before another try."""
    tokens: Sequence[Tokens | None]
    prices: Prices | None


def prices_of(runtime: Mapping[str, Any]) -> Prices | None:
    """The prices that a version's runtime names."""
    named = runtime.get("prices")
    return None if named is None else Prices(float(named["input"]), float(named["output"]))


def usage(mine: Taken) -> Block:
    """What a version's answers took; see docs/evaluation.md for the fields."""
    if all(one is None for one in (*mine.milliseconds, *mine.tokens)):
        return {"reason": f"{mine.label} was asked many texts at a time: {_NO_OWN}"}
    return {"latency_ms": _latency(mine), "tokens": _tokens(mine), "cost": _cost(mine)}


def in_process(label: str) -> str:
    """Why nothing is told of a version whose model runs here."""
    return f"{label} answers in this process, many texts at a time: {_NO_OWN}"


def beside(mine: Taken, other: Taken | str) -> Block:
    """What a version's answers took, with that of another one and the ratios to it.

    Args:
        mine: the version's.
        other: what it is held against, on the same items in one order; or why there is nothing.
    """
    found = usage(mine)
    if "reason" in found:
        return found
    if isinstance(other, str):
        return {**found, "beside": {"reason": other}, "ratio": {"reason": other}}
    told = {"label": other.label, **usage(other)}
    return {**found, "beside": told, "ratio": ratio(mine, other)}


def rows(found: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """What `beside` found, in words: what it is, its value, its interval, the ratio.

    One row where there is a reason and no number.
    """
    if "reason" in found or "latency_ms" not in found:
        return [("latency and cost", str(found.get("reason", "not measured")), "", "")]
    ratios = found.get("ratio", {})
    told = []
    for name in PERCENTILES:
        block = found["latency_ms"][name]
        given = f"latency_{name}"
        told.append((f"latency, {name}", *_words(block, " ms", 1), _times(ratios, given)))
    cost = found["cost"]
    told.append((f"cost of {PER:,} answers", *_words(cost, "", 4), _times(ratios, "cost")))
    tokens = found["tokens"]
    counted = (
        tokens["reason"]
        if "reason" in tokens
        else f"{tokens['input']:.1f} read, {tokens['output']:.1f} written"
    )
    told.append(("tokens of an answer", counted, "", ""))
    return told


def _words(block: Mapping[str, Any], unit: str, digits: int) -> tuple[str, str]:
    if "reason" in block:
        return str(block["reason"]), ""
    value, low, high = (f"{block[end]:,.{digits}f}" for end in ("value", "low", "high"))
    return f"{value}{unit}", f"{low} to {high}"


def _times(ratios: Mapping[str, Any], name: str) -> str:
    block = ratios if "reason" in ratios else ratios.get(name, {})
    if "value" not in block:
        return str(block.get("reason", ""))
    return f"{block['value']:.2f} times ({block['low']:.2f} to {block['high']:.2f})"


def ratio(mine: Taken, other: Taken) -> Block:
    """What a version's answers took as a multiple of another's, on the same items in one order."""
    found: Block = {}
    for name, share in PERCENTILES.items():
        reason = _missing_latency(mine, share) or _missing_latency(other, share)
        found[f"latency_{name}"] = (
            {"reason": reason}
            if reason
            else _ratio(mine.milliseconds, other.milliseconds, _percentile(share))
        )
    reason = _missing_cost(mine) or _missing_cost(other)
    found["cost"] = {"reason": reason} if reason else _ratio(_costs(mine), _costs(other), _mean)
    return found


def _latency(taken: Taken) -> Block:
    found: Block = {"n": len(taken.milliseconds)}
    for name, share in PERCENTILES.items():
        reason = _missing_latency(taken, share)
        found[name] = (
            {"reason": reason} if reason else _block(taken.milliseconds, _percentile(share))
        )
    return found


def _missing_latency(taken: Taken, share: float) -> str | None:
    """Why there is no such percentile, if there is none."""
    if any(one is None for one in taken.milliseconds):
        return f"{taken.label} was not asked item by item: no answer has a latency of its own"
    n = len(taken.milliseconds)
    if n * min(share, 1 - share) < 1:
        return f"{n} answers are too few to tell the {100 * share:g}th percentile"
    return None


def _tokens(taken: Taken) -> Block:
    """Tokens of an answer on average."""
    reason = _missing_tokens(taken)
    if reason:
        return {"reason": reason}
    counted = [one for one in taken.tokens if one is not None]
    return {
        "input": sum(one.input or 0 for one in counted) / len(counted),
        "output": sum(one.output or 0 for one in counted) / len(counted),
        "n": len(counted),
    }


def _missing_tokens(taken: Taken) -> str | None:
    counted = sum(
        one is not None and one.input is not None and one.output is not None for one in taken.tokens
    )
    if counted == len(taken.tokens):
        return None
    return f"the tokens of {counted:,} of {len(taken.tokens):,} answers of {taken.label} are known"


def _cost(taken: Taken) -> Block:
    """Of `PER` answers, and of all of them."""
    reason = _missing_cost(taken)
    if reason:
        return {"reason": reason}
    costs = _costs(taken)
    found = {name: PER * value for name, value in _block(costs, _mean).items()}
    return {**found, "per": PER, "total": math.fsum(costs)}


def _missing_cost(taken: Taken) -> str | None:
    if taken.prices is None:
        return f"{taken.label} names no prices of tokens"
    return _missing_tokens(taken)


def _costs(taken: Taken) -> list[float]:
    prices = taken.prices
    assert prices is not None
    return [prices.cost(one) or 0.0 for one in taken.tokens if one is not None]


def _block(values: Sequence[float | None], statistic: Statistic) -> Block:
    items = np.asarray(values, dtype=float)
    interval = bootstrap_interval(statistic, items, rng=np.random.default_rng(SEED))
    assert interval is not None
    return {"value": statistic(items), "low": interval[0], "high": interval[1]}


def _ratio(
    mine: Sequence[float | None], other: Sequence[float | None], statistic: Statistic
) -> Block:
    def logarithm(items: Items) -> float | None:
        """So that a difference of two is a ratio."""
        found = statistic(items)
        return math.log(found) if found else None

    a, b = np.asarray(other, dtype=float), np.asarray(mine, dtype=float)
    first, second = logarithm(a), logarithm(b)
    interval = paired_bootstrap(logarithm, a, b, rng=np.random.default_rng(SEED))
    if first is None or second is None or interval is None:
        return {"reason": "there is no ratio of nothing"}
    low, high = (math.exp(end) for end in interval)
    return {"value": math.exp(second - first), "low": low, "high": high}


def _percentile(share: float) -> Statistic:
    return lambda items: float(np.quantile(items, share))


def _mean(items: Items) -> float:
    return float(items.mean())
