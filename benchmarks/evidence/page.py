"""What docs/evidence.md shows of the results: tables between two markers, and figures.

    python -m benchmarks.evidence.page

Nothing there is typed: without results there is nothing to show.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.evidence import figures
from benchmarks.evidence.null import TYPE_ONE
from benchmarks.harness import RESULTS, ROOT

PAGE = ROOT / "docs" / "evidence.md"
IMAGES = ROOT / "docs" / "images"
FILE = RESULTS / "evidence.json"
BEGIN, END = "<!-- evidence:begin -->", "<!-- evidence:end -->"

GROUPS = {
    "sample size": "How many outcomes it takes",
    "errors": "How soon errors are seen",
    "latency": "How soon slow answers are seen",
    "null day": "A day of users who differ",
    "split": "Splits that are not kept",
    "choices": "What was chosen, beside what was not",
    "cost": "What an update costs",
}


def results() -> dict[str, Any] | None:
    """The results as they were saved; None: there are none yet."""
    if not FILE.exists():
        return None
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def block(found: dict[str, Any] | None) -> str:
    """What stands between the markers; nothing without results."""
    if found is None:
        return ""
    came = found["provenance"]
    head = (
        f"`{came['command']}` on {came['cores']} cores ({came['cpu']}), commit "
        f"`{came['commit'][:12]}`, {came['at'][:10]}: every figure, its standard error (±) and its "
        "counts are in [results/evidence.json](../benchmarks/results/evidence.json). "
        f"{found['goals']['met']} of {found['goals']['of']} goals are met.\n"
    )
    parts = [head, "### How often each method errs\n", _type_one(found)]
    for group, title in GROUPS.items():
        parts += [f"### {title}\n", *_figure(group), _measured(_of(found, group))]
    parts += ["### Traps\n", *_figure("traps"), _traps(found)]
    return "\n".join(("", *parts, ""))


def written(page: str, found: dict[str, Any] | None) -> str:
    """The page with the block as the results have it.

    Raises:
        ValueError: a marker is missing.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} needs the markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{block(found)}{END}{after}"


def _of(found: dict[str, Any], group: str) -> list[dict[str, Any]]:
    return [row for row in found["rows"] if row["group"] == group]


def _figure(group: str) -> list[str]:
    if group not in figures.FIGURES:
        return []
    name, says = figures.FIGURES[group]
    return [f"![{says}](images/{name}.svg)\n"]


def _type_one(found: dict[str, Any]) -> str:
    rows = [row for row in _of(found, TYPE_ONE) if row["measure"] == "false alarms"]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    shares = {(row["scenario"], row["method"]): f"{row['value']:.1%}" for row in rows}
    scenarios = {row["scenario"]: row["runs"] for row in rows}
    table = [
        (scenario, f"{runs:,}", *(shares.get((scenario, method), "") for method in methods))
        for scenario, runs in scenarios.items()
    ]
    text = "α is 5 %, at every look; nothing is wrong in any of these worlds.\n"
    others = [row for row in _of(found, TYPE_ONE) if row["measure"] != "false alarms"]
    return "\n".join(
        (
            text,
            *_figure(TYPE_ONE),
            _table(("world", "runs", *methods), table),
            "An effect that changes its sign is no null world; "
            "what is shown is that it was better at some time:\n",
            _measured(others),
        )
    )


def _measured(rows: Sequence[dict[str, Any]]) -> str:
    head = ("world", "method", "measure", "value", "goal", "met", "runs")
    return _table(
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


def _traps(found: dict[str, Any]) -> str:
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
    return text + _table(("trap", "tempting", "wrong", "rule", "wrong then", "α", "runs"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def main() -> None:
    """Write the block and the figures."""
    found = results()
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    for name, image in figures.drawn(found or {}).items():
        path = IMAGES / f"{name}.svg"
        path.write_text(image, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
