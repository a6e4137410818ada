"""Small drawings as numbers: where lines, bars and marks stand. The templates make SVG of them.

Places are in units of a drawing's own box, with the origin in its upper left corner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from greenlight.core.records import DAY, HOUR, MINUTE, SECOND, Decision
from greenlight.core.states import Action
from greenlight.reporting.history import Period, Proportion

WIDE, NARROW = 480, 320
"""Widths of a drawing, for a screen and for a phone; its text is as large in both."""
_LEFT, _RIGHT, _TOP, _BOTTOM, _HEIGHT = 46, 14, 30, 30, 120
_LETTER = 7.0
"""Width of a letter of the drawings' text, with some room."""
_STEPS = tuple(
    unit * count
    for unit, counts in (
        (SECOND, (1, 2, 5, 10, 15, 30)),
        (MINUTE, (1, 2, 5, 10, 15, 30)),
        (HOUR, (1, 2, 3, 6, 12)),
        (DAY, (1, 2, 7, 14, 28)),
    )
    for count in counts
)
"""How far apart ticks of time may be, in µs."""
_TICK_ROOM = 70
FULL = 0.8
"""Where on a bar of evidence its threshold stands, as a share of the bar."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that changed the split: where it stands and what it did."""

    x: float
    y: float
    """The row of its text."""
    right: bool
    """Whether its text stands to the left of it, for want of room."""
    action: Action
    text: str


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """A place on an axis and what stands there."""

    at: float
    text: str


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """The candidate's share of units over time."""

    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    line: str
    """The steps, as points of a polyline."""
    area: str
    """What lies below them, as points of a polygon."""
    times: Sequence[Tick]
    shares: Sequence[Tick]
    marks: Sequence[Mark]


def split(
    periods: Sequence[Period],
    decisions: Sequence[Decision],
    candidate: str,
    end: int,
    width: int,
) -> Split:
    """Draw the share that a version had of a task's units.

    Args:
        periods: at least one, in order.
        decisions: what began them, as far as it is on record.
        candidate: the version's digest.
        end: where the drawing ends (µs since 1970): the end of the last period, or now.
        width: of the drawing.
    """
    start = periods[0].since
    length = max(end - start, SECOND)
    rows = 2 if width == NARROW else 1
    top = _TOP + 16.0 * (rows - 1)
    left, right, bottom = float(_LEFT), float(width - _RIGHT), top + _HEIGHT

    def x(at: int) -> float:
        return round(left + (right - left) * min(max(at - start, 0), length) / length, 1)

    def y(share: float) -> float:
        return round(bottom - (bottom - top) * share, 1)

    corners = []
    for period in periods:
        share = period.shares.get(candidate, 0.0)
        corners += [(x(period.since), y(share)), (x(min(period.until or end, end)), y(share))]
    corners += [(right, corners[-1][1])]
    line = " ".join(f"{a},{b}" for a, b in corners)
    return Split(
        width=width,
        height=int(bottom) + _BOTTOM,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        line=line,
        area=f"{left},{bottom} {line} {right},{bottom}",
        times=[Tick(at=x(start + at), text=text) for at, text in _times(length, right - left)],
        shares=[Tick(at=y(share), text=f"{share:.0%}") for share in (0.0, 0.5, 1.0)],
        marks=_marks(decisions, [x(d.at) for d in decisions], right, top, rows),
    )


def _marks(
    decisions: Sequence[Decision], places: Sequence[float], right: float, top: float, rows: int
) -> list[Mark]:
    """Texts in turn on each row, to the left of their marks where they would not fit."""
    marks = []
    for number, (decision, place) in enumerate(zip(decisions, places, strict=True)):
        text = decision.action.value
        marks.append(
            Mark(
                x=place,
                y=top - 10 - 16.0 * (number % rows),
                right=place + 8 + _LETTER * len(text) > right + _RIGHT,
                action=decision.action,
                text=text,
            )
        )
    return marks


def _times(length: int, room: float) -> list[tuple[int, str]]:
    """Ticks from 0 to a length of time, so that their texts do not touch."""
    most = max(2, int(room / _TICK_ROOM))
    step = next((step for step in _STEPS if length / step <= most), None)
    if step is None:
        step = math.ceil(length / most / (28 * DAY)) * 28 * DAY
    unit, name = next(
        (unit, name)
        for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))
        if step % unit == 0
    )
    return [(at, f"{at // unit} {name}") for at in range(0, length + 1, step)]


def evidence(log_e: float | None, limit: float) -> float:
    """How far a bar of evidence reaches, in [0, 1]: from E = 1 at 0, on a logarithmic scale, to
    its threshold at `FULL`; beyond it to the end."""
    if log_e is None:
        return 0.0
    return round(min(max(log_e / limit * FULL, 0.0), 1.0), 4)


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """An interval on a line from 0 to 100, with what it is of; an end that nothing bounds lies at
    the end of the line."""

    low: float
    value: float | None
    high: float


def intervals(
    found: Sequence[tuple[float, float | None, float]],
) -> tuple[list[Interval], float, float]:
    """Intervals (low, value, high) on one scale that holds them all, and the ends of the scale."""
    low = min(low for low, _, _ in found)
    high = max(high for _, _, high in found)
    room = (high - low) * 0.04 or 0.01
    start, end = low - room, high + room

    def place(value: float) -> float:
        return round(100 * (value - start) / (end - start), 2)

    drawn = [
        Interval(low=place(a), value=None if v is None else place(v), high=place(b))
        for a, v, b in found
    ]
    return drawn, start, end


def rate(share: Proportion) -> tuple[float, float | None, float]:
    """A proportion, for `intervals`."""
    return share.low, share.value, share.high
