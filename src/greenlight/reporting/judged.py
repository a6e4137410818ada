"""The figures of an evaluation: confusions, calibration, F1 per label, and the live version beside.

Each takes parts of the evaluation document as the protocol wrote them. Labels of others are drawn
as they can be drawn (`style.plain`); what a figure has no room for its caption says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from greenlight.reporting import style
from greenlight.reporting.gallery import Picture
from greenlight.reporting.style import FAINT, GO, INK, MUTED, PAPER, STOP, VERSIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LABELS = 100
"""Labels that a matrix or a list can show; of more, the weakest are shown."""

MOST_CHANGES = 12
"""Labels shown of those that changed against the live version."""

_NAME = 34
"""Letters of a label's name beside a matrix."""

_NAMES = 2.6
"""Room for names, in inches."""

_POINTS = 72


def pictures(document: Mapping[str, Any]) -> list[Picture]:
    """Every figure that an evaluation document has the numbers for."""
    test = document.get("intent", {}).get("test", {})
    drawn = []
    if test.get("confusion"):
        shown = _shown(test)
        cut = "" if len(shown) == len(test["labels"]) else f" The {len(shown)} weakest labels only."
        drawn.append(Picture("confusion", confusion(test, shown), _CONFUSION + cut))
        drawn.append(Picture("labels", per_label(test, shown), _LABELS + cut))
    if test.get("reliability"):
        drawn.append(Picture("reliability", reliability(test), _RELIABILITY))
    if "accuracy" in document.get("live", {}):
        drawn.append(Picture("live", paired(document["live"]), _paired(document["live"])))
    return drawn


