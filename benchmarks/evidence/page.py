"""What docs/evidence.md shows of the results: tables between two markers, and figures.

    python -m benchmarks.evidence.page

Nothing there is typed: without results there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.evidence import figures
from benchmarks.evidence.null import TYPE_ONE
from benchmarks.harness import ROOT
from benchmarks.pages import Found, Page, image, made_by, table

GROUPS = {
    "sample size": "How many outcomes it takes",
    "errors": "How soon errors are seen",
    "latency": "How soon slow answers are seen",
    "null day": "A day of users who differ",
    "split": "Splits that are not kept",
    "choices": "What was chosen, beside what was not",
    "cost": "What an update costs",
}


def block(found: Found) -> list[str]:
    """What stands between the markers."""
    head = (
        f"{made_by(found)}: every figure, its standard error (±) and its "
        "counts are in [results/evidence.json](../benchmarks/results/evidence.json). "
        f"{found['goals']['met']} of {found['goals']['of']} goals are met.\n"
    )
    parts = [head, "### How often each method errs\n", _type_one(found)]
    for group, title in GROUPS.items():
        parts += [f"### {title}\n", *_figure(group), _measured(_of(found, group))]
    parts += ["### Traps\n", *_figure("traps"), _traps(found)]
    return parts


def _of(found: Found, group: str) -> list[dict[str, Any]]:
    return [row for row in found["rows"] if row["group"] == group]


def _figure(group: str) -> list[str]:
    if group not in figures.FIGURES:
        return []
    return [image(*figures.FIGURES[group])]


def _type_one(found: Found) -> str:
    rows = [row for row in _of(found, TYPE_ONE) if row["measure"] == "false alarms"]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    shares = {(row["scenario"], row["method"]): f"{row['value']:.1%}" for row in rows}
    scenarios = {row["scenario"]: row["runs"] for row in rows}
    cells = [
        (scenario, f"{runs:,}", *(shares.get((scenario, method), "") for method in methods))
        for scenario, runs in scenarios.items()
    ]
    text = "α is 5 %, at every look; nothing is wrong in any of these worlds.\n"
    others = [row for row in _of(found, TYPE_ONE) if row["measure"] != "false alarms"]
    return "\n".join(
        (
            text,
            *_figure(TYPE_ONE),
            table(("world", "runs", *methods), cells),
            "An effect that changes its sign is no null world; "
            "what is shown is that it was better at some time:\n",
            _measured(others),
        )
    )


def _measured(rows: Sequence[dict[str, Any]]) -> str:
    head = ("world", "method", "measure", "value", "goal", "met", "runs")
    return table(
        head,
        [
            (
                row["scenario"],
                row["method"],
                row["measure"],
                _value(row),
                _number(row["goal"], row["measure"]) if "goal" in row else "",
                {True: "yes", False: "**no**", None: ""}[row.get("met")],
                f"{row['runs']:,}" if row["runs"] else "by formula",
            )
            for row in rows
        ],
    )


SHARES = ("false alarms", "missed", "acts", "seen at all", "excess")
"""Beginnings and ends of measures that are shares."""


def _value(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return "not within the simulated time"
    value = _number(row["value"], row["measure"])
    return f"{value} ± {_number(row['se'], row['measure'])}" if row.get("se") else value


def _number(value: float, measure: str) -> str:
    if any(word in measure for word in SHARES):
        return f"{value:.2%}"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}"


def _traps(found: Found) -> str:
    rows = [
        (
            trap["name"],
            trap["tempting"],
            f"{trap['before']:.1%}",
            trap["rule"],
            f"{trap['after']:.1%}" + ("" if trap["kept"] else " **above α + 3 SE**"),
            f"{trap['alpha']:.1%}",
            f"{trap['runs']:,}",
        )
        for trap in found["traps"]
    ]
    text = "Worlds without harm (or without improvement), and how often that is got wrong.\n\n"
    return text + table(("trap", "tempting", "wrong", "rule", "wrong then", "α", "runs"), rows)


PAGE = Page(path=ROOT / "docs" / "evidence.md", name="evidence", block=block, drawn=figures.drawn)


if __name__ == "__main__":
    PAGE.write()
