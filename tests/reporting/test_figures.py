"""Figures of every kind of rollout: nothing clipped, nothing on top of anything, same bytes."""

from __future__ import annotations

import functools
import itertools
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import Any

import matplotlib
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from greenlight.core.words import power
from greenlight.reporting import figures, style
from greenlight.reporting.gallery import MOST, Picture, pictures
from greenlight.reporting.history import histories
from greenlight.reporting.summary import summarise

TASK = "intent"
PNG = b"\x89PNG\r\n\x1a\n"


def draw(story: Any) -> list[Picture]:
    """Every picture of a story, drawn afresh."""
    told = histories(story.store, TASK)
    summary = summarise(story.store, TASK, told)
    return pictures(summary, told, style.colours([v.digest for v in summary.versions]))


drawn = functools.cache(draw)


def texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text that shows, and the pixels that it covers."""
    with style.styled():
        figure.draw_without_rendering()
        shown = [
            item for item in figure.findobj(Text) if item.get_visible() and item.get_text().strip()
        ]
        return [(item.get_text(), item.get_window_extent()) for item in _on_axis(figure, shown)]


def _on_axis(figure: Figure, shown: list[Text]) -> list[Text]:
    """Without the labels of ticks beyond the ends of their axis, which are not drawn."""
    beyond = set()
    for axes in figure.axes:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            low, high = sorted((low, high))
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                    beyond |= {tick.label1, tick.label2}
    return [item for item in shown if item not in beyond]


def test_no_text_is_clipped_or_covers_another(shape: Any) -> None:
    for name, figure, _ in drawn(shape):
        found = texts(figure)
        paper = figure.bbox
        for text, box in found:
            inside = paper.x0 <= box.x0 and box.x1 <= paper.x1
            inside = inside and paper.y0 <= box.y0 and box.y1 <= paper.y1
            assert inside, f"{name}: {text!r} leaves the paper"
        for (one, a), (other, b) in itertools.combinations(found, 2):
            shared = Bbox.intersection(a, b)
            overlap = 0.0 if shared is None else min(shared.width, shared.height)
            assert overlap <= 1.0, f"{name}: {one!r} and {other!r} overlap"


def test_equal_stories_give_equal_bytes(story: Any) -> None:
    """No date, no random id: a report can be compared with the one before."""
    for a, b in zip(drawn(story), draw(story), strict=True):
        assert style.svg(a.figure, a.name) == style.svg(b.figure, b.name)
    image = style.png(a.figure)
    assert image.startswith(PNG) and image == style.png(b.figure)


def test_svg_can_stand_in_a_page(hostile: Any) -> None:
    for name, figure, _ in drawn(hostile):
        text = style.svg(figure, name)
        assert text.startswith("<svg") and "<!--" not in text and "<script" not in text
        ids = [node.get("id") for node in ET.fromstring(text).iter() if node.get("id")]
        assert ids and all(str(id).startswith(f"{name}-") for id in ids)
        assert len(ids) == len(set(ids))
        for reference in (*text.split('href="#')[1:], *text.split("url(#")[1:]):
            assert reference.startswith(f"{name}-")


def test_matplotlib_is_left_as_it_was(story: Any) -> None:
    before = dict(matplotlib.rcParams)
    for picture in draw(story)[:2]:
        style.svg(picture.figure, picture.name)
    assert dict(matplotlib.rcParams) == before


def test_importing_the_report_costs_no_matplotlib() -> None:
    """And drawing needs no pyplot, whose state is global."""
    code = (
        "import sys, greenlight.reporting.report\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from greenlight.reporting import style\n"
        "with style.styled(): style.png(style.canvas(1.0))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_rollout_is_drawn(story: Any) -> None:
    names = [picture.name for picture in drawn(story)]
    assert names == ["allocation", "evidence-1", "rates-1", "evidence-2", "rates-2", "versions"]


def test_only_the_newest_rollouts_are_drawn(story: Any) -> None:
    told = histories(story.store, TASK)
    found = pictures(summarise(story.store, TASK, told), [*told] * MOST, {})
    assert len(found) == 1 + 2 * MOST + 1


def words(figure: Figure) -> set[str]:
    """What a figure says."""
    return {text for text, _ in texts(figure)}


def test_figures_say_what_was_decided(story: Any) -> None:
    told = histories(story.store, TASK)
    colours = style.colours([told[0].rollout.control, told[0].rollout.candidate])
    said = words(figures.allocation(told, colours))
    assert {"intent@2 starts at 10%", "widen to 50%", "PROMOTE intent@2"} <= said
    assert {"intent@3 starts at 10%", "ROLL BACK intent@3"} <= said
    promoted, rolled_back = (words(figures.evidence(item)) for item in told)
    limit = power(told[0].thresholds["quality"])
    assert {f"roll back at E ≥ {limit}", "promote at E ≥ 20"} <= promoted
    assert "promote at E ≥ 20" not in rolled_back
    assert any(text.startswith("promote: E = ") for text in promoted)
    assert any(text.startswith("roll back: E = ") for text in rolled_back)


@pytest.mark.parametrize("floor", [-0.6, -2.0])
def test_what_is_cut_off_is_said(story: Any, monkeypatch: pytest.MonkeyPatch, floor: float) -> None:
    monkeypatch.setattr(figures, "FLOOR", floor)
    item = histories(story.store, TASK)[0]
    for moment in item.moments:
        moment.log_e["errors"] = -3.0
    said = [text for text in words(figures.evidence(item)) if "drawn at the edge" in text]
    assert bool(said) == (floor == -0.6)