def confusion(test: Mapping[str, Any], shown: Sequence[int], *, what: str = "labels") -> Figure:
    """Which labels are taken for which; rows are true labels, columns predicted ones.

    Args:
        test: `labels` and `confusion` of an evaluation.
        shown: places of the labels to draw, in order.
        what: they are.
    """
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    counts = np.asarray(test["confusion"], dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = len(shown)
    room = _NAMES if size <= 30 else 1.95
    cell = min(0.3, (style.WIDTH - room - 0.2) / size)
    letters = min(9.0, cell * _POINTS * 0.95)
    with style.styled():
        height = 0.68 + size * cell + 0.15
        figure = style.canvas(height)
        axes = figure.add_axes(
            (
                room / style.WIDTH,
                0.15 / height,
                size * cell / style.WIDTH,
                size * cell / height,
            )
        )
        axes.set_xlim(-0.5, size - 0.5)
        axes.set_ylim(size - 0.5, -0.5)
        axes.grid(False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        for line in range(0, size + 1, 5):
            axes.axhline(line - 0.5, color=FAINT, lw=0.6, zorder=0)
            axes.axvline(line - 0.5, color=FAINT, lw=0.6, zorder=0)
        squares, paints = [], []
        for row, place in enumerate(shown):
            for column, other in enumerate(shown):
                if not counts[place, other]:
                    continue
                squares.append(Rectangle((column - 0.46, row - 0.46), 0.92, 0.92))
                paints.append(_paint(shares[place, other], row == column))
                if row != column or cell > 0.2:
                    _count(axes, column, row, counts[place, other], shares[place, other], letters)
        axes.add_collection(PatchCollection(squares, facecolors=paints, linewidths=0))
        names = [style.plain(test["labels"][place], _NAME) for place in shown]
        axes.set_yticks(
            range(size),
            [f"{name}  {number}" for number, name in enumerate(names, start=1)],
            fontsize=letters,
        )
        axes.set_xticks(range(size), [str(number + 1) for number in range(size)], fontsize=letters)
        axes.tick_params(axis="x", top=True, bottom=False, labeltop=True, labelbottom=False)
        axes.tick_params(axis="both", length=0, pad=2)
        if size > 30:
            axes.tick_params(axis="x", labelrotation=90)
        style.title(figure, f"Which {what} are taken for which (rows: true, columns: predicted)")
    return figure


def per_label(test: Mapping[str, Any], shown: Sequence[int], *, what: str = "label") -> Figure:
    """F1 of each label as a dot, on the line from its precision to its recall; weakest first."""
    entries = [test["per_label"][place] for place in shown]
    entries = [entry for entry in entries if entry["f1"] is not None]
    entries.sort(key=lambda entry: (entry["f1"], entry["label"]))
    columns = 2 if len(entries) > 24 else 1
    rows = -(-len(entries) // columns)
    pitch = 0.15 if columns == 2 else 0.21
    floor = min([entry[name] or 0.0 for entry in entries for name in _RATES], default=0.0)
    with style.styled():
        height = 0.85 + rows * pitch
        figure = style.canvas(height)
        for column in range(columns):
            part = entries[column * rows : (column + 1) * rows]
            names = 2.2 if columns == 2 else _NAMES
            left = (column * style.WIDTH / columns + names) / style.WIDTH
            width = (style.WIDTH / columns - names - 0.2) / style.WIDTH
            axes = figure.add_axes((left, 0.35 / height, width, rows * pitch / height))
            axes.set_ylim(rows - 0.5, -0.5)
            axes.set_xlim(max(-0.02, floor - 0.04), 1.02)
            axes.grid(True, axis="x")
            axes.grid(True, axis="y", lw=0.4)
            axes.spines["left"].set_visible(False)
            letters = 6.6 if columns == 2 else 8.5
            axes.set_yticks(
                range(len(part)),
                [style.plain(entry["label"], _NAME) for entry in part],
                fontsize=letters,
            )
            style.ticks(axes.xaxis, 5)
            for row, entry in enumerate(part):
                ends = [entry[name] for name in ("precision", "recall") if entry[name] is not None]
                axes.plot(ends, [row] * len(ends), color=VERSIONS[0], lw=2.2, alpha=0.3)
                colour = STOP if entry["f1"] < _WEAK else VERSIONS[0]
                axes.plot([entry["f1"]], [row], "o", ms=3.6, color=colour, zorder=3)
        style.title(figure, f"F1 of each {what}, the weakest first")
    return figure


def reliability(test: Mapping[str, Any]) -> Figure:
    """How often the model is right, by the score that it gives."""
    bins = test["reliability"]
    with style.styled():
        figure = style.canvas(4.2)
        axes = figure.add_axes((0.08, 0.13, 0.4, 0.72))
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.plot((0, 1), (0, 1), color=MUTED, lw=1.0, ls=(0, (5, 3)))
        scores, rates = [found["score"] for found in bins], [found["accuracy"] for found in bins]
        axes.plot(scores, rates, color=VERSIONS[0], lw=1.6)
        axes.plot(scores, rates, "o", ms=5, color=VERSIONS[0], clip_on=False)
        axes.set_xlabel("mean score of the bin")
        axes.set_ylabel("share that is right")
        for axis in (axes.xaxis, axes.yaxis):
            style.ticks(axis, 5)
        beside = figure.add_axes((0.57, 0.13, 0.41, 0.72))
        middles = [(found["low"] + found["high"]) / 2 for found in bins]
        widths = [0.9 * (found["high"] - found["low"]) for found in bins]
        beside.bar(middles, [found["n"] for found in bins], widths, color=VERSIONS[0], alpha=0.75)
        beside.set_xlim(0, 1)
        beside.set_xlabel("score")
        beside.set_ylabel("test rows")
        beside.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        style.ticks(beside.xaxis, 5)
        ece = test["ece"].get("value")
        known = "" if ece is None else f" Expected calibration error: {ece:.3f}"
        style.title(figure, f"Is a score what it says?{known}")
    return figure


def paired(live: Mapping[str, Any]) -> Figure:
    """The difference from the live version with its interval, and the labels that changed most."""
    label = style.plain(live["label"])
    changes = sorted(
        live["per_label"],
        key=lambda entry: (-abs(entry["only_candidate"] - entry["only_live"]), entry["label"]),
    )[:MOST_CHANGES]
    with style.styled():
        height = 1.0 + max(2.3, 0.24 * len(changes))
        figure = style.canvas(height)
        bottom, tall = 0.45 / height, (height - 1.05) / height
        axes = figure.add_axes((0.04, bottom, 0.38, tall))
        _difference(axes, live["accuracy"])
        beside = figure.add_axes((0.71, bottom, 0.27, tall))
        _changes(beside, changes, label)
        style.title(figure, f"Against {label}, which was live, on the same {live['n']:,} test rows")
    return figure


def _difference(axes: Axes, block: Mapping[str, float]) -> None:
    value, low, high = block["value"], block["low"], block["high"]
    colour = GO if low > 0 else STOP if high < 0 else MUTED
    reach = 1.25 * max(abs(low), abs(high), 0.005)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(True, axis="x")
    axes.axvline(0, color=INK, lw=1.0)
    axes.plot((low, high), (0, 0), color=colour, lw=5, alpha=0.4)
    axes.plot([value], [0], "o", ms=9, color=colour)
    axes.annotate(
        f"{100 * value:+.2f} points\n95% interval {100 * low:+.2f} to {100 * high:+.2f}",
        (0.5, 0.72),
        xycoords="axes fraction",
        ha="center",
        fontsize=9.5,
        color=colour,
        fontweight="bold",
        linespacing=1.4,
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 2},
    )
    style.ticks(axes.xaxis, 5)
    axes.set_xlabel("difference of accuracy")


def _changes(axes: Axes, changes: Sequence[Mapping[str, Any]], label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_ylim(max(len(changes), 1) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    for row, entry in enumerate(changes):
        axes.barh(row, -entry["only_live"], 0.62, color=STOP, alpha=0.75)
        axes.barh(row, entry["only_candidate"], 0.62, color=GO, alpha=0.75)
    axes.axvline(0, color=INK, lw=1.0)
    most = max([max(e["only_live"], e["only_candidate"]) for e in changes], default=1)
    axes.set_xlim(-1.1 * most, 1.1 * most)
    names = [style.plain(entry["label"], _NAME) for entry in changes]
    axes.set_yticks(range(len(changes)), names, fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
    axes.set_xlabel(f"only {label} right  |  only this version right", fontsize=8.5)


def _paired(live: Mapping[str, Any]) -> str:
    return (
        f"Both answered the same {live['n']:,} texts. Left: accuracy of this version less that of "
        f"{live['label']}, with Tango's 95% interval; McNemar's mid-p is {live['p_value']:.2g}. "
        f"Both are right on {live['both']:,}, neither on {live['neither']:,}. Right: the labels "
        f"with the largest changes; {live['label']} alone is right on {live['only_live']:,} texts, "
        f"this version alone on {live['only_candidate']:,}."
    )


_RATES = ("f1", "precision", "recall")
_WEAK = 0.8
"""F1 below this is drawn in red."""

_CONFUSION = (
    "A row is a true label, a column what was predicted, by the number beside the label's name. "
    "Blue is right, red is wrong; the stronger the colour, the larger the share of the row. The "
    "numbers are counts."
)
_LABELS = (
    "The dot is F1; the bar behind it reaches from precision to recall. Red: F1 below 80%. A label "
    "with few test rows moves far by chance."
)
_RELIABILITY = (
    "Left: predictions in 15 bins by score; on the dashed line a score is the share that is right. "
    "Right: how many predictions have such a score."
)


def _shown(test: Mapping[str, Any]) -> list[int]:
    """Places of the labels to draw, in their order."""
    places = range(len(test["labels"]))
    if len(places) <= MOST_LABELS:
        return list(places)
    f1 = [test["per_label"][place]["f1"] for place in places]
    weakest = sorted(places, key=lambda place: (1.0 if f1[place] is None else f1[place], place))
    return sorted(weakest[:MOST_LABELS])


def _paint(share: float, right: bool) -> tuple[float, float, float, float]:
    from matplotlib.colors import to_rgba

    strength = 0.12 + 0.78 * share if right else min(1.0, 0.35 + 2 * share)
    return to_rgba(VERSIONS[0] if right else STOP, strength)


def _count(axes: Axes, column: int, row: int, count: float, share: float, letters: float) -> None:
    strong = share > 0.5 if column == row else share > 0.2
    axes.text(
        column,
        row,
        f"{count:.0f}",
        ha="center",
        va="center_baseline",
        fontsize=0.72 * letters,
        color=PAPER if strong else INK,
    )
