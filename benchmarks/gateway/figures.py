"""The figures of docs/performance.md, from the results: same results, same bytes.

A server is a row and keeps its place and colour; milliseconds and ratios are on logarithmic axes,
for between the least and the most there are orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from benchmarks.gateway.goals import HEADLINE, ratio
from benchmarks.pages import Found, number
from greenlight.reporting import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {
    "floor": "floor, a bare proxy",
    "greenlight": "Greenlight, recording",
    "tensorzero": "TensorZero, not recording",
    "litellm": "LiteLLM, not recording",
    "mlflow": "MLflow, not recording",
    "predict": "a model that costs nothing",
    "classify": "encoder-head",
}
PROXIES = ("floor", "greenlight", "tensorzero", "litellm", "mlflow")
NATIVE = ("predict", "classify")
KEEPS_UP = 0.97
"""Share of a pace that a server must reach; below it, latency is only the length of the queue."""

CPU, LATENCY, PACED, NATIVELY = (
    f"gateway-{name}" for name in ("cpu", "latency", "paced", "predictions")
)
SAYS = {
    CPU: "Dots on a logarithmic scale: CPU per request of each server, times the floor's, in every "
    "round and the median, with the goals and whether they are met",
    LATENCY: "Bars from p50 to p99 on a logarithmic scale: latency of each server at 1, 16 and 64 "
    "connections that ask as soon as they are answered",
    PACED: "Bars from p50 to p99 on a logarithmic scale: what each server adds to the provider's "
    "latency at a steady pace, in every round, with the goal and whether it is met",
    NATIVELY: "Bars from p50 to p99 on a logarithmic scale: latency of predictions at a steady "
    "pace, in every round, with the goal and whether it is met",
}
"""Name of the file → what it shows, for those who do not see it."""

_OF_OURS = "{value} × Greenlight's, {word} {bound}"
_GOALS = {
    (CPU, "greenlight"): ("CPU per request, times the floor's", "{word} {bound}"),
    (CPU, "tensorzero"): ("CPU per request of TensorZero, times ours", _OF_OURS),
    (CPU, "litellm"): ("CPU per request of LiteLLM, times ours", _OF_OURS),
    (CPU, "mlflow"): ("CPU per request of MLflow, times ours", _OF_OURS),
    (PACED, "greenlight"): ("overhead at 50 requests/s, p99", "{word} p99 {bound}"),
    (NATIVELY, "classify"): (
        "classify in process at 120 requests/s on one core, p99",
        "{word} p99 {bound}",
    ),
}
"""Figure and server → the name of a goal, and how the figure tells of it."""

_OURS, _OTHERS = style.VERSIONS[0], "#b45309"
_COLOURS = {"floor": style.MUTED, "tensorzero": _OTHERS, "litellm": _OTHERS, "mlflow": _OTHERS}
_MARKS = {"p50": "o", "p95": "|", "p99": "D"}
_DASHES = (0, (4, 3))
_LEAST_MS = 0.1
"""What is less, or by noise less than nothing, is drawn here."""


def drawn(found: Found) -> dict[str, str]:
    """Every figure for which there are results, as SVG by the name of its file."""
    draw: dict[str, Callable[[Found], Figure]] = {
        CPU: _cpu,
        LATENCY: _latency,
        PACED: _paced,
        NATIVELY: _natively,
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
    if name == CPU:
        return bool(_ratios(found))
    return bool(measured(found, NATIVE if name == NATIVELY else PROXIES))


def measured(found: Found, names: Sequence[str]) -> Found:
    """Of these servers those that were measured, in the order of the tables."""
    return {name: found["servers"][name] for name in names if name in found["servers"]}


def keeps_up(paced: Found) -> bool:
    """Whether a server answers as fast as it is asked."""
    return bool(paced["per_second"] >= KEEPS_UP * paced["rate"])


def goal_of(figure: str, server: str, found: Found) -> Found | None:
    """The goal that a figure shows in a server's row; None: none, or it could not be measured."""
    name, _ = _GOALS.get((figure, server), ("", ""))
    goal: Found | None = next((goal for goal in found["goals"] if goal["name"] == name), None)
    return None if goal is None or goal["met"] is None else goal


def bound(goal: Found) -> str:
    """What a goal asks for."""
    return f"{'≥' if goal.get('least') else '≤'} {goal['bound']:g} {goal['unit']}"


def told(figure: str, server: str, goal: Found) -> str:
    """What a figure says of a goal."""
    said = _GOALS[figure, server][1].format(
        value=number(goal["value"]),
        word="for information" if goal.get("information") else "goal",
        bound=bound(goal),
    )
    return f"{said}: {'met' if goal['met'] else 'missed'}"


