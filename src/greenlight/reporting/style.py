"""How the figures look, and how they become files: same input, same bytes.

Nothing of matplotlib's global state is left changed, and a user's own matplotlibrc has no say.
Text is drawn as outlines, so that it looks the same wherever it is opened. Labels are data: they
are never read as formulas, and characters that the font lacks become boxes.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from greenlight.core.records import DAY, HOUR, MINUTE, SECOND

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.text import Text

WIDTH = 9.0
"""Inches; 900 pixels at the resolution of the PNG files' layout."""

DPI = 160
VERSIONS = ("#2563eb", "#059669", "#d97706", "#7c3aed", "#db2777", "#475569")
"""Versions in order of time: blue is what was live first, green what came next."""

INK, MUTED, FAINT, PAPER = "#1f2937", "#64748b", "#e2e8f0", "#ffffff"
STOP, GO = "#991b1b", "#047857"

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": "#94a3b8",
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "xtick.major.size": 3.0,
    "ytick.major.size": 0.0,
    "lines.solid_capstyle": "round",
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "svg.fonttype": "path",
}
_LONGEST = 18
_ID = re.compile(r'(\bid="|href="#|url\(#)')
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)


@contextlib.contextmanager
def styled(salt: str = "greenlight") -> Iterator[None]:
    """Greenlight's look for what is drawn inside; afterwards everything is as it was."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**_STYLE, "svg.hashsalt": salt})
        yield


def canvas(height: float) -> Figure:
    """An empty figure of the common width; `height` in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=100)
    FigureCanvasAgg(figure)
    return figure


def svg(figure: Figure, name: str) -> str:
    """The figure as an `<svg>` element to put into a page.

    Args:
        figure: what to draw.
        name: letters, digits and dashes; it leads every id inside, so that several figures
            can share a page.
    """
    file = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with styled(name):
        figure.savefig(file, format="svg", metadata=nothing)
    text = _COMMENT.sub("", file.getvalue())
    return _ID.sub(rf"\g<1>{name}-", text[text.index("<svg") :])


def png(figure: Figure) -> bytes:
    """The figure as a PNG file's content, 1,440 pixels wide."""
    file = io.BytesIO()
    with styled():
        figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return file.getvalue()


def colours(digests: Sequence[str]) -> dict[str, str]:
    """A colour per version, in the order given."""
    return {digest: VERSIONS[place % len(VERSIONS)] for place, digest in enumerate(digests)}


def plain(text: str, longest: int = _LONGEST) -> str:
    """A label as it can be drawn: one line, not too long, only characters that the font has."""
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    drawn = "".join(
        letter if letter.isprintable() and font.get_char_index(ord(letter)) else "□"
        for letter in text
    )
    return drawn if len(drawn) <= longest else drawn[: longest - 1] + "…"


def title(figure: Figure, text: str) -> None:
    """The figure's message, in its upper left corner."""
    top = 1 - 0.1 / figure.get_figheight()
    figure.text(0.012, top, text, fontsize=11.5, fontweight="bold", va="top", ha="left")


class Span(msgspec.Struct, frozen=True):
    """Time on an axis: counted from `origin` (µs since 1970) in units that suit its length."""

    origin: int
    length: int

    @property
    def unit(self) -> tuple[int, str]:
        """How long a unit is in µs, and its name."""
        for unit, name in ((DAY, "days"), (HOUR, "hours"), (MINUTE, "minutes")):
            if self.length > 5 * unit:
                return unit, name
        return SECOND, "seconds"

    def place(self, at: int) -> float:
        """Where a moment lies on the axis."""
        return (at - self.origin) / self.unit[0]

    @property
    def end(self) -> float:
        """Where the axis ends."""
        return self.place(self.origin + self.length)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions within [low, high] at least `gap` apart, in the order of those wanted.

    They are the nearest such positions (least squares): less `gap` per rank the task is isotonic
    regression, solved by pooling neighbours. Where the gap does not fit it shrinks.
    """
    count = len(wanted)
    gap = min(gap, (high - low) / max(1, count - 1))
    order = sorted(range(count), key=lambda i: (wanted[i], i))
    pools: list[tuple[float, int]] = []
    for rank, i in enumerate(order):
        mean, size = wanted[i] - rank * gap, 1
        while pools and pools[-1][0] >= mean:
            other, others = pools.pop()
            mean = (mean * size + other * others) / (size + others)
            size += others
        pools.append((mean, size))
    means = [mean for mean, size in pools for _ in range(size)]
    highest = high - gap * (count - 1)
    placed = [0.0] * count
    for rank, (i, mean) in enumerate(zip(order, means, strict=True)):
        placed[i] = min(max(mean, low), highest) + rank * gap
    return placed


def tiers(spans: Sequence[tuple[float, float]], gap: float) -> list[int]:
    """Rows for flags whose texts run to the right of their poles, from (left, right) of each text.

    A flag flies above every one to its right that it would touch, so that no pole crosses a text.
    Flags are in order of their poles.
    """
    rows = [0] * len(spans)
    for i in range(len(spans) - 1, -1, -1):
        touched = [rows[j] for j in range(i + 1, len(spans)) if spans[j][0] < spans[i][1] + gap]
        rows[i] = max(touched, default=-1) + 1
    return rows


def ticks(axis: Axis, most: int) -> None:
    """Round percentages, at most this many of them."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 5, 10], min_n_ticks=2))
    axis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")


def margin(axes: Axes, rows: Sequence[tuple[float, str, str]], size: float = 9.5) -> None:
    """Labels to the right of the axes, each (height in data coordinates, text, colour).

    They stand as near to their heights as they can without touching.
    """
    low, high = axes.get_ylim()
    lines = max(text.count("\n") + 1 for _, text, _ in rows)
    gap = (high - low) * size * (1.3 * lines + 0.2) / (72 * axes.bbox.height / axes.figure.dpi)
    heights = spread([y for y, _, _ in rows], gap, low + gap / 2, high - gap / 2)
    for height, (_, text, colour) in zip(heights, rows, strict=True):
        axes.annotate(
            text,
            (1.0, height),
            xycoords=axes.get_yaxis_transform(),
            xytext=(8, 0),
            textcoords="offset points",
            fontsize=size,
            color=colour,
            va="center",
            linespacing=1.3,
        )


def extent(text: Text) -> tuple[float, float]:
    """Left and right edge of a text, in pixels of its figure."""
    box = text.get_window_extent()
    return float(box.x0), float(box.x1)
