"""The figures of docs/rollback.md, from the results: same results, same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from benchmarks.pages import Found
from benchmarks.rollback.results import OBEYED_MS, short
from greenlight.reporting import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DETECTION, PROPAGATION = "rollback-detection", "rollback-propagation"
SAYS = {
    DETECTION: "Dots on a logarithmic scale of seconds: for each candidate, every decision by the "
    "evidence with its median, and the decision of an alarm that watches for five minutes",
    PROPAGATION: "Dots on a scale of milliseconds: for each kind of rollout, when each replica "
    "obeyed, with the goal of one second",
}
"""Name of the file → what it shows, for those who do not see it."""

_EVIDENCE, _ALARM = style.GO, style.STOP
_KINDS = {
    "runs": "decided by the evidence",
    "alarms": "decided by alarms, or by a person",
    "takeovers": "decided after a takeover",
    "kills": "kill switch, the store being away",
}


def drawn(found: Found) -> dict[str, str]:
    """Every figure for which there are results, as SVG by the name of its file."""
    draw: dict[str, Callable[[Found], Figure]] = {
        DETECTION: _detection,
        PROPAGATION: _propagation,
    }
    images = {}
    for name in draw:
        if can_be_drawn(name, found):
            with style.styled(name):
                figure = draw[name](found)
            images[name] = style.svg(figure, name) + "\n"
    return images


def can_be_drawn(name: str, found: Found) -> bool:
    """Whether a figure has what it is made of."""
    return bool(found["faults"] if name == DETECTION else _obeyed(found))


def _detection(found: Found) -> Figure:
    faults = list(found["faults"].values())
    figure, axes = rows([fault["title"] for fault in faults], 0.62)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.12g}")
    longest = 1.0
    for place, fault in enumerate(faults):
        seen, alarm = fault["detection_s"], fault["alarm"]
        if seen is not None:
            values = seen["all"]
            axes.plot(values, [place] * len(values), "o", color=_EVIDENCE, ms=5, alpha=0.5, mew=0)
            axes.plot([seen["median"]], [place], "o", color=_EVIDENCE, ms=9)
            above(axes, seen["median"], place, f"{short(seen['median'])} s", _EVIDENCE)
            longest = max(longest, *values)
        if alarm is not None:
            longest = max(longest, _alarm(axes, place, alarm))
    axes.set_xlim(1, longest * 2)
    axes.set_xlabel("seconds from the first user who met it to the decision")
    for mark, colour, label in (
        ("o", _EVIDENCE, "evidence: every run, and the median"),
        ("D", _ALARM, "alarms alone"),
    ):
        axes.plot([], [], mark, color=colour, ms=7, label=label)
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, fontsize=9,
        handletextpad=0.2,
    )  # fmt: skip
    style.title(figure, "How soon a candidate that does harm is rolled back, at a canary of 10%")
    return figure


def _alarm(axes: Axes, place: int, alarm: Found) -> float:
    """The decision of an alarm, or how long it saw nothing; returns where its mark lies."""
    if alarm["decided"]:
        at = float(alarm["detection_s"])
        axes.plot([at], [place], "D", color=_ALARM, ms=7)
        above(axes, at, place, f"{short(at)} s", _ALARM)
        return at
    at = (alarm["decided_at"] - alarm["first_exposure_at"]) / 1e6
    axes.plot([at], [place], ">", color=_ALARM, mfc=style.PAPER, ms=8)
    above(axes, at, place, f"nothing in {short(round(at))} s", _ALARM)
    return float(at)


def _propagation(found: Found) -> Figure:
    spans = _obeyed(found)
    figure, axes = rows([_KINDS[kind] for kind in spans], 0.5)
    most = OBEYED_MS
    for place, values in enumerate(spans.values()):
        colour = _EVIDENCE if max(values) <= OBEYED_MS else _ALARM
        axes.plot(values, [place] * len(values), "|", color=colour, ms=11, alpha=0.6, mew=1.4)
        above(axes, max(values), place, f"{max(values):,.0f} ms at the most", colour)
        most = max(most, *values)
    axes.axvline(OBEYED_MS, color=style.INK, lw=1.0, ls=(0, (5, 3)), zorder=1)
    axes.annotate(
        "goal", (OBEYED_MS, 1.0), xycoords=axes.get_xaxis_transform(), xytext=(0, 3),
        textcoords="offset points", fontsize=8.5, ha="center",
    )  # fmt: skip
    axes.set_xlim(0, most * 1.08)
    axes.set_xlabel("ms from the decision (from the word of the kill switch) to each replica")
    style.title(figure, "How soon every replica obeys")
    return figure


def _obeyed(found: Found) -> dict[str, list[float]]:
    """Kind of rollout → milliseconds of every replica; only kinds that there were."""
    spans = {
        kind: [ms for row in found[kind] for ms in row["propagation_ms"].values()]
        for kind in ("runs", "alarms", "takeovers")
    }
    spans["kills"] = [ms for row in found["kills"] for ms in row["obeyed_ms"]]
    return {kind: values for kind, values in spans.items() if values}


def rows(names: Sequence[str], each: float) -> tuple[Figure, Axes]:
    """A row per name, the first one on top; inches are kept around them."""
    bottom, top, left = 0.55, 0.75, 2.5
    height = bottom + each * len(names) + top
    figure = style.canvas(height)
    axes = figure.add_axes(
        (
            left / style.WIDTH,
            bottom / height,
            1 - (left + 0.2) / style.WIDTH,
            each * len(names) / height,
        )
    )
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.6)
    axes.grid(True, axis="x")
    return figure, axes


def above(axes: Axes, at: float, place: int, text: str, colour: str) -> None:
    """Words over a point of a row."""
    axes.annotate(
        text, (at, place), xytext=(0, 8), textcoords="offset points", fontsize=8.5, ha="center",
        color=colour,
    )  # fmt: skip