def _ratios(found: Found) -> dict[str, float]:
    """By server: its CPU per request, times the floor's."""
    ratios = {name: ratio(found["rounds"], name, "floor") for name in measured(found, PROXIES)}
    return {name: value for name, value in ratios.items() if value is not None}


def _cpu(found: Found) -> Figure:
    ratios = _ratios(found)
    figure, (axes,) = _canvas(list(ratios))
    axes.set_xlim(0.8, 2.0 * max(2.0, *ratios.values()))
    for place, (name, middle) in enumerate(ratios.items()):
        colour, goal = _colour(name), goal_of(CPU, name, found)
        each = [ratio([one], name, "floor") for one in found["rounds"]]
        seen = [value for value in each if value is not None]
        axes.plot(seen, [place] * len(seen), "o", color=colour, ms=4.5, alpha=0.45, mew=0)
        axes.plot([middle], [place], "o", color=colour, ms=8)
        cost = found["servers"][name][HEADLINE]["cpu_us"]
        lines = [(f"{number(middle)} × the floor's, {number(cost)} µs", colour)]
        if goal is not None:
            lines.append(_told(CPU, name, goal))
        if goal is not None and name == "greenlight":
            _bound(axes, goal)
            if not goal["met"]:
                beyond = (goal["bound"], middle)
                axes.plot(beyond, (place, place), color=style.STOP, lw=2.5, zorder=1.5)
        _note(axes, place, lines, (min(seen), max(seen)))
    axes.set_xlabel("× the floor's in the same round: every round (small), the median (large)")
    style.title(figure, f"CPU per request at {HEADLINE} connections, beside a bare proxy's")
    return figure


def _latency(found: Found) -> Figure:
    servers = measured(found, PROXIES)
    counts = sorted({int(count) for one in servers.values() for count in one if count.isdigit()})
    figure, panels = _canvas(list(servers), panels=len(counts))
    spans = [
        (axes, place, name, servers[name][str(count)]["latency"])
        for count, axes in zip(counts, panels, strict=True)
        for place, name in enumerate(servers)
        if str(count) in servers[name]
    ]
    for count, axes in zip(counts, panels, strict=True):
        axes.set_xlim(min(s["p50"] for *_, s in spans) / 2, max(s["p99"] for *_, s in spans) * 2)
        axes.set_title(f"{count} connection{'' if count == 1 else 's'}", fontsize=9.5)
        axes.set_xlabel("ms")
    for axes, place, name, span in spans:
        colour = _colour(name)
        axes.plot((span["p50"], span["p99"]), (place, place), color=colour, lw=3.5, alpha=0.4)
        axes.plot([span["p50"]], [place], "o", color=colour, ms=6.5)
        _above(axes, place, span, colour)
    style.title(
        figure, "Latency when all that can be asked is asked: p50 (dot) and p99 (end of the bar)"
    )
    return figure


def _above(axes: Axes, place: int, span: Found, colour: str) -> None:
    """Both numbers over their bar, towards the side where there is more room."""
    low, high = axes.get_xlim()
    right = span["p50"] ** 2 < low * high
    axes.annotate(
        f"{number(span['p50'])} / {number(span['p99'])}",
        (span["p50"] if right else span["p99"], place),
        xytext=(-4 if right else 4, 6),
        textcoords="offset points",
        fontsize=8.5,
        ha="left" if right else "right",
        color=colour,
    )


def _paced(found: Found) -> Figure:
    servers = measured(found, PROXIES)
    figure = _at_a_pace(PACED, found, servers, "overhead")
    style.title(figure, f"What each adds to the provider's latency at {_pace(servers)} requests/s")
    return figure


def _natively(found: Found) -> Figure:
    servers = measured(found, NATIVE)
    figure = _at_a_pace(NATIVELY, found, servers, "latency")
    style.title(
        figure, f"Latency of predictions in the gateway's process at {_pace(servers)} requests/s"
    )
    return figure


def _pace(servers: Found) -> str:
    rates = sorted({server["paced"]["rate"] for server in servers.values()})
    return " and ".join(f"{rate:g}" for rate in rates)


def _at_a_pace(picture: str, found: Found, servers: Found, part: str) -> Figure:
    """Every round as a line from p50 over p95 to p99, and the medians to the right."""
    figure, (axes,) = _canvas(list(servers), margin=2.3, top=0.85)
    drawn_ms = [1.0]
    for place, (name, server) in enumerate(servers.items()):
        goal = goal_of(picture, name, found)
        text = "does not keep up"
        if keeps_up(server["paced"]):
            median = server["paced"][part]
            text = f"p50 {number(median['p50'])} ms, p99 {number(median['p99'])} ms"
            drawn_ms += _rounds(axes, place, found["rounds"], name, part, goal)
        lines = [(text, _colour(name))]
        if goal is not None:
            _bound(axes, goal)
            lines.append(_told(picture, name, goal))
        _note(axes, place, lines)
    axes.set_xlim(min(drawn_ms) / 2, max(drawn_ms) * 1.5)
    axes.set_xlabel("ms in each round; to the right the medians")
    _legend(axes)
    return figure


