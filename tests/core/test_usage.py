"""E4: what answers took, of one version and beside another; O7: what they cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from greenlight.core.chat import Tokens
from greenlight.core.gates import check
from greenlight.core.policy import GateRule
from greenlight.core.usage import PER, Prices, Taken, prices_of, ratio, usage

CHEAP = Prices(1.0, 4.0)


def taken(
    milliseconds: Sequence[float | None],
    tokens: Sequence[Tokens | None] | None = None,
    prices: Prices | None = CHEAP,
    label: str = "judge@2",
) -> Taken:
    counted = [Tokens(100, 5)] * len(milliseconds) if tokens is None else tokens
    return Taken(label=label, milliseconds=milliseconds, tokens=counted, prices=prices)


def test_latency_is_told_by_percentiles_with_intervals() -> None:
    times = [float(n) for n in range(1, 101)]
    found = usage(taken(times))["latency_ms"]
    assert (found["p50"]["value"], found["n"]) == (50.5, 100)
    assert found["p95"]["value"] == pytest.approx(95.05)
    assert found["p95"]["low"] < 95.05 < found["p95"]["high"] <= 100


def test_a_cost_is_that_of_a_thousand_answers() -> None:
    """O7: prices are of a million tokens, and what an answer reads and writes cost differently."""
    found = usage(taken([1.0] * 4, [Tokens(100, 0), Tokens(100, 0), Tokens(300, 50), Tokens(0, 0)]))
    assert found["tokens"] == {"input": 125.0, "output": 12.5, "n": 4}
    assert found["cost"]["total"] == pytest.approx(700e-6)
    assert found["cost"]["value"] == pytest.approx(700e-6 / 4 * PER)
    assert found["cost"]["low"] < found["cost"]["value"] < found["cost"]["high"]


@pytest.mark.parametrize(
    ("one", "where", "says"),
    [
        (taken([1.0] * 3), ("latency_ms", "p95"), "3 answers are too few to tell the 95th"),
        (taken([1.0] * 19), ("latency_ms", "p95"), "19 answers are too few"),
        (taken([1.0]), ("latency_ms", "p50"), "1 answers are too few"),
        (taken([1.0, None] * 20), ("latency_ms", "p50"), "judge@2 was not asked item by item"),
        (taken([1.0] * 20, prices=None), ("cost",), "judge@2 names no prices"),
        (taken([1.0] * 2, [Tokens(1, 1), None]), ("cost",), "tokens of 1 of 2 answers of judge@2"),
        (taken([1.0] * 2, [Tokens(1, None)] * 2), ("tokens",), "tokens of 0 of 2 answers"),
    ],
)
def test_what_was_not_measured_is_a_reason(one: Taken, where: Sequence[str], says: str) -> None:
    """What cannot be computed never looks like a number."""
    found = usage(one)
    for name in where:
        found = found[name]
    assert set(found) == {"reason"} and says in found["reason"]


def test_who_answers_many_at_once_has_no_latency_of_an_answer() -> None:
    assert set(usage(taken([None] * 9, [None] * 9))) == {"reason"}


def test_ratios_are_of_the_same_items() -> None:
    """E4: where every item takes 1.5 times as long there is no doubt about it, however uneven the
    items are; drawn apart, the interval would be wide."""
    times = np.random.default_rng(1).lognormal(3, 1, 400)
    live = taken([float(time) for time in times], label="judge@1")
    mine = taken([1.5 * float(time) for time in times], [Tokens(100, 10)] * 400)
    found = ratio(mine, live)
    for name in ("latency_p50", "latency_p95"):
        block = found[name]
        assert [block[end] for end in ("low", "value", "high")] == pytest.approx([1.5] * 3)
    assert found["cost"]["value"] == pytest.approx(140 / 120)


def test_noise_gives_the_ratio_a_width() -> None:
    rng = np.random.default_rng(2)
    live, mine = (
        taken([float(one) for one in rng.lognormal(3, 0.3, 300)], label=label)
        for label in ("judge@1", "judge@2")
    )
    block = ratio(mine, live)["latency_p95"]
    assert 0.85 < block["low"] < block["value"] < block["high"] < 1.15


def test_a_ratio_needs_both() -> None:
    mine = taken([None] * 40)
    found = ratio(mine, taken([None] * 40, prices=Prices(0.0, 0.0), label="judge@1"))
    assert found["cost"] == {"reason": "there is no ratio of nothing"}
    assert "judge@2 was not asked item by item" in found["latency_p95"]["reason"]
    other = ratio(mine, taken([None] * 40, prices=None, label="judge@1"))
    assert "judge@1 names no prices" in other["cost"]["reason"]
    alone = ratio(taken([1.0] * 40, prices=None), taken([None] * 40, label="judge@1"))
    assert "judge@1 was not asked item by item" in alone["latency_p95"]["reason"]


def test_prices_are_those_of_the_runtime() -> None:
    assert prices_of({"kind": "openai", "prices": {"input": 1, "output": 4}}) == CHEAP
    assert prices_of({"kind": "openai"}) is None


BESIDE = {"usage": {"ratio": {"latency_p95": {"value": 1.2, "low": 1.1, "high": 1.3}}}}
LIVE = {"live": {"accuracy": {"value": 0.0}}}


@pytest.mark.parametrize(
    ("document", "rule", "outcome", "says"),
    [
        ({**LIVE, **BESIDE}, GateRule(max=1.25), "pass", "clears"),
        ({**LIVE, **BESIDE}, GateRule(max=1.25, bound="lower"), "fail", "1.3000 is above"),
        ({**LIVE, **BESIDE}, GateRule(max=1.15), "fail", "1.2000 is above the most allowed, 1.15"),
        ({**LIVE, **BESIDE}, GateRule(warn=1.1), "warn", "1.2000 is above 1.1"),
        ({"live": {"none": True}}, GateRule(max=1.0), "pass", "no version is live"),
        ({**LIVE, "usage": {"reason": "in process"}}, GateRule(max=1.0), "fail", "in process"),
        (LIVE, GateRule(max=1.0), "fail", "no number at usage.ratio.latency_p95"),
    ],
)
def test_a_ratio_can_be_a_gate(
    document: dict[str, object], rule: GateRule, outcome: str, says: str
) -> None:
    """E6: fail closed, and pass where there is nothing to compare with."""
    (found,) = check({"warnings": [], **document}, {"latency_ratio": rule})
    assert found.outcome == outcome and says in found.reason
