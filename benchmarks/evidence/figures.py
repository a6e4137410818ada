"""The figures of docs/evidence.md, from the results: same results, same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.evidence.comparators import ASYMPTOTIC, NAIVE, SPACED
from benchmarks.evidence.null import BETTER, HARM, NO_WORSE, TYPE_ONE, WORSE
from greenlight.reporting import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Results = dict[str, Any]
Rows = Sequence[dict[str, Any]]

FIGURES = {
    TYPE_ONE: ("evidence-type-one", "How often each method errs where nothing is wrong"),
    "sample size": ("evidence-sizes", "How many outcomes an improvement takes to be shown"),
    "errors": ("evidence-errors", "How soon a jump of the error rate is acted on"),
    "traps": ("evidence-traps", "How often one is wrong before and after each rule"),
}
"""Group of results → name of the file, and what it shows."""

_METHODS = {
    NAIVE: ("#991b1b", "o"),
    SPACED: ("#d97706", "o"),
    ASYMPTOTIC: ("#7c3aed", "D"),
    HARM: ("#047857", "s"),
    BETTER: ("#2563eb", "s"),
    NO_WORSE: ("#0e7490", "^"),
    WORSE: ("#475569", "v"),
}
_BEFORE, _AFTER = style.STOP, style.GO


def drawn(found: Results) -> dict[str, str]:
    """Every figure as SVG, by the name of its file; none without results."""
    if not found:
        return {}
    draw: dict[str, Callable[[Results], Figure]] = {
        TYPE_ONE: _type_one,
        "sample size": _sizes,
        "errors": _errors,
        "traps": _traps,
    }
    images = {}
    for group, (name, _) in FIGURES.items():
        with style.styled(name):
            figure = draw[group](found)
        images[name] = style.svg(figure, name) + "\n"
    return images


def _rows(found: Results, group: str) -> Rows:
    return [row for row in found["rows"] if row["group"] == group]


def _lines(axes: Axes, names: Sequence[str]) -> None:
    """One line per name, the first one on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(True, axis="x")


def _type_one(found: Results) -> Figure:
    rows = [row for row in _rows(found, TYPE_ONE) if row["measure"] == "false alarms"]
    names = list(dict.fromkeys(row["scenario"] for row in rows))
    figure = style.canvas(0.9 + 0.32 * len(names))
    axes = figure.add_axes((0.32, 0.16, 0.66, 0.72))
    _lines(axes, names)
    for method, (colour, marker) in _METHODS.items():
        own = [row for row in rows if row["method"] == method]
        axes.plot(
            [row["value"] for row in own],
            [names.index(row["scenario"]) for row in own],
            marker,
            color=colour,
            ms=5.5,
            alpha=0.85,
            label=method,
        )
    axes.axvline(0.05, color=style.INK, lw=1.0, ls=(0, (4, 3)))
    axes.annotate(
        "α", (0.05, 1.0), xycoords=axes.get_xaxis_transform(), xytext=(-3, 3),
        textcoords="offset points", fontsize=9,
    )  # fmt: skip
    axes.set_xlim(-0.01, 1.01)
    style.ticks(axes.xaxis, 10)
    axes.set_xlabel("runs with a false alarm")
    axes.legend(loc="upper center", bbox_to_anchor=(0.3, -0.13), ncols=4, frameon=False, fontsize=8)
    style.title(figure, FIGURES[TYPE_ONE][1])
    return figure


def _sizes(found: Results) -> Figure:
    rows = _rows(found, "curve")
    figure = style.canvas(3.9)
    axes = figure.add_axes((0.09, 0.14, 0.6, 0.74))
    axes.set_xscale("log")
    axes.set_yscale("log")
    ends = []
    for method, begins, colour, label in (
        ("core test", "median", style.VERSIONS[0], "core test, half of the runs"),
        ("core test", "q80", style.VERSIONS[1], "core test, 80% of the runs"),
        ("core test", "q90", style.VERSIONS[3], "core test, 90% of the runs"),
        ("z test, one look at the end", "outcomes", style.MUTED, "z test, one look, power 80%"),
    ):
        own = [
            (_points(row["scenario"]), row["value"])
            for row in rows
            if row["method"] == method
            and row["measure"].startswith(begins)
            and row["value"] is not None
        ]
        if not own:
            continue
        own.sort()
        axes.plot(*zip(*own, strict=True), "o-", color=colour, ms=4.5, lw=1.8, label=label)
        ends.append(own)
    points = sorted({point for own in ends for point, _ in own})
    axes.set_xticks(points, [f"{point:g}" for point in points])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("points above a GOOD rate of 80% (split 50%)")
    axes.set_ylabel("outcomes per arm")
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize=9)
    style.title(figure, FIGURES["sample size"][1])
    return figure


def _points(scenario: str) -> float:
    """The effect that a scenario like `80% + 5 points, split 50%` names."""
    return float(scenario.partition("+ ")[2].partition(" ")[0])


JUMP = "0.1 to 5% errors, split 10%, "


def _errors(found: Results) -> Figure:
    rows = [row for row in _rows(found, "errors") if row["scenario"].startswith(JUMP)]
    times: dict[str, dict[str, float]] = {}
    for row in rows:
        part = {"median seconds": "median", "q90 seconds": "q90"}.get(row["measure"])
        if part is None or row["value"] is None or "excess" in row["method"]:
            continue
        when = "" if row["method"].startswith("alarm") else row["scenario"].removeprefix(JUMP)
        times.setdefault(f"{row['method']} {when}".strip(), {})[part] = row["value"]
    figure = style.canvas(0.9 + 0.36 * len(times))
    axes = figure.add_axes((0.27, 0.17, 0.71, 0.69))
    _lines(axes, list(times))
    for place, (name, span) in enumerate(times.items()):
        colour = _BEFORE if name.startswith("alarm") else _AFTER
        if "q90" in span:
            axes.plot((span["median"], span["q90"]), (place, place), color=colour, lw=3, alpha=0.4)
        axes.plot([span["median"]], [place], "o", color=colour, ms=7)
        axes.annotate(
            f"{span['median']:.0f} s", (span["median"], place), xytext=(0, 6),
            textcoords="offset points", fontsize=8.5, ha="center", color=colour,
        )  # fmt: skip
    axes.set_xlim(left=0)
    axes.set_xlabel(
        "seconds from the fault to the rollback: half of the runs (dot), 90% (end of the bar)"
    )
    style.title(figure, f"{FIGURES['errors'][1]}: 0.1 to 5% at a canary of 10%, 50 requests/s")
    return figure


def _traps(found: Results) -> Figure:
    traps = found["traps"]
    figure = style.canvas(0.9 + 0.34 * len(traps))
    axes = figure.add_axes((0.45, 0.1, 0.53, 0.8))
    _lines(axes, [trap["name"] for trap in traps])
    for place, trap in enumerate(traps):
        axes.plot((trap["before"], trap["after"]), (place, place), color=style.FAINT, lw=2.5)
    for part, colour, label in (
        ("before", _BEFORE, "the tempting way"),
        ("after", _AFTER, "by the rule"),
    ):
        axes.plot(
            [trap[part] for trap in traps], range(len(traps)), "o", color=colour, ms=7, label=label
        )
    axes.set_xlim(-0.02, 1.02)
    style.ticks(axes.xaxis, 10)
    axes.set_xlabel("runs in which one is wrong")
    axes.legend(loc="upper right", bbox_to_anchor=(1.0, 1.09), ncols=2, frameon=False, fontsize=9)
    style.title(figure, FIGURES["traps"][1])
    return figure
