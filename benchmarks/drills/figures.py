"""The figure of DEMO.md, from the results: same results, same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.pages import Found
from greenlight.reporting import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COURSE = "drills-course"
SAYS = (
    "One line per drill on a logarithmic scale of seconds since the first user met the fault: when "
    "the alarm fell, if it was one, when it was decided, and when all traffic was back at control"
)


def drawn(found: Found) -> dict[str, str]:
    """The figure as SVG by the name of its file."""
    with style.styled(COURSE):
        figure = _course(found)
    return {COURSE: style.svg(figure, COURSE) + "\n"}


def title(drill: Found) -> str:
    """What people call a drill."""
    return f"{drill['fault']}, by {drill['trigger']}"


def _course(found: Found) -> Figure:
    from matplotlib.figure import Figure

    drills = [held["drill"] for held in found["drills"]]
    figure = Figure(figsize=(8.4, 1.0 + 0.5 * len(drills)), layout="constrained")
    axes = figure.add_subplot()
    for place, drill in enumerate(drills):
        end, decided = drill["whole_s"], drill["detection_s"]
        if end is None or decided is None:
            axes.text(1.1, place, "not rolled back in time", va="center", color=style.STOP)
            continue
        axes.plot([1, end], [place, place], color=style.MUTED, lw=1.5, zorder=1)
        if drill["alarm_to_decision_s"] is not None:
            alarm = max(decided - drill["alarm_to_decision_s"], 1.0)
            axes.plot([alarm], [place], "D", color=style.STOP, ms=8)
        axes.plot([decided], [place], "o", color=style.GO, ms=7)
        axes.plot([end], [place], "|", color=style.INK, ms=15, mew=2)
        axes.annotate(
            f"{end:.1f} s", (end, place), xytext=(8, 0), textcoords="offset points", va="center"
        )
    axes.set_xscale("log")
    axes.set_xlim(1, 1500)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.12g}")
    axes.set_yticks(range(len(drills)), [title(drill) for drill in drills])
    axes.set_ylim(len(drills) - 0.5, -0.5)
    axes.set_xlabel("seconds since the first user met the fault")
    for mark, colour, label in (
        ("D", style.STOP, "alarm"),
        ("o", style.GO, "decision"),
        ("|", style.INK, "all traffic at control"),
    ):
        axes.plot([], [], mark, ls="", color=colour, ms=8, mew=2, label=label)
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False, fontsize=9,
        handletextpad=0.2,
    )  # fmt: skip
    return figure
