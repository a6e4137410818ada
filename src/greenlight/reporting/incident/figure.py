"""The timeline as a figure: the rollout on the left, what followed it on the right.

On the left time is linear, since the rollout started; on the right it is counted from the decision,
on a logarithmic axis, for a gateway takes milliseconds and a re-run seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from greenlight.core.records import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from greenlight.reporting import style
from greenlight.reporting.incident.dossier import Dossier, Event
from greenlight.reporting.style import GO, INK, MUTED, PAPER, STOP, Span
from greenlight.reporting.words import duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

_BEFORE, _AFTER = (0.02, 0.575), (0.645, 0.325)
"""Left edge and breadth of the two halves."""
_BAND = 0.42
"""Height of the axes that hold the bands, in inches."""
_ROW = 17
"""Height of a row of flags, in points."""
_LEAST = 10 * MILLISECOND
"""The left end of the logarithmic axis."""
_TICKS = (
    (10 * MILLISECOND, "10 ms"),
    (100 * MILLISECOND, "100 ms"),
    (SECOND, "1 s"),
    (10 * SECOND, "10 s"),
    (MINUTE, "1 min"),
    (10 * MINUTE, "10 min"),
    (HOUR, "1 h"),
    (DAY, "1 d"),
    (10 * DAY, "10 d"),
)
_STEPS = {
    "caches": "caches dropped",
    "baseline": "control asked again",
    "evidence": "evidence written",
    "closed": "closed",
}


class Flag(NamedTuple):
    """A mark with a text: where it stands, on the axis of its half."""

    place: float
    text: str
    colour: str
    bold: bool = False


def timeline(dossier: Dossier, colour: str) -> Figure:
    """Draw when what happened.

    Args:
        dossier: the case.
        colour: of the candidate.
    """
    with style.styled():
        figure = style.canvas(2.0)
        end, start = dossier.rollout.ended_at, dossier.rollout.started_at
        span = Span(start, max(MILLISECOND, end - start))
        left = figure.add_axes((_BEFORE[0], 0.3, _BEFORE[1], 0.3))
        right = figure.add_axes((_AFTER[0], 0.3, _AFTER[1], 0.3))
        _bands(left, dossier, span, colour)
        flags = _flags_before(dossier, span)
        later = _flags_after(dossier)
        _logarithmic(right, later)
        rows = max(_fly(left, flags, span.end), _fly(right, later, math.inf))
        bottom, top = 0.5, 0.42 + rows * _ROW / 72
        height = bottom + _BAND + top
        figure.set_figheight(height)
        for axes, (x, breadth) in ((left, _BEFORE), (right, _AFTER)):
            axes.set_position((x, bottom / height, breadth, _BAND / height))
        style.title(figure, "When: the rollout, and what followed the decision")
    return figure


def _bands(axes: Axes, dossier: Dossier, span: Span, colour: str) -> None:
    """The splits, as a band whose colour is the deeper the more users met the candidate."""
    axes.set_xlim(0, span.end)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"{span.unit[1]} since the rollout started")
    for split in dossier.splits:
        x0 = span.place(split.since)
        x1 = span.end if split.until is None else min(span.place(split.until), span.end)
        axes.fill_between((x0, x1), 0, 1, color=colour, alpha=0.12 + 0.6 * split.weight, lw=0)
        text = axes.text(
            (x0 + x1) / 2,
            0.5,
            f"{split.weight:.0%}" if split.weight else "copies",
            ha="center",
            va="center_baseline",
            fontsize=9,
        )
        room = (x1 - x0) / span.end * axes.bbox.width - 6
        drawn = style.extent(text)
        if drawn[1] - drawn[0] > room:
            text.remove()


def _flags_before(dossier: Dossier, span: Span) -> list[Flag]:
    flags = []
    for event in dossier.timeline:
        if event.kind == "first_user" and event.at > dossier.rollout.started_at:
            flags.append(Flag(span.place(event.at), "first user", INK))
        elif event.kind == "widen":
            flags.append(Flag(span.place(event.at), "widened", INK))
    if dossier.decision is not None:
        word = f"{dossier.decision.action.value}: {dossier.decision.code}"
        flags.append(Flag(span.end, style.plain(word, 40), STOP, bold=True))
    return flags


def _flags_after(dossier: Dossier) -> list[Flag]:
    end = dossier.rollout.ended_at
    flags = []
    gateways = [event for event in dossier.timeline if event.kind == "gateway"]
    if gateways:
        last = max(gateways, key=lambda event: event.at)
        text = "every gateway" if len(gateways) > 1 else "the gateway"
        flags.append(Flag(_place(last.at - end), f"{text}: {_after(last, end)}", GO, bold=True))
    for event in dossier.timeline:
        if event.kind in _STEPS and event.at >= end:
            text = f"{_STEPS[event.kind]}: {_after(event, end)}"
            flags.append(Flag(_place(event.at - end), text, INK))
    return sorted(flags, key=lambda flag: flag.place)


def _after(event: Event, end: int) -> str:
    passed = max(0, event.at - end)
    return f"{passed / MILLISECOND:.0f} ms" if passed < SECOND else duration(passed)


def _place(passed: int) -> float:
    """Powers of ten of a microsecond."""
    return math.log10(max(passed, _LEAST))


def _logarithmic(axes: Axes, flags: Sequence[Flag]) -> None:
    low = _place(_LEAST)
    high = max([flag.place for flag in flags], default=_place(10 * SECOND))
    high = max(high + 0.35, _place(10 * SECOND))
    axes.set_xlim(low, high)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    shown = [(_place(at), text) for at, text in _TICKS if low <= _place(at) <= high]
    step = max(1, math.ceil(len(shown) / 5))
    axes.set_xticks([at for at, _ in shown[::step]], [text for _, text in shown[::step]])
    axes.set_xlabel("since the decision (logarithmic)")
    if not flags:
        axes.text((low + high) / 2, 0.5, "nothing yet", color=MUTED, ha="center", va="center")
    axes.fill_between((low, high), 0, 1, color=GO, alpha=0.07, lw=0)
    for flag in flags:
        axes.plot(
            [flag.place], [0.5], "o", ms=6, mfc=PAPER, mec=flag.colour, mew=1.8, clip_on=False
        )


def _fly(axes: Axes, flags: Sequence[Flag], turn: float) -> int:
    """Draw flags above the axes; those at or beyond `turn` have their texts to the left. Returns
    how many rows they take."""
    texts = [_text(axes, flag, flag.place >= turn) for flag in flags]
    _keep_within(axes, texts)
    rows = _rows([style.extent(text) for text in texts])
    over = axes.get_xaxis_transform()
    for flag, text, row in zip(flags, texts, rows, strict=True):
        lift = 5 + _ROW * row
        text.set_position((text.get_position()[0], lift))
        top = 1 + (lift + 9) / (72 * _BAND)
        place = (flag.place, flag.place)
        axes.plot(place, (0, top), color=flag.colour, lw=0.9, transform=over, clip_on=False)
    return max(rows, default=0) + 1


def _text(axes: Axes, flag: Flag, left: bool) -> Annotation:
    return axes.annotate(
        flag.text,
        (flag.place, 1.0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(-4 if left else 4, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        fontsize=9,
        color=flag.colour,
        fontweight="bold" if flag.bold else "normal",
    )


def _keep_within(axes: Axes, texts: Sequence[Annotation]) -> None:
    """Turn texts to the left that would leave the figure, or their half of it."""
    edge = axes.bbox.x1 + (0 if axes.bbox.x0 > 300 else 20)
    for text in texts:
        if style.extent(text)[1] > edge:
            text.set_position((-4, 0))
            text.set_horizontalalignment("right")


def _rows(spans: Sequence[tuple[float, float]]) -> list[int]:
    """A row for each flag, so that no two texts touch: the lowest that is free."""
    taken: list[list[tuple[float, float]]] = []
    rows = []
    for left, right in spans:
        row = next(
            (
                number
                for number, there in enumerate(taken)
                if all(right + 8 < a or b + 8 < left for a, b in there)
            ),
            len(taken),
        )
        if row == len(taken):
            taken.append([])
        taken[row].append((left, right))
        rows.append(row)
    return rows
