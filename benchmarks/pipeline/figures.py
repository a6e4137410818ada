"""The figure of the pipeline in docs/performance.md, from the results: same results, same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.pages import Found, number
from benchmarks.pipeline.goals import both_ways, ends, saved, verb
from benchmarks.rollback.figures import above, rows
from greenlight.reporting import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEMORY = "pipeline-memory"
SAYS = {
    MEMORY: "Dots on a logarithmic scale of MiB: for each piece of work, the memory of the "
    "smallest and the largest size, streamed and as a whole list, with the goal and whether it is "
    "met"
}
"""Name of the file → what it shows, for those who do not see it."""

_WAYS = {"streamed": (style.GO, "streamed"), "whole": (style.MUTED, "whole list")}
_LEAST = 0.1
"""MiB: what is less cannot be told from nothing."""


def named(found: Found) -> list[str]:
    """The figures for which there are results."""
    return [MEMORY] if _lines(found) else []


def drawn(found: Found) -> dict[str, str]:
    """Every figure for which there are results, as SVG by the name of its file."""
    images = {}
    for name in named(found):
        with style.styled(name):
            figure = _memory(found)
        images[name] = style.svg(figure, name) + "\n"
    return images


def _lines(found: Found) -> dict[str, tuple[Found, Found]]:
    """Work that was done both ways → how, at the smallest and at the largest size."""
    lines = {}
    for part in ("stages", "exports"):
        if found.get(part):
            least, most = ends(found[part])
            for name, ways in both_ways(most):
                lines[verb(name)] = least["work"][name], ways
    return lines


def _memory(found: Found) -> Figure:
    lines = _lines(found)
    told = [f"{name}\n{saved(large['less_memory'])}" for name, (_, large) in lines.items()]
    figure, axes = rows(told, 0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.12g}")
    for place, (small, large) in enumerate(lines.values()):
        for way, (colour, _) in _WAYS.items():
            begin, end = (max(_LEAST, size[way]["above_idle_mib"]) for size in (small, large))
            axes.plot([begin, end], [place, place], "-", color=colour, lw=2, alpha=0.5)
            axes.plot([begin], [place], "o", color=colour, mfc=style.PAPER, ms=7, mew=1.6)
            axes.plot([end], [place], "o", color=colour, ms=9)
            above(axes, end, place, f"{number(end)} MiB", colour)
    left, right = axes.get_xlim()
    axes.set_xlim(left / 1.5, right * 1.5)
    least, most = (f"{size['rows']:,}" for size in ends(found.get("stages") or found["exports"]))
    axes.set_xlabel(f"MiB above an idle process; open: {least} rows, filled: {most} rows")
    for colour, label in _WAYS.values():
        axes.plot([], [], "o", color=colour, ms=7, label=label)
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, fontsize=9,
        handletextpad=0.2,
    )  # fmt: skip
    style.title(figure, "Memory of rows that stream, and of whole lists")
    return figure
