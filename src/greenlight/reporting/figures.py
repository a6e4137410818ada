"""The figures of a report. Each one takes replayed rollouts and returns a matplotlib `Figure`.

A version keeps its colour through all figures. E is drawn on a logarithmic axis, for evidence
multiplies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from greenlight.core.budget import harm_tests
from greenlight.core.records import MILLISECOND
from greenlight.core.states import Action, Variant
from greenlight.core.words import power
from greenlight.reporting import style
from greenlight.reporting.allocation import allocation
from greenlight.reporting.comparison import versions
from greenlight.reporting.history import History, Proportion, Tally
from greenlight.reporting.style import GO, MUTED, PAPER, STOP, Span
from greenlight.reporting.words import decade, duration, ending, rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["allocation", "evidence", "rates", "versions"]

TEST_NAMES = {
    "quality": "worse answers",
    "early_harm": "early BAD",
    "errors": "errors",
    "superiority": "better answers",
    "intention": "worse over all units",
    "latency_p95": "over control's p95",
    "latency_p99": "over control's p99",
    "latency_slo": "over the SLO",
}
_ALWAYS = ("quality", "early_harm", "errors")
_TELLING = math.log(10)
"""Other tests of harm are drawn once their E has been this high."""
_TEST_COLOURS = {
    "quality": "#7c3aed",
    "early_harm": "#ea580c",
    "errors": "#64748b",
    "superiority": "#059669",
}
_OTHER_COLOUR = "#be123c"
_TEST_WIDTHS = {"quality": 2.8, "early_harm": 2.2, "errors": 1.2, "superiority": 2.2}
"""Unequal, so that lines on top of each other show."""

FLOOR = -2.0
"""E below 10 to this power is drawn there: how far a test is from acting no longer matters."""

HEADROOM = 3.0
"""Powers of ten above the highest threshold; what is higher still is drawn there."""

WARM_UP = 20
"""Outcomes that an arm needs before its GOOD rate is drawn: before, it jumps about."""

_LN10 = math.log(10)


def evidence(item: History) -> Figure:
    """E of every test over time, with the thresholds at which it acts."""
    with style.styled():
        span = Span(item.rollout.at, max(MILLISECOND, item.end - item.rollout.at))
        figure = style.canvas(4.0)
        axes = figure.add_axes((0.075, 0.13, 0.715, 0.7))
        axes.set_xlim(0, span.end)
        axes.set_xlabel(f"{span.unit[1]} since the rollout started")
        shown = [
            test
            for test in harm_tests(item.policy)
            if test in _ALWAYS or max(moment.log_e[test] for moment in item.moments) >= _TELLING
        ]
        if _last_step(item) is not None:
            shown.append("superiority")
        clipped = _scale(axes, item, shown)
        _steps(axes, item, span)
        _thresholds(axes, item, span)
        rows = []
        for test in shown:
            since = _last_step(item) if test == "superiority" else None
            known = [moment for moment in item.moments if since is None or moment.at >= since]
            y = [_height(axes, moment.log_e[test]) for moment in (known or item.moments[-1:])]
            x = [span.place(moment.at) for moment in (known or item.moments[-1:])]
            axes.plot(
                [*x, span.end],
                [*y, y[-1]],
                drawstyle="steps-post",
                color=_TEST_COLOURS.get(test, _OTHER_COLOUR),
                linewidth=_TEST_WIDTHS.get(test, 1.6),
            )
            name = f"{TEST_NAMES.get(test, test)}  {power(item.last.log_e[test])}"
            rows.append((y[-1], name, _TEST_COLOURS.get(test, _OTHER_COLOUR)))
        _crossing(axes, item, span)
        style.margin(axes, rows)
        axes.annotate(
            "E now" if item.rollout.ended_at is None else "E at the end",
            (1.0, 1.0),
            xycoords="axes fraction",
            xytext=(8, 5),
            textcoords="offset points",
            fontsize=8.5,
            color=MUTED,
        )
        if clipped:
            figure.text(0.988, 0.025, clipped, ha="right", fontsize=8.5, color=MUTED)
        ended = ending(item.rollout, item.end)
        style.title(figure, f"Evidence: {style.plain(item.candidate)} {ended}")
    return figure


def _last_step(item: History) -> int | None:
    """When the last step began, the only one at which superiority is tested; None: it did not."""
    rules = item.policy.rollout
    weight = rules.ladder[rules.last_step].weight
    return next((period.since for period in item.own_periods if period.weight == weight), None)


def _scale(axes: Axes, item: History, shown: Sequence[str]) -> str:
    """Set the axis of E; says what had to be cut off, if anything."""
    values = [moment.log_e[test] / _LN10 for moment in item.moments for test in shown]
    limit = max(item.thresholds[test] for test in shown) / _LN10
    low = max(FLOOR, min(-0.5, *values))
    top = min(limit + HEADROOM, max(limit, *values))
    high = top + 0.2 * (top - low)
    axes.set_ylim(low - 0.15, high)
    ticks = range(math.ceil(low), math.floor(high) + 1)
    axes.set_yticks(list(ticks), [decade(tick) for tick in ticks])
    axes.set_ylabel("evidence E")
    beyond = []
    if min(values) < low:
        beyond.append(f"below {decade(FLOOR)}")
    if max(values) > top:
        beyond.append("above the axis")
    return f"values {' and '.join(beyond)} are drawn at the edge" if beyond else ""


def _height(axes: Axes, log_e: float) -> float:
    low, high = axes.get_ylim()
    return min(max(log_e / _LN10, low + 0.15), high - 0.1)


def _steps(axes: Axes, item: History, span: Span) -> None:
    """The splits along the upper edge."""
    own = item.own_periods
    for period, after in zip(own, [*own[1:], None], strict=True):
        left = span.place(period.since)
        right = span.end if after is None else span.place(after.since)
        if left > 0:
            axes.axvline(left, color="#cbd5e1", linewidth=0.9, zorder=0.5)
        text = axes.annotate(
            f"{period.weight:.0%} of users meet {style.plain(item.candidate)}",
            (left, 1.0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(2, 5),
            textcoords="offset points",
            fontsize=8.5,
            color=MUTED,
        )
        room = (right - left) / span.end * axes.bbox.width - 10
        for shorter in (f"{period.weight:.0%}", ""):
            x0, x1 = style.extent(text)
            if x1 - x0 > room:
                text.set_text(shorter)


def _thresholds(axes: Axes, item: History, span: Span) -> None:
    lines = [(0.0, "quality", "roll back", STOP)]
    since = _last_step(item)
    if since is not None:
        lines.append((span.place(since), "superiority", "promote", GO))
    for left, test, action, colour in lines:
        height = item.thresholds[test] / _LN10
        axes.plot((left, span.end), (height, height), color=colour, lw=1.3, ls=(0, (5, 3)))
        axes.annotate(
            f"{action} at E ≥ {power(item.thresholds[test])}",
            (left, height),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=8.5,
            color=colour,
        )


def _crossing(axes: Axes, item: History, span: Span) -> None:
    """Mark where the test that decided reached its threshold."""
    verdict = item.verdict
    test = _decided_by(item)
    moment = item.crossed(test) if test is not None else None
    if verdict is None or test is None or moment is None:
        return
    place, height = span.place(moment.at), _height(axes, moment.log_e[test])
    colour = GO if verdict.action is Action.PROMOTE else STOP
    axes.plot([place], [height], "o", ms=8, mfc=PAPER, mec=colour, mew=2.0, clip_on=False, zorder=5)
    action = "promote" if verdict.action is Action.PROMOTE else "roll back"
    axes.annotate(
        f"{action}: E = {power(moment.log_e[test])} after {duration(moment.at - item.rollout.at)}",
        (place, height),
        xytext=(-8, 19) if place > span.end / 2 else (8, 19),
        textcoords="offset points",
        ha="right" if place > span.end / 2 else "left",
        fontsize=9.5,
        fontweight="bold",
        color=colour,
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5, "alpha": 0.85},
    )


def _decided_by(item: History) -> str | None:
    """The test that carried the newest decision, if a single one did."""
    code = None if item.verdict is None else item.verdict.code
    if code == "superior":
        return "superiority"
    return code if code in harm_tests(item.policy) else None


def rates(item: History, colours: Mapping[str, str]) -> Figure:
    """Each arm's GOOD rate as outcomes came in, and its 95 % confidence sequence at the end.

    Dotted: outcomes that came too late for the decision; no test has seen them.

    Args:
        item: the rollout.
        colours: by version digest (`style.colours`).
    """
    with style.styled():
        figure = style.canvas(3.5)
        axes = figure.add_axes((0.075, 0.15, 0.645, 0.7))
        tracks = _tracks(item)
        ends = {arm: item.tally(arm).rate for arm in Variant}
        seen = sum(tally.outcomes for tally in item.last.arms.values())
        total = max(1, sum(end.n for end in ends.values() if end is not None))
        _rate_axes(axes, tracks, ends, total)
        rows = []
        for place, (arm, colour) in enumerate(_arm_colours(item, colours).items()):
            end = ends[arm]
            if end is None:
                continue
            _track(axes, tracks[arm], seen, colour)
            x = total * (1.015 + 0.02 * place)
            ends_at = (end.low, end.high)
            axes.plot((x, x), ends_at, color=colour, lw=3.0, alpha=0.45, clip_on=False)
            axes.plot([x], [end.value], "o", ms=6, color=colour, clip_on=False)
            label = style.plain(item.control if arm is Variant.CONTROL else item.candidate)
            rows.append((end.value, f"{label} ({arm})\n{rate(end)}, n = {end.n:,}", colour))
        if rows:
            style.margin(axes, rows, size=9.0)
        else:
            axes.text(0.5, 0.5, "no outcomes", transform=axes.transAxes, color=MUTED, ha="center")
        if item.after:
            _decided(axes, seen)
        twins = item.rollout.candidate == item.rollout.control
        control = "itself" if twins else style.plain(item.control)
        style.title(figure, f"What users said: {style.plain(item.candidate)} against {control}")
    return figure


def _arm_colours(item: History, colours: Mapping[str, str]) -> dict[Variant, str]:
    """Those of the versions; in an A/A test, where they are one version, blue and green."""
    found = {
        Variant.CONTROL: colours.get(item.rollout.control, MUTED),
        Variant.CANDIDATE: colours.get(item.rollout.candidate, MUTED),
    }
    if len(set(found.values())) == 1:
        return dict(zip(Variant, style.VERSIONS, strict=False))
    return found


def _tracks(item: History) -> dict[Variant, list[tuple[int, Tally]]]:
    """By arm, in order of time: how many outcomes both arms had, and what this arm had."""
    tallies = [moment.arms for moment in item.moments]
    for outcome in item.after:
        arms = dict(tallies[-1])
        arms[outcome.arm] += Tally(outcomes=1, good=int(outcome.y))
        tallies.append(arms)
    totals = [sum(tally.outcomes for tally in arms.values()) for arms in tallies]
    return {
        arm: [
            (total, arms[arm])
            for total, arms in zip(totals, tallies, strict=True)
            if arms[arm].outcomes >= WARM_UP
        ]
        for arm in Variant
    }


def _track(axes: Axes, track: Sequence[tuple[int, Tally]], seen: int, colour: str) -> None:
    for part, dashes in (
        ([point for point in track if point[0] <= seen], "solid"),
        ([point for point in track if point[0] >= seen], (0, (1, 1.6))),
    ):
        x, y = [total for total, _ in part], [tally.good / tally.outcomes for _, tally in part]
        axes.plot(x, y, color=colour, linewidth=2.0, linestyle=dashes)


def _rate_axes(
    axes: Axes,
    tracks: Mapping[Variant, Sequence[tuple[int, Tally]]],
    ends: Mapping[Variant, Proportion | None],
    total: int,
) -> None:
    from matplotlib.ticker import MaxNLocator

    lows = [end.low for end in ends.values() if end is not None]
    highs = [end.high for end in ends.values() if end is not None]
    drawn = [tally.good / tally.outcomes for track in tracks.values() for _, tally in track]
    low, high = min([*lows, *drawn], default=0.0), max([*highs, *drawn], default=1.0)
    pad = max(0.01, 0.06 * (high - low))
    axes.set_ylim(max(-0.005, low - pad), min(1.005, high + pad))
    style.ticks(axes.yaxis, 6)
    axes.set_xlim(0, total * 1.055)
    axes.set_ylabel("GOOD rate")
    axes.set_xlabel("outcomes of both arms")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _decided(axes: Axes, seen: int) -> None:
    if seen:
        axes.axvline(seen, color="#94a3b8", linewidth=0.9)
    axes.annotate(
        "decided" if seen else "decided before any outcome had matured",
        (seen, 1.0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(0, 5),
        textcoords="offset points",
        ha="center" if seen else "left",
        fontsize=8.5,
        color=MUTED,
    )