def _rounds(
    axes: Axes, place: int, rounds: Sequence[Found], name: str, part: str, goal: Found | None
) -> list[float]:
    """The rounds of one server: hollow where it fell behind, red where over the goal.

    Returns:
        where its marks lie.
    """
    paces = [one[name]["paced"] for one in rounds if name in one]
    seen: list[float] = []
    for turn, paced in enumerate(paces):
        y = place + 0.5 * ((turn + 0.5) / len(paces) - 0.5)
        at = {quantile: max(paced[part][quantile], _LEAST_MS) for quantile in _MARKS}
        axes.plot((at["p50"], at["p99"]), (y, y), color=_colour(name), lw=1.2, alpha=0.5)
        for quantile, mark in _MARKS.items():
            missed = quantile == "p99" and goal is not None and at[quantile] > goal["bound"]
            colour = style.STOP if missed else _colour(name)
            inside = colour if keeps_up(paced) else style.PAPER
            axes.plot([at[quantile]], [y], mark, color=colour, mfc=inside, ms=4.5)
        seen += at.values()
    return seen


def _legend(axes: Axes) -> None:
    """What the marks mean, above the label of a goal."""
    for quantile, mark in _MARKS.items():
        axes.plot([], [], mark, color=style.MUTED, ms=4.5, label=quantile)
    for colour, inside, label in (
        (style.STOP, style.STOP, "p99 over the goal"),
        (style.MUTED, style.PAPER, "fell behind the pace"),
    ):
        axes.plot([], [], "D", color=colour, mfc=inside, ms=4.5, label=label)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        borderaxespad=1.6,
        ncols=5,
        frameon=False,
        fontsize=8.5,
        handletextpad=0.2,
        columnspacing=1.4,
    )


def _told(picture: str, server: str, goal: Found) -> tuple[str, str]:
    return told(picture, server, goal), style.GO if goal["met"] else style.STOP


def _colour(name: str) -> str:
    return _COLOURS.get(name, _OURS)


def _canvas(
    names: Sequence[str], *, panels: int = 1, margin: float = 0.15, top: float = 0.66
) -> tuple[Figure, list[Axes]]:
    """A row per server in every panel; inches are kept to the right of the last one and above."""
    bottom, left, gap = 0.55, 1.9, 0.15
    height = top + 0.5 * len(names) + bottom
    figure = style.canvas(height)
    width = (style.WIDTH - left - margin - gap * (panels - 1)) / panels
    made = []
    for panel in range(panels):
        begins = (left + panel * (width + gap)) / style.WIDTH
        high = 1 - (top + bottom) / height
        axes = figure.add_axes((begins, bottom / height, width / style.WIDTH, high))
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.12g}")
        axes.minorticks_off()
        axes.set_yticks(range(len(names)), ["" if panel else NAMES[name] for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(True, axis="x")
        for label, name in zip(axes.get_yticklabels(), names, strict=True):
            label.set_color(_colour(name))
        made.append(axes)
    return figure, made


def _bound(axes: Axes, goal: Found) -> None:
    """A goal as a line."""
    axes.axvline(goal["bound"], color=style.INK, lw=1.0, ls=_DASHES, zorder=1)
    axes.annotate(
        f"goal: {goal['bound']:g} {goal['unit']}",
        (goal["bound"], 1.0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(0, 3),
        textcoords="offset points",
        fontsize=8.5,
        ha="center",
    )


def _note(
    axes: Axes,
    place: int,
    lines: Sequence[tuple[str, str]],
    marks: tuple[float, float] | None = None,
) -> None:
    """Texts with their colours beside marks, where there is more room; in the margin without."""
    low, high = axes.get_xlim()
    right = int(marks is None or marks[0] * marks[1] < low * high)
    where = 1.0 if marks is None else marks[right]
    for line, (text, colour) in enumerate(lines):
        axes.annotate(
            text,
            (where, place),
            xycoords=axes.get_yaxis_transform() if marks is None else "data",
            xytext=(9 if right else -9, 6.5 * (len(lines) - 1) - 13 * line),
            textcoords="offset points",
            fontsize=9,
            ha="left" if right else "right",
            va="center",
            color=colour,
            bbox={"facecolor": style.PAPER, "edgecolor": "none", "pad": 0.5},
        )
