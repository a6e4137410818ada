"""The benchmark of the evidence engine in its quick form: error rates within α + 3 SE, orders of
magnitude of everything else (EVIDENCE, "Targets"). Exact numbers are the full form's."""

from __future__ import annotations

import json
import math

import msgspec
import numpy as np
import pytest

from benchmarks.evidence import figures, page
from benchmarks.evidence.__main__ import results
from benchmarks.evidence.comparators import NAIVE, Differences
from benchmarks.evidence.counting import Row, quantile, share
from benchmarks.evidence.null import NULLS, TYPE_ONE
from benchmarks.evidence.pieces import PIECES, QUICK, measure
from benchmarks.evidence.recurring import Buckets
from benchmarks.evidence.small import COST
from benchmarks.evidence.streams import steady
from benchmarks.evidence.traps.trap import Trap
from greenlight.core.assignment import Interval
from greenlight.core.states import Variant
from greenlight.core.stats.sequential import Difference

SLACK = 1.5
"""How far a quantile of a few runs may lie above its goal."""
ROUGH = {"trap: refusals", "trap: difficult users", "trap: known units", "trap: zero and back"}
"""Traps that catch few of so few runs, or are not much worse than α."""


@pytest.mark.parametrize("name", QUICK)
def test_a_piece(name: str) -> None:
    found = measure(name, quick=True)
    assert found.rows or found.traps
    for row in found.rows:
        assert row.group == COST or row.met is not False or _near(row), row
    for trap in found.traps:
        assert trap.kept, trap
        assert trap.before >= trap.after, trap
        assert name in ROUGH or trap.before > 0.1, trap


def _near(row: Row) -> bool:
    """A quantile that so few runs cannot tell from its goal; an error rate has no such excuse."""
    assert row.goal is not None
    quantiles = ("median", "q80", "q90")
    judged = row.value is not None and row.measure.startswith(quantiles)
    return judged and row.value is not None and row.value <= SLACK * row.goal


def test_the_comparators_err_where_the_tests_do_not() -> None:
    """EVIDENCE, "Why not a p-value on a dashboard": peeking at a z test."""
    rows = measure("null: 80% GOOD, split 50%", quick=True).rows
    assert next(row.value for row in rows if row.method == NAIVE) > 0.25  # type: ignore[operator]


def test_every_null_world_is_measured() -> None:
    assert {f"null: {name}" for name in NULLS} <= set(QUICK)


def test_a_piece_without_a_quick_form_says_so() -> None:
    slow = next(name for name in PIECES if name not in QUICK)
    with pytest.raises(ValueError, match="no quick form"):
        measure(slow, quick=True)


def test_results_render_as_a_page_and_figures() -> None:
    """Same results, same bytes; every figure that the page shows is drawn."""
    names = ("null: 80% GOOD, split 50%", "curve: 0.12", "errors: at the start", "trap: outage")
    numbers = results([measure(name, quick=True) for name in names])
    came = {"command": "c", "cores": 2, "cpu": "x", "commit": "0" * 40, "at": "2026-01-01T00:00"}
    found = json.loads(json.dumps({"provenance": came, **numbers}))
    shown = page.PAGE.written(f"before\n{page.PAGE.begin}\nold\n{page.PAGE.end}\nafter", found)
    assert shown.startswith("before") and shown.endswith("after") and "old" not in shown
    drawn = figures.drawn(found)
    assert drawn == figures.drawn(found)
    assert all(f"images/{name}.svg" in shown for name in drawn)
    assert [row["group"] for row in numbers["rows"]].count(TYPE_ONE) == 7


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        page.PAGE.written("no markers", None)


def test_buckets_follow_the_interval_rule() -> None:
    """Arrays and `core.assignment.Interval` agree, whatever the weights do."""
    rng = np.random.default_rng(1)
    places = rng.random((50, 1))
    buckets, known = Buckets(places), [Interval() for _ in places]
    for weight in (0.1, 0.0, 0.4, 0.2, 1.0, 0.5):
        candidate, pi = buckets.expose(np.zeros(50, int), weight)
        for i, past in enumerate(known):
            arm = Variant.CANDIDATE if places[i, 0] < weight else Variant.CONTROL
            assert candidate[i] == (arm is Variant.CANDIDATE)
            assert pi[i] == pytest.approx(past.probability(weight))
            known[i] = past.after(weight, arm)


def test_the_asymptotic_sequence_is_the_one_that_is_displayed() -> None:
    many, ones = Differences(3), [Difference() for _ in range(3)]
    for step in steady(0.7, 0.3)(np.random.default_rng(2), 3, 600, 0.1):
        many.take(step)
        for i, one in enumerate(ones):
            one.update(bool(step.candidate[i]), float(step.outcome[i]), float(step.pi[i]))
    for i, one in enumerate(ones):
        interval = one.interval(0.05)
        assert interval is not None
        half = many.half_width(0.05)[i]
        assert (many.mean[i] - half, many.mean[i] + half) == pytest.approx(interval)
        assert many.differs(0.05)[i] == (interval[0] > 0 or interval[1] < 0)


def test_rows() -> None:
    """A share is judged at α + 3 SE; a quantile that was not reached has no value and misses."""
    happened = np.array([True] * 5 + [False] * 95)
    row = share("g", "s", "m", happened, alpha=0.05)
    assert (row.value, row.goal, row.met) == (0.05, pytest.approx(0.05 + 3 * 0.0217945, 1e-4), True)
    times = np.array([1.0, 2.0, 3.0, math.inf, math.inf])
    median = quantile("g", "s", "m", times, 0.5, goal=3.0, measure="s")
    assert (median.value, median.met, median.measure) == (3.0, True, "median s")
    late = quantile("g", "s", "m", times, 0.9, goal=9.0)
    assert (late.value, late.met) == (None, False)
    assert msgspec.convert(msgspec.to_builtins(row), Row) == row
    assert Trap.__struct_fields__[:3] == ("name", "tempting", "rule")
