"""The figures of a model card: those of its labels, and of scope, slices and entities.

Each takes parts of the evaluation document as the protocol wrote them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from greenlight.core.model_card.beyond import slices_of
from greenlight.core.model_card.fairness import entries, measure, numbers
from greenlight.reporting import judged, style
from greenlight.reporting.gallery import Picture
from greenlight.reporting.style import GO, INK, MUTED, STOP, VERSIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLACES = {
    "reliability": "Metrics",
    "live": "Against the live version",
    "roc": "Out of scope",
    "entities": "Entities",
    "tags": "Entities",
    "labels": "Weakest labels",
    "confusion": "Most frequent confusions",
    "slices-intent": "Fairness notes",
    "slices-ner": "Fairness notes: entities",
}
"""Name of a figure → the section of the card that it belongs to."""

Point = Mapping[str, float]


def pictures(document: Mapping[str, Any]) -> list[Picture]:
    """Every figure that an evaluation document has the numbers for."""
    drawn = judged.pictures(document)
    curves = list(_curves(document))
    if curves:
        drawn.append(Picture("roc", roc(curves), _ROC))
    test = document.get("ner", {}).get("test", {})
    if test.get("per_type"):
        types = [{**entry, "label": entry["type"]} for entry in test["per_type"]]
        found = judged.per_label({"per_label": types}, range(len(types)), what="type of entity")
        drawn.append(Picture("entities", found, _ENTITIES))
    if test.get("confusion"):
        matrix = judged.confusion(test, range(len(test["labels"])), what="tags")
        drawn.append(Picture("tags", matrix, _TAGS))
    for part in ("intent", "ner"):
        cut = document.get(part, {}).get("slices", {})
        if cut.get("families"):
            whole = document[part]["test"]["accuracy" if part == "intent" else "token_micro_f1"]
            drawn.append(Picture(f"slices-{part}", slices(cut, part, whole), _slices(part, cut)))
    return drawn


def roc(curves: Sequence[tuple[str, Sequence[Point], Point | None]]) -> Figure:
    """Texts out of scope that are found, against texts in scope that are called out of it.

    Args:
        curves: a name, the points (`false`, `true`), and the point of the model's own threshold.
    """
    paints = style.colours([name for name, *_ in curves])
    with style.styled():
        figure = style.canvas(4.4)
        for left, reach in ((0.08, 1.0), (0.57, 0.2)):
            axes = figure.add_axes((left, 0.13, 0.4, 0.76))
            axes.set_xlim(0, reach)
            axes.set_ylim(1 - reach, 1.0 + 0.02 * reach)
            axes.plot((0, 1), (0, 1), color=MUTED, lw=1.0, ls=(0, (5, 3)))
            for name, points, own in curves:
                _curve(axes, points, own, paints[name])
            axes.set_xlabel("in scope, called out of it")
            axes.set_ylabel("out of scope, found")
            for axis in (axes.xaxis, axes.yaxis):
                style.ticks(axis, 5)
        for row, name in enumerate(paints):
            figure.axes[0].annotate(
                style.plain(name, 40),
                (0.97, 0.06 + 0.075 * (len(paints) - 1 - row)),
                xycoords="axes fraction",
                ha="right",
                fontsize=9,
                color=paints[name],
            )
        style.title(figure, "Are texts out of scope told? (right: the corner, enlarged)")
    return figure


def slices(cut: Mapping[str, Any], part: str, whole: Mapping[str, Any]) -> Figure:
    """The number of each slice with its interval, beside that of all rows.

    Args:
        cut: `slices` of a part.
        part: `intent` or `ner`.
        whole: the same number of all rows.
    """
    rows = list(entries(cut))
    with style.styled():
        height = 0.95 + 0.27 * len(rows)
        figure = style.canvas(height)
        axes = figure.add_axes((0.3, 0.4 / height, 0.68, (height - 0.9) / height))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(True, axis="x")
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
        lows = [numbers(*row, part)[0].get("low", 1.0) for row in rows]
        floor = min([*lows, whole.get("low", 1.0)])
        axes.set_xlim(max(0.0, floor - 0.03), 1.0)
        if "value" in whole:
            axes.axvline(whole["value"], color=INK, lw=1.0, ls=(0, (5, 3)))
        for row, told in enumerate(rows):
            _slice(axes, row, *numbers(*told, part))
        for row in range(1, len(rows)):
            if rows[row][0] != rows[row - 1][0]:
                axes.axhline(row - 0.5, color="#cbd5e1", lw=0.8)
        names = [f"{family}: {entry['slice']}  ({entry['n']:,})" for family, entry in rows]
        axes.set_yticks(range(len(rows)), names, fontsize=8.5)
        style.ticks(axes.xaxis, 8)
        style.title(figure, f"{_capital(measure(part))} of each slice (rows in brackets)")
    return figure


def _curves(
    document: Mapping[str, Any],
) -> Iterator[tuple[str, Sequence[Point], Point | None]]:
    for name, entry in slices_of(document).items():
        if entry.get("roc"):
            yield _OUTSIDE.get(name, name), entry["roc"], _own(entry.get("own_threshold", {}))


def _own(block: Mapping[str, Any]) -> Point | None:
    alarms, found = block.get("false_alarms", {}), block.get("found", {})
    if "value" not in alarms or "value" not in found:
        return None
    return {"false": alarms["value"], "true": found["value"]}


def _curve(axes: Axes, points: Sequence[Point], own: Point | None, colour: str) -> None:
    x = [0.0, *(point["false"] for point in points), 1.0]
    y = [0.0, *(point["true"] for point in points), 1.0]
    axes.plot(x, y, color=colour, lw=2.0)
    if own is not None:
        axes.plot([own["false"]], [own["true"]], "o", ms=6, color=colour)


def _slice(axes: Axes, row: int, value: Mapping[str, Any], difference: Mapping[str, Any]) -> None:
    if "value" not in value:
        axes.annotate(
            str(value.get("reason", "not measured")),
            (0.01, row),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=MUTED,
        )
        return
    low, high = difference.get("low", -1.0), difference.get("high", 1.0)
    colour = GO if low > 0 else STOP if high < 0 else VERSIONS[0]
    axes.plot((value["low"], value["high"]), (row, row), color=colour, lw=4, alpha=0.35)
    axes.plot([value["value"]], [row], "o", ms=5, color=colour)


_OUTSIDE = {
    "clinc": "texts from elsewhere",
    "banking_like": "questions about money",
}
_ROC = (
    "Every point is a threshold of the score that tells how far out a text lies: to the right the "
    "texts in scope that it calls out, upwards the texts out of scope that it finds. The dots are "
    "the model's own threshold."
)
_ENTITIES = (
    "The dot is F1 of whole entities; the bar behind it reaches from precision to recall. Red: F1 "
    "below 80%. A type with few entities moves far by chance."
)
_TAGS = (
    "Words. A row is a true tag, a column the tag that was given, by the number beside the tag's "
    "name. Blue is right, red is wrong; the stronger the colour, the larger the share of the row."
)


def _slices(part: str, cut: Mapping[str, Any]) -> str:
    return (
        f"{_capital(measure(part))} with 95% intervals; the dashed line is that of all rows. Red "
        "is behind the rest by more than chance explains, green ahead of it. A slice with fewer "
        f"than {cut['least']} rows has no number."
    )


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
