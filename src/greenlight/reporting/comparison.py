"""Versions side by side: what they scored offline and what users said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from greenlight.reporting import style
from greenlight.reporting.history import Proportion
from greenlight.reporting.style import INK, MUTED
from greenlight.reporting.summary import VersionSummary
from greenlight.reporting.words import rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def versions(found: Sequence[VersionSummary], colours: Mapping[str, str]) -> Figure:
    """Offline accuracy beside the live GOOD rate, one row per version, with 95 % intervals."""
    with style.styled():
        height = 0.95 + 0.5 * max(1, len(found))
        figure = style.canvas(height)
        bottom, tall = 0.42 / height, (height - 1.02) / height
        panels = (
            ("offline: accuracy on the test rows", [version.accuracy for version in found], 0.19),
            ("live: share of answers called GOOD", [version.live for version in found], 0.61),
        )
        for number, (name, shares, left) in enumerate(panels):
            axes = figure.add_axes((left, bottom, 0.22, tall))
            axes.set_ylim(len(found) - 0.5, -0.5)
            names = [f"{style.plain(version.label)}" for version in found] if number == 0 else []
            axes.set_yticks(range(len(names)), names)
            axes.grid(True, axis="x")
            axes.grid(False, axis="y")
            axes.spines["left"].set_visible(False)
            axes.annotate(
                name,
                (0.0, 1.0),
                xycoords="axes fraction",
                xytext=(0, 6),
                textcoords="offset points",
                fontsize=9,
                color=MUTED,
            )
            _dots(axes, shares, [colours.get(version.digest, MUTED) for version in found])
        style.title(figure, "What each version scored offline, and what users said of it")
    return figure


def _dots(axes: Axes, shares: Sequence[Proportion | None], colours: Sequence[str]) -> None:
    known = [share for share in shares if share is not None]
    low = min((share.low for share in known), default=0.0)
    high = max((share.high for share in known), default=1.0)
    pad = max(0.004, 0.08 * (high - low))
    axes.set_xlim(low - pad, high + pad)
    style.ticks(axes.xaxis, 4)
    for row, (share, colour) in enumerate(zip(shares, colours, strict=True)):
        text = "not known"
        if share is not None:
            axes.plot((share.low, share.high), (row, row), color=colour, lw=3.0, alpha=0.45)
            axes.plot([share.value], [row], "o", ms=7, color=colour)
            text = f"{rate(share)}\nn = {share.n:,}"
        axes.annotate(
            text,
            (1.0, row),
            xycoords=axes.get_yaxis_transform(),
            xytext=(10, 0),
            textcoords="offset points",
            fontsize=8.5,
            color=INK if share is not None else MUTED,
            va="center",
            linespacing=1.3,
        )
