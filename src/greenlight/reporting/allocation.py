"""The allocation of traffic over time, as stacked areas under the decisions that moved it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from greenlight.core.records import MILLISECOND, Decision
from greenlight.core.states import Action
from greenlight.reporting import style
from greenlight.reporting.history import History, Period
from greenlight.reporting.style import GO, INK, MUTED, STOP, Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TURNS = {
    Action.START: INK,
    Action.WIDEN: INK,
    Action.PROMOTE: GO,
    Action.ROLLBACK: STOP,
    Action.INCONCLUSIVE: MUTED,
    Action.WITHDRAW: MUTED,
}

_HEIGHT = 2.0
"""Of the axes, in inches."""

_LEFT, _BREADTH = 0.07, 0.915
_ROW = 17
"""Height of a row of flags, in points."""


class _Area(NamedTuple):
    """A version's share from one change to the next, in data coordinates."""

    digest: str
    left: float
    right: float
    low: float
    high: float


def allocation(told: Sequence[History], colours: Mapping[str, str]) -> Figure:
    """Which version had which share of the traffic, over all rollouts given, and why it changed.

    Args:
        told: at least one rollout, in order of time.
        colours: by version digest (`style.colours`).
    """
    with style.styled():
        start, end = told[0].rollout.at, max(item.end for item in told)
        span = Span(start, max(MILLISECOND, end - start))
        periods = [period for item in told for period in item.periods]
        turns = [(d, item) for item in told for d in item.decisions if d.action in _TURNS]
        figure = style.canvas(_HEIGHT)
        axes = figure.add_axes((_LEFT, 0.2, _BREADTH, 0.6))
        axes.set_xlim(-0.04 * span.end, 1.06 * span.end)
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
        axes.grid(False)
        axes.set_xlabel(f"{span.unit[1]} since the first rollout started")
        rows = _flags(axes, turns, span)
        bottom, top = 0.52, 0.5 + rows * _ROW / 72
        height = bottom + _HEIGHT + top
        figure.set_figheight(height)
        axes.set_position((_LEFT, bottom / height, _BREADTH, _HEIGHT / height))
        areas = _areas(told, periods, span, *axes.get_xlim())
        _draw(axes, areas, colours)
        _name(axes, areas, told, colours)
        style.title(figure, "Who answered: each version's share of users")
    return figure


def _areas(
    told: Sequence[History], periods: Sequence[Period], span: Span, left: float, right: float
) -> list[_Area]:
    """Stacked shares, the newest version at the bottom, so that it rises from the ground."""
    edges = [left, *(span.place(period.since) for period in periods), right]
    shares = [{told[0].rollout.control: 1.0}, *(period.shares for period in periods)]
    newest_first = list(dict.fromkeys(digest for share in shares for digest in share))[::-1]
    areas = []
    for place, share in enumerate(shares):
        low = 0.0
        for digest in newest_first:
            high = low + share.get(digest, 0.0)
            if high > low:
                areas.append(_Area(digest, edges[place], edges[place + 1], low, high))
            low = high
    return areas


def _draw(axes: Axes, areas: Sequence[_Area], colours: Mapping[str, str]) -> None:
    for area in areas:
        colour, x = colours.get(area.digest, MUTED), (area.left, area.right)
        axes.fill_between(x, area.low, area.high, color=colour, alpha=0.2, linewidth=0)
        if area.high < 1:
            line = axes.plot(x, (area.high, area.high), color=colour, linewidth=2.2)[0]
            line.set_solid_capstyle("butt")


def _name(
    axes: Axes, areas: Sequence[_Area], told: Sequence[History], colours: Mapping[str, str]
) -> None:
    """Each version's label in its largest area, if it fits there."""
    labels = {item.rollout.control: item.control for item in told}
    labels |= {item.rollout.candidate: item.candidate for item in told}
    for digest, label in labels.items():
        own = [area for area in areas if area.digest == digest]
        room = max(own, key=lambda a: (a.right - a.left) * (a.high - a.low), default=None)
        if room is None or room.high - room.low < 0.1:
            continue
        text = axes.text(
            (room.left + room.right) / 2,
            (room.low + room.high) / 2,
            style.plain(label),
            color=colours.get(digest, MUTED),
            fontweight="bold",
            ha="center",
            va="center_baseline",
        )
        x0, x1 = (axes.transData.inverted().transform((x, 0))[0] for x in style.extent(text))
        if x1 - x0 > 0.92 * (room.right - room.left):
            text.remove()


def _flags(axes: Axes, turns: Sequence[tuple[Decision, History]], span: Span) -> int:
    """Decisions that moved traffic, as flags above the axes; returns how many rows they take."""
    over = axes.get_xaxis_transform()
    places = [span.place(decision.at) for decision, _ in turns]
    texts = [
        axes.annotate(
            _words(decision, item),
            (place, 1.0),
            xycoords=over,
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=9,
            color=_TURNS[decision.action],
            fontweight="normal" if decision.action in (Action.START, Action.WIDEN) else "bold",
        )
        for (decision, item), place in zip(turns, places, strict=True)
    ]
    _make_room(axes, places, [right - left for left, right in map(style.extent, texts)])
    rows = style.tiers([style.extent(text) for text in texts], gap=10)
    for (decision, _), text, place, row in zip(turns, texts, places, rows, strict=True):
        lift = 5 + _ROW * row
        text.set_position((4, lift))
        colour, top = _TURNS[decision.action], 1 + (lift + 9) / (72 * _HEIGHT)
        axes.plot((place, place), (0, top), color=colour, lw=0.9, transform=over, clip_on=False)
    return max(rows, default=0) + 1


def _make_room(axes: Axes, places: Sequence[float], widths: Sequence[float]) -> None:
    """Move the right end of the axis out until every flag's text (in pixels) ends before it."""
    left, right = axes.get_xlim()
    pixels = axes.bbox.width
    for place, width in zip(places, widths, strict=True):
        room = max(pixels - width - 8, pixels / 3)
        right = max(right, left + (place - left) * pixels / room)
    axes.set_xlim(left, right)


def _words(decision: Decision, item: History) -> str:
    candidate = style.plain(item.candidate)
    began = (period.weight for period in item.periods if period.decision == decision.id)
    weight = next(began, 0.0)
    return {
        Action.START: f"{candidate} starts at {weight:.0%}",
        Action.WIDEN: f"widen to {weight:.0%}",
        Action.PROMOTE: f"PROMOTE {candidate}",
        Action.ROLLBACK: f"ROLL BACK {candidate}",
        Action.INCONCLUSIVE: f"{candidate}: inconclusive",
        Action.WITHDRAW: f"{candidate}: withdrawn",
    }[decision.action]
