"""What docs/performance.md shows of the results: tables between two markers.

    python -m benchmarks.gateway.page

Nothing there is typed: without results there is nothing to show.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.gateway.goals import HEADLINE, ratio
from benchmarks.harness import RESULTS, ROOT

PAGE = ROOT / "docs" / "performance.md"
FILE = RESULTS / "gateway.json"
BEGIN, END = "<!-- gateway:begin -->", "<!-- gateway:end -->"

TITLES = {
    "floor": "floor, a bare proxy",
    "greenlight": "**Greenlight**, recording",
    "tensorzero": "TensorZero, not recording",
    "litellm": "LiteLLM, not recording",
    "mlflow": "MLflow, not recording",
    "predict": "a model that costs nothing",
    "classify": "`encoder-head`",
}
"""In the order of the tables."""
PROXIES = ("floor", "greenlight", "tensorzero", "litellm", "mlflow")
NATIVE = ("predict", "classify")
KEEPS_UP = 0.97
"""Share of a pace that a server must reach; below it, latency is only the length of the queue."""

Found = dict[str, Any]


def results() -> Found | None:
    """The results as they were saved; None: there are none yet."""
    if not FILE.exists():
        return None
    found: Found = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def block(found: Found | None) -> str:
    """What stands between the markers; nothing without results."""
    if found is None:
        return ""
    parts = [_head(found), "### Goals\n", _goals(found["goals"])]
    if _of(found, PROXIES):
        parts += [
            "### CPU per request\n",
            _cpu(found),
            "### Latency when all that can be asked is asked\n",
            _latency(found, PROXIES),
            "### At a pace, and what the gateway adds\n",
            _paced(found),
            "### Streamed answers\n",
            _streams(found),
        ]
    if _of(found, NATIVE):
        parts += ["### Predictions\n", _native(found)]
    parts += ["### Memory and start\n", _footprint(found)]
    if found["absent"]:
        parts += ["### Could not be measured\n", _absent(found["absent"])]
    return "\n".join(("", *parts, ""))


def written(page: str, found: Found | None) -> str:
    """The page with the block as the results have it.

    Raises:
        ValueError: a marker is missing.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} needs the markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{block(found)}{END}{after}"


def _head(found: Found) -> str:
    came, setting = found["provenance"], found["setting"]
    judged = [goal for goal in found["goals"] if not goal.get("information")]
    met = sum(goal["met"] is True for goal in judged)
    errors = sum(
        run["errors"]
        for server in found["servers"].values()
        for run in server.values()
        if isinstance(run, dict)
    )
    return (
        f"`{came['command']}` on {came['cores']} cores ({came['cpu']}), commit "
        f"`{came['commit'][:12]}`, {came['at'][:10]}: medians of {setting['rounds']} rounds of "
        f"{setting['seconds']:g} s each; every round is in "
        "[results/gateway.json](../benchmarks/results/gateway.json). "
        f"{met} of {len(judged)} goals are met; {errors} of all requests went wrong.\n"
    )


def _goals(goals: Sequence[Found]) -> str:
    met = {True: "yes", False: "**no**", None: "could not be measured"}
    rows = [
        (
            goal["name"] + (" (for information)" if goal.get("information") else ""),
            f"{'≥' if goal.get('least') else '≤'} {goal['bound']:g} {goal['unit']}",
            "" if goal["value"] is None else f"{_number(goal['value'])} {goal['unit']}",
            met[goal["met"]],
        )
        for goal in goals
    ]
    return _table(("what", "goal", "measured", "met"), rows)


def _cpu(found: Found) -> str:
    rows = []
    for name, server in _of(found, PROXIES).items():
        times = ratio(found["rounds"], name, "floor")
        rows.append(
            (
                TITLES[name],
                server["version"],
                *(_number(server[count]["cpu_us"]) for count in ("1", "16", "64")),
                "" if times is None else f"{_number(times)} ×",
                _number(server["64"]["per_second"]),
            )
        )
    head = ("server", "version", "µs at 1 connection", "16", "64")
    return _table((*head, f"the floor's, at {HEADLINE}", "requests/s on one core, 64"), rows)


def _latency(found: Found, names: Sequence[str]) -> str:
    rows = [
        (
            TITLES[name],
            *(
                f"{_number(server[count]['latency']['p50'])} / "
                f"{_number(server[count]['latency']['p99'])}"
                if count in server
                else ""
                for count in ("1", "16", "64")
            ),
        )
        for name, server in _of(found, names).items()
    ]
    return _table(("ms, p50 / p99", "1 connection", "16", "64"), rows)


def _paced(found: Found) -> str:
    rows: list[tuple[str, ...]] = []
    for name, server in _of(found, PROXIES).items():
        paced = server["paced"]
        if paced["per_second"] < KEEPS_UP * paced["rate"]:
            rows.append((TITLES[name], f"{paced['rate']:g}", "does not keep up", "", "", ""))
            continue
        rows.append(
            (
                TITLES[name],
                f"{paced['rate']:g}",
                *(_number(paced["latency"][q]) for q in ("p50", "p99")),
                *(_number(paced["overhead"][q]) for q in ("p50", "p99")),
            )
        )
    head = ("server", "requests/s", "p50 ms", "p99 ms", "added at p50", "added at p99")
    return _table(head, rows)


def _streams(found: Found) -> str:
    rows = [
        (
            TITLES[name],
            _number(server["stream"]["cpu_us"]),
            *(_number(server["stream"]["first_byte"][q]) for q in ("p50", "p99")),
            _number(server["stream"]["latency"]["p50"]),
        )
        for name, server in _of(found, PROXIES).items()
    ]
    head = ("server", "CPU µs per answer", "first byte p50 ms", "p99 ms", "last byte p50 ms")
    return _table(head, rows)


def _native(found: Found) -> str:
    rows = []
    for name, server in _of(found, NATIVE).items():
        run, paced = server[HEADLINE], server["paced"]
        rows.append(
            (
                TITLES[name],
                _number(run["cpu_us"]),
                _number(run["per_second"]),
                f"{paced['rate']:g}",
                *(_number(paced["latency"][q]) for q in ("p50", "p99")),
                _number(paced["told"]["p99"]),
            )
        )
    head = ("model in the gateway", "CPU µs per request", "requests/s on one core", "at a pace of")
    return _table((*head, "p50 ms", "p99 ms", "gateway's own p99 ms"), rows)


def _footprint(found: Found) -> str:
    rows = [
        (
            TITLES[name],
            _number(server["start_s"]),
            _number(server["idle_mb"]),
            _number(max(run.get("loaded_mb", 0) for run in server.values() if _is_run(run))),
        )
        for name, server in _of(found, tuple(TITLES)).items()
    ]
    head = ("server", "s until the first answer", "MB when idle", "MB after load")
    return _table(head, rows)


def _absent(absent: dict[str, str]) -> str:
    # A reason is what a program said, and may hold what Markdown would take for its own.
    lines = [
        f"- {TITLES.get(name, name)}: `{why.replace('`', '’')}`" for name, why in absent.items()
    ]
    return "\n".join((*lines, ""))


def _of(found: Found, names: Sequence[str]) -> Found:
    """Of these servers those that were measured, in the order of the tables."""
    return {name: found["servers"][name] for name in names if name in found["servers"]}


def _is_run(value: object) -> bool:
    return isinstance(value, dict)


def _number(value: float) -> str:
    """Three digits that count, and thousands in full."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def main() -> None:
    """Write the block."""
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), results()), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
