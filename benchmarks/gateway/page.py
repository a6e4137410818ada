"""What docs/performance.md shows of the results: tables between two markers, and figures.

    python -m benchmarks.gateway.page

Nothing there is typed: without results there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.gateway import figures
from benchmarks.gateway.figures import NAMES, NATIVE, PROXIES, bound, keeps_up, measured
from benchmarks.gateway.goals import HEADLINE, ratio
from benchmarks.harness import ROOT
from benchmarks.pages import Found, Page, image, made_by, number, table

TITLES = {**NAMES, "greenlight": "**Greenlight**, recording", "classify": "`encoder-head`"}
"""In the order of the tables."""


def block(found: Found) -> list[str]:
    """What stands between the markers."""
    parts = [_head(found), "### Goals\n", goals_table(found["goals"])]
    if measured(found, PROXIES):
        parts += [
            "### CPU per request\n",
            *_figure(figures.CPU, found),
            _cpu(found),
            "### Latency when all that can be asked is asked\n",
            *_figure(figures.LATENCY, found),
            _latency(found, PROXIES),
            "### At a pace, and what the gateway adds\n",
            *_figure(figures.PACED, found),
            _paced(found),
            "### Streamed answers\n",
            _streams(found),
        ]
    if measured(found, NATIVE):
        parts += ["### Predictions\n", *_figure(figures.NATIVELY, found), _native(found)]
    parts += ["### Memory and start\n", _footprint(found)]
    if found["absent"]:
        parts += ["### Could not be measured\n", _absent(found["absent"])]
    return parts


def _figure(name: str, found: Found) -> list[str]:
    return [image(name, figures.SAYS[name])] if figures.can_be_drawn(name, found) else []


def _head(found: Found) -> str:
    setting = found["setting"]
    judged = [goal for goal in found["goals"] if not goal.get("information")]
    met = sum(goal["met"] is True for goal in judged)
    errors = sum(
        run["errors"]
        for server in found["servers"].values()
        for run in server.values()
        if isinstance(run, dict)
    )
    return (
        f"{made_by(found)}: medians of {setting['rounds']} rounds of "
        f"{setting['seconds']:g} s each; every round is in "
        "[results/gateway.json](../benchmarks/results/gateway.json). "
        f"{met} of {len(judged)} goals are met; {errors} of all requests went wrong.\n"
    )


def goals_table(goals: Sequence[Found]) -> str:
    """The goals, each with what was measured."""
    met = {True: "yes", False: "**no**", None: "could not be measured"}
    rows = [
        (
            goal["name"] + (" (for information)" if goal.get("information") else ""),
            bound(goal),
            "" if goal["value"] is None else f"{number(goal['value'])} {goal['unit']}",
            met[goal["met"]],
        )
        for goal in goals
    ]
    return table(("what", "goal", "measured", "met"), rows)


def _cpu(found: Found) -> str:
    rows = []
    for name, server in measured(found, PROXIES).items():
        times = ratio(found["rounds"], name, "floor")
        rows.append(
            (
                TITLES[name],
                server["version"],
                *(number(server[count]["cpu_us"]) for count in ("1", "16", "64")),
                "" if times is None else f"{number(times)} ×",
                number(server["64"]["per_second"]),
            )
        )
    head = ("server", "version", "µs at 1 connection", "16", "64")
    return table((*head, f"the floor's, at {HEADLINE}", "requests/s on one core, 64"), rows)


def _latency(found: Found, names: Sequence[str]) -> str:
    rows = [
        (
            TITLES[name],
            *(
                f"{number(server[count]['latency']['p50'])} / "
                f"{number(server[count]['latency']['p99'])}"
                if count in server
                else ""
                for count in ("1", "16", "64")
            ),
        )
        for name, server in measured(found, names).items()
    ]
    return table(("ms, p50 / p99", "1 connection", "16", "64"), rows)


def _paced(found: Found) -> str:
    rows: list[tuple[str, ...]] = []
    for name, server in measured(found, PROXIES).items():
        paced = server["paced"]
        if not keeps_up(paced):
            rows.append((TITLES[name], f"{paced['rate']:g}", "does not keep up", "", "", ""))
            continue
        rows.append(
            (
                TITLES[name],
                f"{paced['rate']:g}",
                *(number(paced["latency"][q]) for q in ("p50", "p99")),
                *(number(paced["overhead"][q]) for q in ("p50", "p99")),
            )
        )
    head = ("server", "requests/s", "p50 ms", "p99 ms", "added at p50", "added at p99")
    return table(head, rows)


def _streams(found: Found) -> str:
    rows = [
        (
            TITLES[name],
            number(server["stream"]["cpu_us"]),
            *(number(server["stream"]["first_byte"][q]) for q in ("p50", "p99")),
            number(server["stream"]["latency"]["p50"]),
        )
        for name, server in measured(found, PROXIES).items()
    ]
    head = ("server", "CPU µs per answer", "first byte p50 ms", "p99 ms", "last byte p50 ms")
    return table(head, rows)


def _native(found: Found) -> str:
    rows = []
    for name, server in measured(found, NATIVE).items():
        run, paced = server[HEADLINE], server["paced"]
        rows.append(
            (
                TITLES[name],
                number(run["cpu_us"]),
                number(run["per_second"]),
                f"{paced['rate']:g}",
                *(number(paced["latency"][q]) for q in ("p50", "p99")),
                number(paced["told"]["p99"]),
            )
        )
    head = ("model in the gateway", "CPU µs per request", "requests/s on one core", "at a pace of")
    return table((*head, "p50 ms", "p99 ms", "gateway's own p99 ms"), rows)


def _footprint(found: Found) -> str:
    rows = [
        (
            TITLES[name],
            number(server["start_s"]),
            number(server["idle_mb"]),
            number(max(run.get("loaded_mb", 0) for run in server.values() if _is_run(run))),
        )
        for name, server in measured(found, tuple(TITLES)).items()
    ]
    head = ("server", "s until the first answer", "MB when idle", "MB after load")
    return table(head, rows)


def _absent(absent: dict[str, str]) -> str:
    # A reason is what a program said, and may hold what Markdown would take for its own.
    lines = [
        f"- {TITLES.get(name, name)}: `{why.replace('`', '’')}`" for name, why in absent.items()
    ]
    return "\n".join((*lines, ""))


def _is_run(value: object) -> bool:
    return isinstance(value, dict)


PAGE = Page(path=ROOT / "docs" / "performance.md", name="gateway", block=block, drawn=figures.drawn)


if __name__ == "__main__":
    PAGE.write()
