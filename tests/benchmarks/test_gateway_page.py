"""Results of the gateway benchmark: medians, goals, and the page that is made of them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from benchmarks.gateway import figures, page
from benchmarks.gateway.rounds import medians, results

CAME = {
    "command": "python -m benchmarks.gateway",
    "cores": 2,
    "cpu": "x",
    "commit": "0" * 40,
    "at": "2026-01-01T00:00",
}


def run(cpu_us: float, *, rate: float = 0.0, ms: float = 1.0, errors: int = 0) -> dict[str, Any]:
    """What one measurement of a server looks like."""
    times = {"p50": ms, "p95": 2 * ms, "p99": 3 * ms, "max": 9 * ms}
    return {
        "cpu_us": cpu_us,
        "per_second": rate or 1e6 / cpu_us,
        "loaded_mb": 70.0,
        "requests": 100,
        "errors": errors,
        "latency": times,
        "first_byte": times,
        "told": times,
        **({"rate": rate, "straight": times, "overhead": times} if rate else {}),
        **({"failures": {"status 500": errors}} if errors else {}),
    }


def server(cpu_us: float, ms: float = 0.2, pace: float = 50.0) -> dict[str, Any]:
    """What one round of a server looks like."""
    return {
        **{count: run(cpu_us, ms=ms) for count in ("1", "16", "64")},
        "paced": run(cpu_us, rate=pace, ms=ms),
        "stream": run(2 * cpu_us, ms=50.0),
    }


def found(made: list[dict[str, Any]], absent: dict[str, str] | None = None) -> dict[str, Any]:
    """Results as they are saved and read again."""
    about = {name: {"version": "1.0", "start_s": 1.5, "idle_mb": 60.0} for name in made[0]}
    setting = {"rounds": len(made), "seconds": 4.0}
    numbers = results(about, absent or {}, made, setting)
    saved: dict[str, Any] = {"provenance": CAME, **msgspec.to_builtins(numbers)}
    return dict(json.loads(json.dumps(saved)))


def everybody(noise: float) -> dict[str, Any]:
    """A round on a machine that is that much slower than it could be."""
    cost = {"floor": 200, "greenlight": 240, "tensorzero": 220, "litellm": 8000, "mlflow": 11000}
    made = {name: server(us * noise) for name, us in cost.items()}
    return {**made, "predict": server(100, pace=120.0), "classify": server(3000, 4.0, 120.0)}


def text(numbers: dict[str, Any] | None) -> str:
    """What stands between the markers."""
    begin, end = f"{page.PAGE.begin}\n", page.PAGE.end
    return page.PAGE.written(begin + end, numbers).removeprefix(begin).removesuffix(end)


def test_a_ratio_is_made_within_its_round() -> None:
    """A slow round slows both sides down; medians of either side could come from different ones."""
    one, other = everybody(1), everybody(3)
    other["floor"] = server(3 * 160)
    goals = {goal["name"]: goal for goal in found([one, everybody(2), other])["goals"]}
    floor = goals["CPU per request, times the floor's"]
    assert (floor["value"], floor["met"]) == (1.2, True)
    litellm = goals["CPU per request of LiteLLM, times ours"]
    assert (litellm["value"], litellm["met"], litellm["least"]) == (33.333, True, True)
    assert goals["CPU per request of MLflow, times ours"]["met"] is False
    assert goals["overhead at 50 requests/s, p99"]["value"] == 0.6
    assert goals["classify in process at 120 requests/s on one core, p99"]["met"] is True
    tensorzero = goals["CPU per request of TensorZero, times ours"]
    assert (tensorzero["met"], tensorzero["information"]) == (False, True)


def test_medians_and_sums() -> None:
    slow = [run(cost, errors=errors) for cost, errors in ((10, 0), (30, 2), (20, 1))]
    made = medians(slow)
    assert (made["cpu_us"], made["requests"], made["errors"]) == (20, 300, 3)
    assert made["latency"]["p99"] == 3.0
    assert "failures" not in made
    assert medians([]) == {}


def test_the_page_shows_what_was_measured_and_what_was_missed() -> None:
    """Same results, same bytes; nothing that was missed or is absent is left out."""
    numbers = found([everybody(1)], {"other": "`pip` failed"})
    empty = f"before\n{page.PAGE.begin}\nold\n{page.PAGE.end}\nafter"
    shown = page.PAGE.written(empty, numbers)
    assert shown.startswith("before") and shown.endswith("after") and "old" not in shown
    assert shown == page.PAGE.written(shown, numbers)
    assert "| CPU per request of MLflow, times ours | ≥ 50 × | 45.8 × | **no** |" in shown
    assert "3 of 5 goals" not in shown and "4 of 5 goals are met; 0 of all" in shown
    assert "| **Greenlight**, recording | 1.0 | 240 | 240 | 240 | 1.20 × | 4,167 |" in shown
    assert "- other: `’pip’ failed`" in shown
    for title in page.TITLES.values():
        assert title in shown


def test_a_part_of_the_servers_makes_a_page_too() -> None:
    made = {"floor": server(200), "predict": server(100, pace=120.0)}
    shown = text(found([made], {"greenlight": "answered 404"}))
    assert "- **Greenlight**, recording: `answered 404`" in shown
    assert "could not be measured" in shown and "0 of 5 goals are met" in shown
    assert "MLflow, not" not in shown
    assert text(None) == ""


def test_every_figure_is_drawn_and_shown() -> None:
    """Same results, same bytes; a figure without results is neither drawn nor shown."""
    numbers = found([everybody(1), everybody(2)])
    drawn = figures.drawn(numbers)
    assert drawn.keys() == figures.SAYS.keys() and drawn == figures.drawn(numbers)
    shown = text(numbers)
    assert all(f"![{says}](images/{name}.svg)" in shown for name, says in figures.SAYS.items())
    some = found([{"tensorzero": server(220)}])
    assert figures.drawn(some).keys() == {figures.LATENCY, figures.PACED}
    shown = text(some)
    assert f"{figures.PACED}.svg" in shown and f"{figures.CPU}.svg" not in shown


def test_figures_tell_of_every_goal() -> None:
    numbers = found([everybody(1)])
    told = {
        (figure, name): figures.told(figure, name, goal)
        for figure in figures.SAYS
        for name in numbers["servers"]
        if (goal := figures.goal_of(figure, name, numbers))
    }
    assert len(told) == len(numbers["goals"])
    assert told == {
        (figures.CPU, "greenlight"): "goal ≤ 1.3 ×: met",
        (figures.CPU, "tensorzero"): "0.92 × Greenlight's, for information ≥ 1 ×: missed",
        (figures.CPU, "litellm"): "33.3 × Greenlight's, goal ≥ 30 ×: met",
        (figures.CPU, "mlflow"): "45.8 × Greenlight's, goal ≥ 50 ×: missed",
        (figures.PACED, "greenlight"): "goal p99 ≤ 1 ms: met",
        (figures.NATIVELY, "classify"): "goal p99 ≤ 25 ms: met",
    }
    assert figures.goal_of(figures.CPU, "greenlight", found([{"greenlight": server(240)}])) is None


def test_a_server_that_does_not_keep_up_has_no_latency_at_a_pace() -> None:
    slow = server(30_000)
    slow["paced"]["per_second"] = 40.0
    numbers = found([{"floor": server(200), "mlflow": slow}])
    shown = text(numbers)
    assert "| MLflow, not recording | 50 | does not keep up |  |  |  |" in shown
    assert figures.PACED in figures.drawn(numbers)


def test_the_summary_of_all_benchmarks_finds_its_rows() -> None:
    """benchmarks/README.md shows the gateway alone, by users."""
    runs = found([everybody(1)])["runs"]
    assert [row["users"] for row in runs] == [1, 16, 64]
    assert runs[0].keys() >= {"requests_per_second", "cpu_us_per_request", "overhead_ms"}


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        page.PAGE.written("no markers", None)
